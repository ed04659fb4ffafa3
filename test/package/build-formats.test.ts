import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { loadScript } from './build-script.ts'
import { thirdPartyTarballs } from './support/tools.ts'

// Addons for other systems can't be made on this one in a normal run. Those of better-sqlite3 13, which somebody else
// built and many people load, are what the readers are held to.

interface Binary {
  readonly cpu: string | undefined
  readonly libraries: readonly string[]
  readonly exported: readonly string[]
}

interface MachO extends Binary {
  readonly isSigned: boolean
  readonly minimumMacOs: string | undefined
}

const { readElf } = await loadScript<{ readonly readElf: (bytes: Buffer) => Binary }>('pack/elf.mjs')
const { readMachO } = await loadScript<{ readonly readMachO: (bytes: Buffer) => MachO }>('pack/macho.mjs')
const { readPe } = await loadScript<{ readonly readPe: (bytes: Buffer) => Binary }>('pack/pe.mjs')
/** What Node looks for in an addon. */
const ENTRIES = ['napi_register_module_v1', 'node_api_module_get_api_version_v1']
let folder = ''

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'espalier-formats-'))
  const sqlite = thirdPartyTarballs().find((path) => path.includes('better-sqlite3-13'))!
  execFileSync('tar', ['-xzf', sqlite, '-C', folder, 'package/prebuilds'])
}, 600_000)

afterAll(() => rmSync(folder, { recursive: true }))

describe('of an addon that somebody else built', () => {
  test.each(['x64', 'arm64'] as const)('for Windows on %s, all names are read', (cpu) => {
    expect(readPe(prebuilt(`win32-${cpu}`))).toEqual({
      cpu,
      libraries: expect.arrayContaining(['KERNEL32.dll', 'node.exe']) as string[],
      exported: ENTRIES,
    })
  })

  test.each([
    ['x64', { minimumMacOs: '10.7', isSigned: false }],
    ['arm64', { minimumMacOs: '11.0', isSigned: true }],
  ] as const)('for macOS on %s, all names are read', (cpu, facts) => {
    const read = readMachO(prebuilt(`darwin-${cpu}`))

    expect(read).toMatchObject({ ...facts, cpu })
    expect(read.libraries).toContain('/usr/lib/libSystem.B.dylib')
    // Its C functions are exported too: a trie with branches.
    expect(read.exported).toEqual(expect.arrayContaining([...ENTRIES, 'sqlite3_open_v2', 'sqlite3_close']))
  })

  test.each(['linux-x64', 'linux-arm64', 'linuxmusl-x64', 'linuxmusl-arm64'])(
    'for %s, all names are read',
    (name) => {
      const { cpu, libraries, exported } = readElf(prebuilt(name))

      expect(cpu).toBe(name.split('-')[1])
      expect(libraries.some((library) => library.startsWith('libc.'))).toBe(true)
      expect(exported).toEqual(expect.arrayContaining(ENTRIES))
      // What it takes from Node is not what it gives.
      expect(exported).not.toContain('napi_create_object')
    },
  )
})

test('what is no file of its kind, or ends early, is an error', () => {
  const windows = prebuilt('win32-x64')
  const mac = prebuilt('darwin-arm64')

  expect(() => readPe(mac)).toThrow('not a PE file')
  expect(() => readMachO(windows)).toThrow('not a 64-bit Mach-O file')
  expect(() => readPe(windows.subarray(0, 1_000))).toThrow()
  expect(() => readMachO(mac.subarray(0, 10_000))).toThrow()
  expect(() => readPe(Buffer.from('MZ'.padEnd(64, '\0')))).toThrow('not a PE file')
})

function prebuilt(name: string): Buffer {
  return readFileSync(join(folder, 'package', 'prebuilds', `${name}.node`))
}
