import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { EXAMPLE_PRINTS, exampleProgram, failingProgram, MODULE_KINDS } from './support/example.ts'
import {
  type Cell,
  HAS_EVERY_NODE,
  installationOf,
  pairwiseMatrix,
  uncoveredPairs,
  type Way,
  wholeMatrix,
} from './support/matrix.ts'
import { type Packed, packed, platformName } from './support/packed.ts'
import { compilesSqlite, LONGEST_MS, type Outcome, Project } from './support/project.ts'
import { openRegistry, type Registry } from './support/registry.ts'
import { buildFromSource, forgetSourceBuilds, SOURCE_PLACE } from './support/source-build.ts'
import { compiledSqlite, forgetSqlite, keepSqlite } from './support/sqlite.ts'
import { nodeRuntime, oldestRuntime, thirdPartyTarballs } from './support/tools.ts'

const LONG = process.env['ESPALIER_LONG'] === '1'
const CELLS = LONG ? wholeMatrix() : pairwiseMatrix()
const WAYS: readonly Way[] = ['platform', 'bundle', 'neither', 'path', ...(LONG ? (['source'] as const) : [])]

let directory = ''
let ours: Packed
let registry: Registry

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'espalier-install-'))
  ours = await packed()
  if (LONG) {
    forgetSqlite()
    forgetSourceBuilds()
  }
  registry = await openRegistry([ours.core, ours.platform, ours.bundle, ...thirdPartyTarballs()], ours.absent)
}, 600_000)

afterAll(async () => {
  await registry.close()
  rmSync(directory, { recursive: true, force: true })
})

test('the projects of this run cover every pair of package manager, Node and way', () => {
  expect(uncoveredPairs(CELLS, WAYS)).toEqual([])
})

describe('an empty project', () => {
  test.each(CELLS.map((cell): [string, Cell] => [titleOf(cell), cell]))(
    'by %s gets the package offline and runs the example',
    async (_, cell) => {
      const project = projectOf(cell)
      const startedAtMs = performance.now()

      const installed = await install(project, cell)

      const installedMs = performance.now() - startedAtMs
      expect(installed, installed.stdout + installed.stderr).toMatchObject({ code: 0 })
      if (compilesSqlite(cell.line)) keepSqlite(project, nodeRuntime(cell.line))
      for (const way of cell.ways) await VERIFY[way](project)
      log(lineOf(cell, installedMs, performance.now() - startedAtMs))
      project.remove()
    },
    LONGEST_MS + 600_000,
  )

  test.runIf(HAS_EVERY_NODE).each([20, 22] as const)(
    'by npm 11 on the first supported release of Node %i runs the example',
    async (line) => {
      const runtime = oldestRuntime(line)
      const project = projectOf({ manager: 'npm11', line }, runtime)

      const installed = await project.add(['espalier'])

      expect(installed, installed.stderr).toMatchObject({ code: 0 })
      await expectExample(project)
      project.remove()
    },
    LONGEST_MS + 600_000,
  )

  test.runIf(CELLS.some(({ line }) => line === 20))(
    'by pnpm on Node 20 that is left with the newest SQLite gets a typed error and no crash',
    async () => {
      const project = projectOf({ manager: 'pnpm12', line: 20 })
      const installed = await project.add(['espalier'])

      const ending = await project.run(failingProgram('esm'), 'esm')

      expect(installed, installed.stderr).toMatchObject({ code: 0 })
      expect(ending, ending.stderr).toMatchObject({ code: 0, signal: null, stderr: '' })
      expect(JSON.parse(ending.stdout)).toMatchObject({ code: 'NATIVE_UNAVAILABLE' })
      project.remove()
    },
  )
})

test('nothing was asked for beside the packages, and no addon but this platform’s', () => {
  const fetched = registry.fetched.filter((name) => name.startsWith('espalier'))

  expect(registry.refused).toEqual([])
  expect(new Set(fetched.map((name) => name.replace(/-\d+\.\d+\.\d+.*$/, '')))).toEqual(
    new Set(['espalier', `espalier-${platformName()}`, 'espalier-prebuilds']),
  )
})

