import { describe, expect, test } from 'vitest'
import { keyFromBytes, type Key } from '../../../ts/base/identity.ts'
import { judgeNeighbourhood, type Neighbourhood } from '../../../ts/dht/eclipse.ts'
import { SeededRng } from '../../../ts/sim/rng.ts'

const NODES = 10_000
const NEAREST = 20
const ROUNDS = 10_000
const ORIGIN = keyFromBytes(new Uint8Array(32))

interface Errors {
  missed: number
  falseAlarms: number
}

/** The rule, and each of its two tests alone. */
const RULES = {
  rule: ({ isCrowded }: Neighbourhood) => isCrowded,
  divergence: ({ divergence }: Neighbourhood) => divergence > 0.94,
  nearness: ({ probability }: Neighbourhood) => probability < 2.5e-4,
}

interface Numbers {
  /** 0 to 1, both left out. */
  next(): number
}

describe('the neighbourhood of a key', () => {
  test('is told from one that twenty Sybils own in 99.9 % of places, with at most 0.2 % false alarms', () => {
    const { rule, divergence, nearness } = count(1, () => NODES)

    expect(rule.missed / ROUNDS).toBeLessThan(0.001)
    expect(rule.falseAlarms / ROUNDS).toBeLessThan(0.002)
    // What `eclipse.ts` says of each test alone.
    expect([divergence, nearness, rule]).toEqual([
      { missed: 10, falseAlarms: 28 },
      { missed: 2, falseAlarms: 2 },
      { missed: 2, falseAlarms: 7 },
    ])
  })

  test('is told so even when the size is known to 7 % only', () => {
    const { rule } = count(2, (numbers) => NODES * Math.exp(0.14 * numbers.next() - 0.07))
    const { missed, falseAlarms } = rule

    expect(missed / ROUNDS).toBeLessThan(0.001)
    expect(falseAlarms / ROUNDS).toBeLessThan(0.002)
  })

  test('is not suspicious where honest nodes are missing', () => {
    const numbers = randomNumbers(3)
    const closest = honest(numbers, { size: NODES / 3, count: NEAREST })

    const { divergence, isCrowded } = judge(closest, NODES)

    expect(divergence).toBeGreaterThan(0.94)
    expect(isCrowded).toBe(false)
  })

  test('says nothing in a network that is no larger than the neighbourhood', () => {
    const closest = honest(randomNumbers(4), { size: NODES, count: NEAREST })

    expect(judge(closest, NEAREST)).toEqual({ divergence: 0, probability: 1, isCrowded: false })
    expect(judge(closest, NEAREST + 1).isCrowded).toBe(true)
    expect(judge([], NODES).isCrowded).toBe(false)
  })

  test('stays a number where an id shares all bits with the key', () => {
    const { divergence, probability } = judgeNeighbourhood(ORIGIN, {
      closest: new Array<Key>(NEAREST).fill(ORIGIN),
      networkSize: NODES,
    })

    expect(divergence).toBeGreaterThan(30)
    expect(divergence).toBeLessThan(Number.POSITIVE_INFINITY)
    expect(probability).toBe(0)
  })
})

/** Judges places without and with an eclipse, with the size that `estimate` makes up. */
function count(seed: number, estimate: (numbers: Numbers) => number): Record<keyof typeof RULES, Errors> {
  const numbers = randomNumbers(seed)
  const errors = { rule: none(), divergence: none(), nearness: none() }
  for (let round = 0; round < ROUNDS; round += 1) {
    const size = Math.round(estimate(numbers))
    const places = honest(numbers, { size: NODES, count: NEAREST })
    // Hardest to see: no nearer than they must be to hide every honest node.
    const nearest = places[0] ?? 0
    const sybils = Array.from({ length: NEAREST }, () => nearest * numbers.next())
    const [peace, attack] = [judge(places, size), judge(sybils, size)]
    for (const name of ['rule', 'divergence', 'nearness'] as const) {
      if (RULES[name](peace)) errors[name].falseAlarms += 1
      if (!RULES[name](attack)) errors[name].missed += 1
    }
  }
  return errors
}

function none(): Errors {
  return { missed: 0, falseAlarms: 0 }
}

/** Distances of the nearest among `size` random nodes: gaps are exponential, 1 / `size` in the mean. */
function honest(
  numbers: Numbers,
  { size, count }: { readonly size: number; readonly count: number },
): number[] {
  let distance = 0
  return Array.from({ length: count }, () => (distance -= Math.log(numbers.next()) / size))
}

function judge(distances: readonly number[], networkSize: number) {
  return judgeNeighbourhood(ORIGIN, { closest: distances.map(keyAt), networkSize })
}

/** The key at this share of the key space from {@link ORIGIN}. */
function keyAt(distance: number): Key {
  const bytes = new Uint8Array(32)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(Math.floor(distance * 2 ** 53)) << 11n)
  return keyFromBytes(bytes)
}

function randomNumbers(seed: number): Numbers {
  const rng = new SeededRng(`neighbourhood ${seed}`)
  return { next: () => Math.max(Number.EPSILON, rng.float()) }
}
