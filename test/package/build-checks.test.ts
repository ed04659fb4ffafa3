import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { loadScript, repository } from './build-script.ts'

interface Target {
  readonly name: string
  readonly triple: string
  readonly os: string
  readonly cpu: string
  readonly libc?: string
}

interface Manifest {
  readonly name: string
  readonly version: string
  readonly scripts?: Record<string, string>
  readonly gypfile?: boolean
  readonly optionalDependencies?: Record<string, string>
}

interface Checks {
  pathsIn(bytes: Buffer, paths?: readonly string[]): string[]
  linuxPortability(target: Target, path: string): string[]
  manifestFaults(manifest: Partial<Manifest>, files: readonly string[]): string[]
  versionFaults(core: Manifest, others: readonly Manifest[]): string[]
}

const checks = await loadScript<Checks>('pack/checks.mjs')
const { hostTarget } = await loadScript<{ readonly hostTarget: () => Target | undefined }>('targets.mjs')
const built = join(repository, 'build', 'Release', 'espalier.node')
const fits = process.platform === 'linux'
let folder = ''

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'espalier-checks-'))
})

afterAll(() => rmSync(folder, { recursive: true }))

test('the addon that the tests run holds no path of the machine that built it', () => {
  const bytes = readFileSync(built)

  expect(checks.pathsIn(bytes)).toEqual([])
  expect(checks.pathsIn(Buffer.concat([bytes, Buffer.from(join(repository, 'crates'))]))).toHaveLength(1)
})

test.runIf(fits)('an addon that needs a newer glibc than the floor is for this machine only', () => {
  const target = hostTarget()!
  const bytes = readFileSync(built)
  const old = join(folder, 'old.node')
  const young = join(folder, 'young.node')
  // The version names stand as text in the file; the same length keeps everything in its place.
  const asOld = bytes.toString('latin1').replaceAll(/GLIBC_2\.(29|3[0-9])\0/g, 'GLIBC_2.28\0')
  writeFileSync(old, asOld, 'latin1')
  writeFileSync(young, asOld.replaceAll('GLIBC_2.28\0', 'GLIBC_2.29\0'), 'latin1')

  expect(checks.linuxPortability(target, old)).toEqual([])
  expect(checks.linuxPortability(target, young)).toEqual(['it needs glibc 2.29, above 2.28'])
  expect(checks.linuxPortability({ ...target, libc: 'musl' }, old)).toEqual([
    'it needs glibc, and is for musl',
  ])
})

test.runIf(fits)('an addon that needs a library which not every machine has is refused', () => {
  const bytes = readFileSync(built).toString('latin1')
  const foreign = join(folder, 'foreign.node')
  writeFileSync(foreign, bytes.replaceAll('libgcc_s.so.1\0', 'libfoo_s.so.1\0'), 'latin1')

  expect(checks.linuxPortability(hostTarget()!, foreign)).toContain('it needs libfoo_s.so.1')
})

test('what package managers would run, or choke on, is found', () => {
  const scripts = { install: 'node-gyp rebuild', postinstall: 'x', test: 'y' }

  expect(checks.manifestFaults({ scripts }, [])).toEqual([
    'it has the script install',
    'it has the script postinstall',
  ])
  expect(
    checks.manifestFaults({ gypfile: true }, ['a/binding.gyp', '.npmrc', 'node_modules/x']),
  ).toHaveLength(4)
  expect(checks.manifestFaults({ scripts: { test: 'y' } }, ['dist/index.js', 'Cargo.toml'])).toEqual([])
})

test('packages that disagree on the version, or on which of them there are, are found', () => {
  const core = {
    name: 'espalier',
    version: '1.2.3',
    optionalDependencies: { 'espalier-linux-x64-gnu': '1.2.3' },
  }
  const platform = { name: 'espalier-linux-x64-gnu', version: '1.2.3' }
  const bundle = { name: 'espalier-prebuilds', version: '1.2.3' }

  expect(checks.versionFaults(core, [platform, bundle])).toEqual([])
  expect(checks.versionFaults(core, [platform, { ...bundle, version: '1.2.4' }])).toHaveLength(1)
  expect(checks.versionFaults(core, [bundle])).toHaveLength(1)
  expect(checks.versionFaults({ ...core, optionalDependencies: {} }, [platform, bundle])).toHaveLength(1)
})
