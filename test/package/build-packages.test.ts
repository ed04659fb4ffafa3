import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { repository, targets } from './build-script.ts'
import type { Manifest } from './support/tarball.ts'

interface Report {
  readonly localOnly: readonly string[]
  readonly packages: readonly { readonly name: string; readonly tarball: string; readonly sha256: string }[]
}

const { TARGETS, hostTarget } = targets
const host = hostTarget()!
let folder = ''
let before: readonly string[] = []

beforeAll(() => {
  before = treeState()
  folder = mkdtempSync(join(tmpdir(), 'espalier-pack-'))
  const packed = packAll(['--out', join(folder, 'packages')])
  expect(packed.status, packed.stderr).toBe(0)
  const { packages } = readReport(join(folder, 'packages'))
  for (const { name, tarball } of packages) unpack(join(folder, 'packages', tarball), name)
}, 600_000)

afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe('the tarballs of this machine', () => {
  test('are the core, the package of the platform and the bundle, in one version', () => {
    const core = manifestOf('espalier')
    const platform = manifestOf(`espalier-${host.name}`)
    const bundle = manifestOf('espalier-prebuilds')

    expect([platform.version, bundle.version]).toEqual([core.version, core.version])
    expect(core.optionalDependencies).toEqual({ [platform.name]: core.version })
    expect(core.peerDependencies).toEqual({ 'espalier-prebuilds': core.version })
    expect(platform).toMatchObject({ os: [host.os], cpu: [host.cpu] })
    expect(platform.libc).toEqual(host.libc === undefined ? undefined : [host.libc.replace('gnu', 'glibc')])
  })

  test('run nothing when they are installed', () => {
    for (const name of readdirSync(join(folder, 'unpacked'))) {
      const manifest = manifestOf(name)
      expect([manifest.scripts, manifest.devDependencies], name).toEqual([undefined, undefined])
      expect(existsSync(join(folder, 'unpacked', name, 'binding.gyp')), name).toBe(false)
    }
  })

  test('hold the same addon, which the core lists', () => {
    const { sha256 } = readJson(
      join(folder, 'unpacked', 'espalier', 'dist', 'native', 'addon-hashes.json'),
    ) as { sha256: Record<string, string> }

    expect(Object.keys(sha256)).toEqual([host.name])
    expect(sha256Of(platformAddon())).toBe(sha256[host.name])
    expect(sha256Of(bundledAddon())).toBe(sha256[host.name])
  })

  test('carry an addon that loads and has their version', () => {
    const native = createRequire(import.meta.url)(platformAddon()) as { version(): string }

    expect(native.version()).toBe(manifestOf('espalier').version)
  })

  test('lie as node-gyp-build looks for them', () => {
    const gyp = createRequire(import.meta.url)('node-gyp-build') as { path(folder: string): string }

    expect(gyp.path(join(folder, 'unpacked', 'espalier-prebuilds'))).toBe(bundledAddon())
  })

  test('carry what cargo needs, and the sources that were compiled', () => {
    const core = join(folder, 'unpacked', 'espalier')
    const metadata = spawnSync(
      'cargo',
      ['metadata', '--locked', '--offline', '--format-version=1', '--filter-platform', host.triple],
      {
        cwd: core,
        encoding: 'utf8',
      },
    )

    expect(metadata.status, metadata.stderr).toBe(0)
    const { packages } = JSON.parse(metadata.stdout) as { packages: { name: string }[] }
    expect(packages.map(({ name }) => name)).toContain('espalier-binding')
    for (const file of [
      'Cargo.lock',
      'scripts/build-native.mjs',
      'scripts/cargo-build.mjs',
      'dist/index.js',
    ]) {
      expect(statSync(join(core, file)).isFile(), file).toBe(true)
    }
    // Tests would drag the vectors along.
    expect(existsSync(join(core, 'crates', 'core', 'tests'))).toBe(false)
  })
})

test('packing changes nothing in the working tree', () => {
  expect(treeState()).toEqual(before)
})

test('a release that lacks the addon of a platform is not packed, and says which', () => {
  const empty = join(folder, 'no-addons')
  const { status, stderr } = packAll(['--prebuilt', empty, '--out', join(folder, 'never')])

  expect(status).toBe(1)
  expect(stderr).toContain(join(empty, `espalier.${TARGETS[0]!.name}.node`))
})

