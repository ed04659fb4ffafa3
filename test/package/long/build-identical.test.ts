import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { loadScript, repository } from '../build-script.ts'

const { pathsIn } = await loadScript<{
  readonly pathsIn: (bytes: Buffer, paths: readonly string[]) => string[]
}>('pack/checks.mjs')
let folder = ''

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'espalier-identical-'))
})

afterAll(() => rmSync(folder, { recursive: true }))

test('two clean builds in different places are the same, byte for byte, and name neither place', () => {
  // The second one has a space in its path, and reaches the cargo home through a link of another name.
  const cargoHome = join(folder, 'cargo-home')
  symlinkSync(process.env['CARGO_HOME'] ?? join(homedir(), '.cargo'), cargoHome)
  const first = build(join(folder, 'one'))
  const second = build(join(folder, 'a much longer place', 'two'), { CARGO_HOME: cargoHome })

  expect(sha256(second)).toBe(sha256(first))
  expect(pathsIn(first, [folder, homedir(), tmpdir()])).toEqual([])
}, 5_400_000)

function build(place: string, env: Record<string, string> = {}): Buffer {
  mkdirSync(place, { recursive: true })
  for (const name of ['Cargo.toml', 'Cargo.lock', 'crates', 'scripts', 'package.json']) {
    cpSync(join(repository, name), join(place, name), { recursive: true })
  }
  const { status } = spawnSync(process.execPath, ['scripts/build-native.mjs'], {
    cwd: place,
    stdio: 'inherit',
    env: { ...process.env, CARGO_TARGET_DIR: '', ...env },
  })
  expect(status).toBe(0)
  return readFileSync(join(place, 'build', 'Release', 'espalier.node'))
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex')
}
