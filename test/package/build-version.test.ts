import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { repository } from './build-script.ts'

let copy = ''

beforeEach(() => {
  copy = mkdtempSync(join(tmpdir(), 'espalier-version-'))
  for (const name of ['package.json', 'Cargo.toml', 'Cargo.lock', 'npm', 'scripts']) {
    cpSync(join(repository, name), join(copy, name), { recursive: true })
  }
  symlinkSync(join(repository, 'node_modules'), join(copy, 'node_modules'))
})

afterEach(() => rmSync(copy, { recursive: true }))

test('a new version of package.json reaches every manifest, and nothing else changes', () => {
  const was = version()
  edit('package.json', (text) => text.replace(`"version": "${was}"`, '"version": "7.8.9"'))

  expect(propagate()).toMatchObject({ status: 0 })

  for (const name of readdirSync(join(copy, 'npm'))) {
    const original = readFileSync(join(repository, 'npm', name, 'package.json'), 'utf8')
    const changed = readFileSync(join(copy, 'npm', name, 'package.json'), 'utf8')
    expect(changed, name).toBe(original.replace(`"version": "${was}"`, '"version": "7.8.9"'))
  }
  expect(lines('Cargo.toml')).toEqual(['version = "7.8.9"'])
  const crates = readFileSync(join(copy, 'Cargo.lock'), 'utf8').match(/^name = "espalier-/gm) ?? []
  expect(crates.length).toBeGreaterThanOrEqual(3)
  expect(lines('Cargo.lock')).toEqual(crates.map(() => 'version = "7.8.9"'))
})

test('a tree in which the version has no place is an error that names the place', () => {
  edit('Cargo.toml', (text) => text.replace('[workspace.package]', '[package]'))

  const { status, stderr } = propagate()

  expect(status).not.toBe(0)
  expect(stderr).toContain('workspace')
})

function propagate(): { status: number | null; stderr: string } {
  return spawnSync(process.execPath, ['scripts/version.mjs'], { cwd: copy, encoding: 'utf8' })
}

/** The lines that are not in the repository's file. */
function lines(name: string): string[] {
  const original = readFileSync(join(repository, name), 'utf8').split('\n')
  return readFileSync(join(copy, name), 'utf8')
    .split('\n')
    .filter((line, index) => line !== original[index])
}

function version(): string {
  const { version } = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8')) as {
    version: string
  }
  return version
}

function edit(name: string, change: (text: string) => string): void {
  writeFileSync(join(copy, name), change(readFileSync(join(copy, name), 'utf8')))
}