test('addons that were built elsewhere make the same packages, unless they are for one machine only', () => {
  const addons = join(folder, 'addons')
  mkdirSync(addons)
  copyFileSync(platformAddon(), join(addons, `espalier.${host.name}.node`))

  const out = join(folder, 'again')
  const { status, stderr } = packAll(['--prebuilt', addons, '--target', host.name, '--out', out])

  const first = readReport(join(folder, 'packages'))
  expect(readReport(out)).toEqual(first)
  expect(status, stderr).toBe(first.localOnly.length === 0 ? 0 : 1)
  expect(stderr.match(/^wrong: /gm) ?? []).toHaveLength(first.localOnly.length)
})

test('every manifest in the tree has the version of package.json, and Cargo.lock agrees', () => {
  const { version } = readManifest(join(repository, 'package.json'))
  const cargo = readFileSync(join(repository, 'Cargo.toml'), 'utf8')
  const lock = readFileSync(join(repository, 'Cargo.lock'), 'utf8')

  expect(/^\[workspace\.package\]\nversion = "(.*)"$/m.exec(cargo)?.[1]).toBe(version)
  expect(readManifest(join(repository, 'package-lock.json')).version).toBe(version)
  for (const name of ['core', 'transport', 'binding']) {
    expect(lock).toContain(`name = "espalier-${name}"\nversion = "${version}"\n`)
  }
  for (const name of readdirSync(join(repository, 'npm'))) {
    expect(readManifest(join(repository, 'npm', name, 'package.json')).version, name).toBe(version)
  }
})

test('there is a folder for each platform, and it says the same as the list of targets', () => {
  const folders = readdirSync(join(repository, 'npm')).filter((name) => name !== 'prebuilds')

  expect(folders.sort()).toEqual(TARGETS.map(({ name }) => name).sort())
  expect(readManifest(join(repository, 'package.json')).napi).toEqual({
    binaryName: 'espalier',
    targets: TARGETS.map(({ triple }) => triple),
  })
  for (const { name, os, cpu, libc } of TARGETS) {
    const manifest = readManifest(join(repository, 'npm', name, 'package.json'))
    expect(manifest).toMatchObject({ name: `espalier-${name}`, os: [os], cpu: [cpu] })
    expect(manifest.libc, name).toEqual(libc === undefined ? undefined : [libc.replace('gnu', 'glibc')])
  }
})

function packAll(words: readonly string[]) {
  return spawnSync(process.execPath, ['scripts/pack-all.mjs', ...words], {
    cwd: repository,
    encoding: 'utf8',
  })
}

function readReport(packages: string): Report {
  return readJson(join(packages, 'packages.json')) as Report
}

/** What packing could touch: manifests with their bytes, and which files there are. */
function treeState(): string[] {
  const manifests = ['package.json', 'package-lock.json', 'Cargo.toml', 'Cargo.lock']
  const names = readdirSync(join(repository, 'npm'), { recursive: true, encoding: 'utf8' })
  const files = names.map((name) => join('npm', name)).filter((name) => /\.[a-z]+$/.test(name))
  return [
    ...[...manifests, ...files].sort().map((name) => `${name} ${sha256Of(join(repository, name))}`),
    ...readdirSync(repository).sort(),
  ]
}

function unpack(tarball: string, name: string): void {
  const target = join(folder, 'unpacked', name)
  spawnSync('mkdir', ['-p', target])
  const { status, stderr } = spawnSync('tar', ['xzf', tarball, '-C', target, '--strip-components=1'], {
    encoding: 'utf8',
  })
  expect(status, stderr).toBe(0)
}

function platformAddon(): string {
  return join(folder, 'unpacked', `espalier-${host.name}`, `espalier.${host.name}.node`)
}

function bundledAddon(): string {
  const libc = host.libc === 'musl' ? 'musl' : 'glibc'
  return join(
    folder,
    'unpacked',
    'espalier-prebuilds',
    'prebuilds',
    `${host.os}-${host.cpu}`,
    `espalier.${libc}.node`,
  )
}

function manifestOf(name: string): Manifest {
  return readManifest(join(folder, 'unpacked', name, 'package.json'))
}

function sha256Of(path: string): string {
  return createHash('sha256').update(readFileSync(path)).digest('hex')
}

function readManifest(path: string): Manifest {
  return readJson(path) as Manifest
}

function readJson(path: string): unknown {
  return JSON.parse(readFileSync(path, 'utf8'))
}
