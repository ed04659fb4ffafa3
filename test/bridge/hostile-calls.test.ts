import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, test } from 'vitest'
import { ERROR_CODES } from '../../ts/base/error.ts'
import { runChild } from './child.ts'
import { addonInterface, publicDoor } from './interface.ts'

// The programs write down each call before they make it: what a process that is gone was doing stands in the file.
const LONG = process.env['ESPALIER_LONG'] === '1'
/** Ten million in the long run. */
const RAW = LONG ? { processes: 20, calls: 500_000 } : { processes: 1, calls: 100_000 }
/** Some of them start nodes, stretch keys and store objects. */
const DOOR = LONG ? { processes: 10, calls: 100_000 } : { processes: 1, calls: 20_000 }
/** For one process; it is killed then, which counts as a fault. */
const TIME_MS = LONG ? 1_200_000 : 240_000
const DOORS = ['index', 'crypto', 'testing'] as const

const root = fileURLToPath(new URL('../../', import.meta.url))
const addonPath = join(root, 'build', 'Release', 'espalier.node')
const folder = mkdtempSync(join(tmpdir(), 'espalier-hostile-'))

afterAll(() => rmSync(folder, { recursive: true, force: true }))

test('the addon exports exactly what its interface promises', () => {
  const loaded = createRequire(import.meta.url)(addonPath) as Record<string, unknown>

  const promised = addonInterface().map(({ name }) => name)

  expect(Object.keys(loaded).sort()).toEqual(promised.sort())
})

test(
  'every export of the addon answers hostile arguments with a result or a coded error',
  async () => {
    const functions = addonInterface()
    const plan = { addon: addonPath, codes: ERROR_CODES, pairs: LONG ? 1 : 0.1, functions }
    const outcomes = await callAll('raw-calls.mjs', RAW, plan)

    // A function that only ever refused, or was never called, was not tested.
    const returned = functions
      .map(({ name }) => name)
      .filter((name) => (outcomes[name]?.['returned'] ?? 0) > 0)
    expect(returned).toEqual(expect.arrayContaining(ALWAYS_REACHED))
    expect(Object.keys(outcomes).sort()).toEqual(functions.map(({ name }) => name).sort())
  },
  RAW.processes * TIME_MS,
)

test(
  'every function, class and method of the public doors answers hostile arguments with a result or an EspalierError',
  async () => {
    const doors = Object.fromEntries(DOORS.map((name) => [name, publicDoor(name)]))
    const plan = { dist: join(root, 'dist'), folder, doors, pairs: LONG ? 0.5 : 0.01 }
    const outcomes = await callAll('door-calls.mjs', DOOR, plan)

    const named = DOORS.flatMap((door) =>
      doors[door]!.functions.map(({ name }) => `${door}.${name}`).filter((name) => !SIMULATOR.has(name)),
    )
    expect(Object.keys(outcomes)).toEqual(expect.arrayContaining(named))
    expect(Object.keys(outcomes)).toEqual(
      expect.arrayContaining(['index.Objects.put', 'index.Identity.sign']),
    )
  },
  DOOR.processes * TIME_MS,
)

/** Left out by `door-instances.mjs`, which says why. */
const SIMULATOR: ReadonlySet<string> = new Set(['testing.simEnv', 'testing.simulatedNetwork'])

/** What has to succeed at least once in every run, or the good arguments have stopped being good. */
const ALWAYS_REACHED = [
  'hashInto',
  'hashMany',
  'sign',
  'encapsulate',
  'encodeSegment',
  'shardFileRead',
  'queueDrain',
  'transportSubmit',
  'transportDrain',
  'transportDatagram',
]

interface Report {
  readonly attempts: number
  readonly outcomes: Readonly<Record<string, Readonly<Record<string, number>>>>
  readonly faults: readonly string[]
}

/** Runs a program of hostile calls with one seed after another; answers all outcomes by what was called. */
async function callAll(
  program: string,
  amount: { readonly processes: number; readonly calls: number },
  plan: object,
): Promise<Record<string, Record<string, number>>> {
  const all: Record<string, Record<string, number>> = {}
  for (let seed = 1; seed <= amount.processes; seed += 1) {
    const place = join(folder, `${program}-${seed}`)
    mkdirSync(place)
    const planFile = join(place, 'plan.json')
    const logFile = join(place, 'last-call')
    writeFileSync(planFile, JSON.stringify({ ...plan, seed, calls: amount.calls }))

    const ended = await runChild([join(root, 'test', 'bridge', program), planFile, logFile], {
      cwd: place,
      timeoutMs: TIME_MS,
    })

    const about = `${readFileSync(logFile, 'utf8').trim()}\n${ended.stderr}`
    expect(ended, about).toMatchObject({ code: 0, signal: null })
    const { attempts, outcomes, faults } = JSON.parse(ended.stdout) as Report
    expect(faults).toEqual([])
    expect(attempts).toBeGreaterThanOrEqual(amount.calls)
    for (const [name, counts] of Object.entries(outcomes)) {
      const sum = (all[name] ??= {})
      for (const [outcome, count] of Object.entries(counts)) sum[outcome] = (sum[outcome] ?? 0) + count
    }
  }
  return all
}
