import { appendFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { failingProgram } from './support/example.ts'
import { type Packed, packed, platformName } from './support/packed.ts'
import { type Outcome, Project } from './support/project.ts'
import { openRegistry, type Registry } from './support/registry.ts'
import { manifestOf } from './support/tarball.ts'
import { type NodeLine, nodeRuntime, thirdPartyTarballs } from './support/tools.ts'

/** A Node that takes the SQLite with binaries, whichever runs the tests. */
const OWN = Number.parseInt(process.versions.node, 10)
const LINE: NodeLine = OWN === 22 || OWN === 26 ? OWN : 24
/** What an install may put on the disk beside the packages of others. */
const MAX_INSTALL_BYTES = 10 * 1024 * 1024

let directory = ''
let ours: Packed
let registry: Registry
let project: Project

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'espalier-installed-'))
  ours = await packed()
  registry = await openRegistry([ours.core, ours.platform, ...thirdPartyTarballs()], ours.absent)
  project = await installed()
}, 600_000)

afterAll(async () => {
  project.remove()
  await registry.close()
  rmSync(directory, { recursive: true, force: true })
})

describe('an installed package', () => {
  test('runs its command by npx', async () => {
    const version = await project.exec(['espalier', '--version'])
    const help = await project.exec(['espalier', '--help'])

    expect(version).toMatchObject({ code: 0, stdout: `${manifestOf(ours.core).version}\n` })
    expect(help).toMatchObject({ code: 0 })
    expect(help.stdout).toContain('build-native')
  })

  test('shows the whole line by npx espalier demo, without a repository or a file at hand', async () => {
    const ending = await project.exec(['espalier', 'demo', '--json'])

    expect(ending, ending.stderr).toMatchObject({ code: 0, signal: null })
    expect(ending.stdout.trimEnd().split('\n').at(-1)).toBe('{"event":"done"}')
  })

  test('hides what is not a public door, from import and from require', async () => {
    const deep = [
      'espalier/dist/index.js',
      'espalier/dist/native/load.js',
      'espalier/native',
      'espalier/crates',
    ]
    const tell = `(error) => console.log(error.code)`
    const esm = await project.run(
      `for (const name of ${JSON.stringify(deep)}) await import(name).catch(${tell})`,
      'esm',
    )
    const cjs = await project.run(
      `for (const name of ${JSON.stringify(deep)}) try { require(name) } catch (error) { (${tell})(error) }`,
      'cjs',
    )

    for (const ending of [esm, cjs]) {
      expect(ending.stdout).toBe('ERR_PACKAGE_PATH_NOT_EXPORTED\n'.repeat(deep.length))
    }
  })

  test('gives one and the same module to import and require', async () => {
    const program = `
      import { createRequire } from 'node:module'
      import * as imported from 'espalier'
      const required = createRequire(import.meta.url)('espalier')
      console.log(imported.EspalierError === required.EspalierError, Object.keys(required).length > 10)`

    expect(await project.run(program, 'esm')).toMatchObject({ code: 0, stdout: 'true true\n', stderr: '' })
  })

  test('takes at most ten megabytes', () => {
    const bytes = ['espalier', `espalier-${platformName()}`].map((name) => sizeBelow(project.path(name)))
    console.log(`an install puts ${bytes.join(' + ')} bytes on the disk beside the packages of others`)

    // Both are really there: neither the JavaScript with its sources nor an addon is smaller than half a megabyte.
    expect(Math.min(...bytes)).toBeGreaterThan(500_000)
    expect((bytes[0] ?? 0) + (bytes[1] ?? 0)).toBeLessThan(MAX_INSTALL_BYTES)
  })

  test('says what is missing when it is to be built without Rust and a C compiler', async () => {
    const bare = join(directory, 'bare')
    mkdirSync(bare)
    symlinkSync(nodeRuntime(LINE).node, join(bare, 'node'))

    const ending = await project.runFile(
      [project.path('espalier', 'dist', 'cli', 'main.js'), 'build-native'],
      {
        PATH: bare,
      },
    )

    expect(ending.code).not.toBe(0)
    expect(ending.stderr).toMatch(/needs Rust 1\.\d+ .*Install it with:\n.*needs a C and C\+\+ compiler/s)
    expect(ending.stderr).toContain('espalier: NATIVE_UNAVAILABLE')
  })
})

test('an addon with one byte more than was packed is not loaded', async () => {
  const other = await installed()
  appendFileSync(other.path(`espalier-${platformName()}`, `espalier.${platformName()}.node`), '\0')

  const ending = await other.run(failingProgram('esm'), 'esm')

  const failure = JSON.parse(ending.stdout) as { readonly code: string; readonly attempts: string[] }
  expect(failure.code).toBe('NATIVE_UNAVAILABLE')
  expect(failure.attempts.join('\n')).toContain('SHA-256')
  other.remove()
})

async function installed(): Promise<Project> {
  const created = new Project({
    manager: 'npm11',
    runtime: nodeRuntime(LINE),
    registryUrl: registry.url,
    home: directory,
  })
  const outcome: Outcome = await created.add(['espalier'])
  expect(outcome, outcome.stderr).toMatchObject({ code: 0 })
  return created
}

function sizeBelow(folder: string): number {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0)
}
