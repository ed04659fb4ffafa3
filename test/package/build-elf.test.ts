import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { loadScript, repository } from './build-script.ts'

interface Elf {
  readonly readElf: (bytes: Buffer) => { cpu: string | undefined; libraries: string[]; versions: string[] }
  readonly newest: (versions: readonly string[], family: string) => string | undefined
  readonly isNewer: (left: string, right: string) => boolean
}

const { readElf, newest, isNewer } = await loadScript<Elf>('pack/elf.mjs')
const onLinux = process.platform === 'linux'

test.runIf(onLinux)('the addon, and Node itself, need what objdump says they need', () => {
  for (const path of [join(repository, 'build', 'Release', 'espalier.node'), process.execPath]) {
    const dump = objdump(path)

    const { versions, libraries, cpu } = readElf(readFileSync(path))

    expect(versions.length, path).toBeGreaterThan(3)
    expect(versions).toEqual(dump.versions)
    expect(libraries).toEqual(dump.libraries)
    expect(cpu).toBe(process.arch)
  }
})

test('dotted versions are compared part by part, and private symbols are newest of all', () => {
  expect(isNewer('2.28', '2.28')).toBe(false)
  expect(isNewer('2.28.1', '2.28')).toBe(true)
  expect(isNewer('2.9', '2.28')).toBe(false)
  expect(isNewer('2.29', '2.28')).toBe(true)
  expect(newest(['GLIBC_2.9', 'GLIBC_2.28', 'GLIBC_2.3.4', 'GCC_4.2.0'], 'GLIBC')).toBe('2.28')
  expect(newest(['GLIBC_2.40', 'GLIBC_PRIVATE'], 'GLIBC')).toBe('PRIVATE')
  expect(newest(['GCC_4.2.0'], 'GLIBC')).toBeUndefined()
})

test('what is no 64-bit little-endian ELF file is an error', () => {
  const elf32 = Buffer.alloc(64)
  elf32.write('\x7fELF\x01\x01', 'latin1')
  for (const bytes of [Buffer.alloc(0), Buffer.from('MZ'.padEnd(64)), elf32]) {
    expect(() => readElf(bytes)).toThrow(/not an? (64-bit little-endian )?ELF/)
  }
})

function objdump(path: string): { versions: string[]; libraries: string[] } {
  const { stdout, status } = spawnSync('objdump', ['-p', path], { encoding: 'utf8' })
  expect(status, 'objdump comes with the C compiler').toBe(0)
  const needs = /Version References:\n([\s\S]*?)\n\n/.exec(stdout)?.[1] ?? ''
  const versions = [...needs.matchAll(/0x[0-9a-f]+ 0x[0-9a-f]+ [0-9]+ (\S+)/g)].map(([, name]) => name!)
  return {
    versions: [...new Set(versions)].sort(),
    libraries: [...stdout.matchAll(/^\s+NEEDED\s+(\S+)$/gm)].map(([, name]) => name!),
  }
}
