import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { loadScript, repository, type Target, targets } from './build-script.ts'
import type { Manifest } from './support/tarball.ts'

interface Checks {
  pathsIn(bytes: Buffer, paths?: readonly string[]): string[]
  portabilityFaults(target: Target, path: string): string[]
  manifestFaults(manifest: Partial<Manifest>, files: readonly string[]): string[]
  versionFaults(core: Manifest, others: readonly Manifest[]): string[]
}

const checks = await loadScript<Checks>('pack/checks.mjs')
const { hostTarget } = targets
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

  expect(checks.portabilityFaults(target, old)).toEqual([])
  expect(checks.portabilityFaults(target, young)).toEqual(['it needs glibc 2.29, above 2.28'])
  expect(checks.portabilityFaults({ ...target, libc: 'musl' }, old)).toEqual([
    'it needs glibc, and is for musl',
  ])
})

test.runIf(fits)('an addon that needs a library which not every machine has is refused', () => {
  const bytes = readFileSync(built).toString('latin1')
  const foreign = join(folder, 'foreign.node')
  writeFileSync(foreign, bytes.replaceAll('libgcc_s.so.1\0', 'libfoo_s.so.1\0'), 'latin1')

  expect(checks.portabilityFaults(hostTarget()!, foreign)).toContain('it needs libfoo_s.so.1')
})

test.runIf(fits)('a library that is no addon is refused', () => {
  const bytes = readFileSync(built).toString('latin1')
  const other = join(folder, 'other.node')
  writeFileSync(other, bytes.replaceAll('napi_register_module_v1\0', 'napi_register_module_v0\0'), 'latin1')

  expect(checks.portabilityFaults(hostTarget()!, built)).not.toContain('it has no napi_register_module_v1')
  expect(checks.portabilityFaults(hostTarget()!, other)).toContain('it has no napi_register_module_v1')
})

test('a macOS addon has to be signed for arm64, run on macOS 11 and need only what the system has', () => {
  const file = join(folder, 'mac.node')
  const faults = (cpu: 'x64' | 'arm64', content: Buffer): string[] => {
    writeFileSync(file, content)
    return checks.portabilityFaults({ name: `darwin-${cpu}`, triple: '', os: 'darwin', cpu }, file)
  }

  expect(faults('arm64', machO({ cpu: 0x0100000c, major: 11, signed: true }))).toEqual([])
  expect(faults('arm64', machO({ cpu: 0x0100000c, major: 11, signed: false }))).toHaveLength(1)
  expect(faults('x64', machO({ cpu: 0x01000007, major: 11, signed: false }))).toEqual([])
  expect(faults('x64', machO({ cpu: 0x0100000c, major: 11, signed: true }))).toEqual(['it is for arm64'])
  expect(faults('arm64', machO({ cpu: 0x0100000c, major: 12, signed: true }))).toHaveLength(1)
  expect(faults('arm64', machO({ cpu: 0x0100000c, major: 11, signed: true, library: '/opt/x' }))).toEqual([
    'it needs /opt/x',
  ])
  expect(faults('arm64', machO({ cpu: 0x0100000c, major: 11, signed: true, entry: '_init' }))).toEqual([
    'it has no napi_register_module_v1',
  ])
  expect(() => faults('arm64', Buffer.alloc(64))).toThrow('Mach-O')
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
  const repository = { type: 'git', url: 'git+https://example.org/a/b.git' }
  expect(checks.versionFaults({ ...core, repository }, [platform, { ...bundle, repository }])).toEqual([
    'espalier-linux-x64-gnu names another repository than the core',
  ])
  expect(checks.versionFaults({ ...core, optionalDependencies: {} }, [platform, bundle])).toHaveLength(1)
})

interface MachO {
  readonly cpu: number
  readonly major: number
  readonly signed: boolean
  readonly library?: string
  readonly entry?: string
}

/** A Mach-O file of nothing but a header, load commands and one export, as <mach-o/loader.h> lays them out. */
function machO(options: MachO): Buffer {
  const { cpu, major, signed, library = '/usr/lib/libSystem.B.dylib' } = options
  const name = Buffer.from(library.padEnd(32, '\0'))
  const trie = exportTrie(options.entry ?? '_napi_register_module_v1')
  const others = [
    words(0x32, 24, 1, major << 16, 0, 0),
    Buffer.concat([words(0xc, 24 + name.length, 24, 0, 0, 0), name]),
    ...(signed ? [words(0x1d, 16, 0, 0)] : []),
  ]
  const size = others.reduce((sum, { length }) => sum + length, 16)
  const commands = [...others, words(0x80000033, 16, 32 + size, trie.length)]
  return Buffer.concat([words(0xfeedfacf, cpu, 0, 6, commands.length, size, 0, 0), ...commands, trie])
}

/** The root has one child, whose letters are the whole name; two bytes about it follow there, and no more children. */
function exportTrie(name: string): Buffer {
  const child = name.length + 4
  return Buffer.concat([Buffer.from([0, 1]), Buffer.from(`${name}\0`), Buffer.from([child, 2, 0, 0, 0])])
}

function words(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4)
  values.forEach((value, index) => bytes.writeUInt32LE(value, index * 4))
  return bytes
}
