import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, test } from 'vitest'
import { ERROR_CODES } from '../../ts/base/error.ts'
import { runtime, RUNTIMES } from '../e2e/support/runtime.ts'
import { runChild } from './child.ts'
import { addonInterface, publicDoor, type Callable, type Shape } from './interface.ts'

const LONG = process.env['ESPALIER_LONG'] === '1'
const ROUNDS = LONG ? 20 : 1
const TIME_MS = LONG ? 3_600_000 : 240_000
const DOORS = ['index', 'crypto', 'testing'] as const
/** Of the user's own, or of the simulator, in which nothing leads to native code and bytes are copied at once. */
const EXEMPT = /^testing\.(SimTransport#|Inbound#onDatagram)/

const root = fileURLToPath(new URL('../../', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'espalier-races-'))

afterAll(() => rmSync(folder, { recursive: true, force: true }))

interface Report {
  readonly calls: number
  readonly raced: Readonly<Record<string, number>>
  readonly faults: readonly string[]
}

const lines = RUNTIMES.filter((name) => name === 'this Node' || name === 'Node 24')
const runs = lines.flatMap((line) => (['addon', 'doors'] as const).map((part) => ({ line, part })))

test.each(runs)(
  'on $line, of the $part: memory that is changed, shrunk, moved or freed during a call changes nothing of what the call gives',
  async ({ line, part }) => {
    const exports = takingBytes().filter(({ name }) => name.startsWith('addon.') === (part === 'addon'))
    const { node, home } = runtime(line)
    const place = join(folder, `${line} ${part}`)
    mkdirSync(place)
    const plan = {
      part,
      addonPath: join(home ?? root, 'build', 'Release', 'espalier.node'),
      dist: join(home ?? root, 'dist'),
      folder: place,
      codes: ERROR_CODES,
      parameters: Object.fromEntries(exports.map(({ name, parameters }) => [name, parameters])),
      rounds: ROUNDS,
      // Larger than a segment, which is made on other threads.
      largeBytes: LONG ? 3_000_000 : 300_000,
    }
    const [planFile, logFile] = [join(place, 'plan.json'), join(place, 'last-call')]
    writeFileSync(planFile, JSON.stringify(plan))

    const ended = await runChild(
      ['--expose-gc', join(root, 'test/bridge/race-child.mjs'), planFile, logFile],
      {
        timeoutMs: TIME_MS,
        ...(node === undefined ? {} : { node }),
      },
    )

    const about = `${readFileSync(logFile, 'utf8').trim()}\n${ended.stderr}`
    expect(ended, about).toMatchObject({ code: 0, signal: null })
    const { raced, faults } = JSON.parse(ended.stdout) as Report
    expect(faults).toEqual([])
    // Every place of every export that takes bytes: a new one has no case, and fails here.
    const places = exports.flatMap(({ name, places }) => places.map((each) => `${name}(${each})`))
    expect(Object.keys(raced).sort()).toEqual(places.sort())
  },
  TIME_MS + 120_000,
)

interface TakingBytes {
  readonly name: string
  readonly parameters: readonly string[]
  /** Such as `items[].message`. */
  readonly places: readonly string[]
}

/** The exports of the addon and of the doors that take bytes, from their declarations. */
function takingBytes(): readonly TakingBytes[] {
  const all = [...ofCallables('addon.', addonInterface())]
  for (const name of DOORS) {
    const { functions, classes, members } = publicDoor(name)
    all.push(...ofCallables(`${name}.`, functions))
    for (const each of classes) all.push(...ofCallables(`${name}.${each.name}.`, each.statics))
    for (const each of members) all.push(...ofCallables(`${name}.${each.name}#`, each.methods))
  }
  return all.filter(({ name, places }) => places.length > 0 && !EXEMPT.test(name))
}

function ofCallables(prefix: string, callables: readonly Callable[]): TakingBytes[] {
  return callables.map(({ name, parameters }) => ({
    name: prefix + name,
    parameters: parameters.map((parameter) => parameter.name),
    places: parameters.flatMap((parameter) => bytesIn(parameter.shape, parameter.name)),
  }))
}

function bytesIn(shape: Shape, name: string): string[] {
  switch (shape.kind) {
    case 'bytes':
      return [name]
    case 'list':
      return bytesIn(shape.item, `${name}[]`)
    case 'any of':
      return shape.shapes.flatMap((each) => bytesIn(each, name))
    case 'object':
      return Object.entries(shape.fields).flatMap(([field, inner]) => bytesIn(inner, `${name}.${field}`))
    default:
      return []
  }
}
