import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, test } from 'vitest'
import { runChild } from './child.ts'
import { publicDoor } from './interface.ts'

// The programs write down each call before they make it: what a process that is gone was doing stands in the file.
const LONG = process.env['ESPALIER_LONG'] === '1'
/** Some of them start nodes, stretch keys and store objects. */
const DOOR = LONG ? { processes: 10, calls: 100_000 } : { processes: 1, calls: 20_000 }
/** For one process; it is killed then, which counts as a fault. */
const TIME_MS = LONG ? 1_200_000 : 240_000
const DOORS = ['index', 'crypto', 'testing'] as const

const root = fileURLToPath(new URL('../../', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'espalier-hostile-'))

afterAll(() => rmSync(folder, { recursive: true, force: true }))

test(
  'every function, class and method of the public doors answers hostile arguments with a result or an EspalierError',
  async () => {
    const doors = Object.fromEntries(DOORS.map((name) => [name, publicDoor(name)]))
    const plan = { dist: join(root, 'dist'), folder, doors, pairs: LONG ? 0.5 : 0.01 }
    const outcomes = await callAll('door-calls.mjs', DOOR, plan)

    const named = DOORS.flatMap((door) =>
      doors[door]!.functions.map(({ name }) => `${door}.${name}`).filter((name) => name !== 'testing.simEnv'),
    )
    expect(Object.keys(outcomes)).toEqual(expect.arrayContaining(named))
    expect(Object.keys(outcomes)).toEqual(
      expect.arrayContaining(['index.Objects.put', 'index.Identity.sign']),
    )
  },
  DOOR.processes * TIME_MS,
)

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