/** What each way promises, once its project is installed. */
const VERIFY: Readonly<Record<Way, (project: Project) => Promise<void>>> = {
  platform: (project) => expectExample(project),
  bundle: (project) => expectExample(project),
  neither: async (project) => {
    for (const kind of MODULE_KINDS) {
      const ending = await project.run(failingProgram(kind), kind)

      expect(ending, ending.stderr).toMatchObject({ code: 0, signal: null, stderr: '' })
      const failure = JSON.parse(ending.stdout) as { readonly code: string; readonly attempts: string[] }
      expect(failure.code).toBe('NATIVE_UNAVAILABLE')
      expect(failure.attempts.map(placeOf)).toEqual([
        'build in the package',
        'build of the user',
        'platform package',
        'bundle',
      ])
    }
  },
  path: async (project) => {
    const addon = addonFile()
    await expectExample(project, { ESPALIER_NATIVE_PATH: addon })
    await expectExample(project, { NAPI_RS_NATIVE_LIBRARY_PATH: addon })
  },
  source: async (project) => {
    const built = await buildFromSource(project)

    expect(built, built.stdout + built.stderr).toMatchObject({ code: 0 })
    await expectExample(project)
  },
}

function projectOf(
  { manager, line, ways }: Pick<Cell, 'manager' | 'line'> & Partial<Cell>,
  runtime = nodeRuntime(line),
): Project {
  const place = ways?.includes('source') === true ? { place: SOURCE_PLACE } : {}
  return new Project({
    ...place,
    manager,
    runtime,
    registryUrl: registry.url,
    home: directory,
    // In the long run the first project of each manager compiles it; pnpm keeps what it compiled by itself.
    env: compilesSqlite(line) && !(LONG && manager === 'pnpm12') ? compiledSqlite(runtime) : {},
  })
}

function install(project: Project, { manager, line, ways }: Cell): Promise<Outcome> {
  const installation = installationOf(ways[0] ?? 'platform')
  // npm chooses the SQLite that the Node can run; pnpm has to be told.
  const sqlite = manager === 'pnpm12' && compilesSqlite(line) ? ['better-sqlite3@12'] : []
  const bundle = installation === 'bundle' ? ['espalier-prebuilds'] : []
  return project.add(['espalier', ...bundle, ...sqlite], { withoutOptional: installation !== 'default' })
}

async function expectExample(project: Project, env: Readonly<Record<string, string>> = {}): Promise<void> {
  for (const kind of MODULE_KINDS) {
    const ending = await project.run(exampleProgram(kind), kind, env)

    expect(ending, `${kind}\n${ending.stderr}`).toMatchObject({ code: 0, signal: null, stderr: '' })
    expect(ending.stdout).toBe(EXAMPLE_PRINTS)
  }
}

function placeOf(attempt: string): string {
  if (attempt.includes('espalier-prebuilds')) return 'bundle'
  if (attempt.includes(`espalier-${platformName()}`)) return 'platform package'
  if (attempt.includes(join('build', 'Release', 'espalier.node'))) return 'build in the package'
  return attempt.includes(join(platformName(), 'espalier.node')) ? 'build of the user' : attempt
}

/** The addon of the platform package, outside any project. */
function addonFile(): string {
  execFileSync('tar', ['-xzf', ours.platform, '-C', directory])
  return join(directory, 'package', `espalier.${platformName()}.node`)
}

function titleOf({ manager, line, ways }: Cell): string {
  return `${manager} on Node ${line} (${ways.join(', ')})`
}

/** At once, so that a long run shows how far it is. */
function log(line: string): void {
  process.stdout.write(`  ${line}\n`)
}

function lineOf({ manager, line, ways }: Cell, installedMs: number, wholeMs: number): string {
  const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`.padStart(8)
  const columns = [manager.padEnd(7), `Node ${line}`, ways.join(', ').padEnd(24), 'ESM, CommonJS']
  return `${columns.join('  ')}${seconds(installedMs)} to install${seconds(wholeMs)} in all`
}
