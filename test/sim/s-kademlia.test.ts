import { describe, expect, test } from 'vitest'
import type { NodeId } from '../../ts/base/identity.ts'
import { playLookup, type LookupPlan } from '../../ts/sim/hostile-lookup.ts'
import { SeededRng } from '../../ts/sim/rng.ts'
import { Colluders, drawIds, drawTarget, Settlement, targetOf } from '../../ts/sim/settlement.ts'

const NODES = 2_000
const LOOKS = 300
const PLAN: LookupPlan = { k: 16, alpha: 1, paths: 8, restarts: 0, adversary: 'silent' }

const rng = new SeededRng('s-kademlia test')
const ids = drawIds(NODES, rng.split('ids'))
const settlement = new Settlement(ids, { bucketSize: 16, rng: rng.split('tables') })

describe('look-ups among colluders', () => {
  test('all succeed where nobody colludes, whatever the number of paths', () => {
    for (const paths of [1, 2, 4, 8]) expect(successOf({ ...PLAN, paths }, 0)).toBe(1)
  })

  test('more disjoint paths find more, and restarts more again', () => {
    const [one = 0, two = 0, four = 0, eight = 0] = [1, 2, 4, 8].map((paths) =>
      successOf({ ...PLAN, paths }, 0.4),
    )
    const again = successOf({ ...PLAN, restarts: 2 }, 0.4)

    // Steps of several standard deviations: √(0.5² / 300) = 0.029.
    expect(two).toBeGreaterThan(one + 0.09)
    expect(four).toBeGreaterThan(two + 0.09)
    expect(eight).toBeGreaterThan(four)
    expect(again).toBeGreaterThan(eight)
  })

  test('eight paths succeed as the paper says, at a fifth of colluders', () => {
    expect(successOf(PLAN, 0.2)).toBeGreaterThanOrEqual(0.98)
  })

  test('a node is found by one answer less than a value', () => {
    const [node, value] = (['node', 'value'] as const).map((of) =>
      run(PLAN, { share: 0.5, looks: LOOKS, of }),
    )

    // The paper's 85 % less three standard deviations of 300 look-ups.
    expect(node?.found).toBeGreaterThanOrEqual((0.85 - 0.06) * LOOKS)
    expect(node?.found).toBeGreaterThan(value?.found ?? LOOKS)
  })

  test('where all but the asker collude, nothing is found, and no look-up asks anybody twice', () => {
    for (const adversary of ['silent', 'leading'] as const) {
      const { found, requests } = run(
        { ...PLAN, restarts: 2, adversary },
        { share: 1, looks: 20, of: 'value' },
      )

      expect(found).toBe(0)
      expect(requests.every((count) => count > 0 && count < NODES)).toBe(true)
    }
  })
})

function successOf(plan: LookupPlan, share: number): number {
  return run(plan, { share, looks: LOOKS, of: 'value' }).found / LOOKS
}

function run(
  plan: LookupPlan,
  { share, looks, of }: { readonly share: number; readonly looks: number; readonly of: 'node' | 'value' },
) {
  const hostile = Math.min(Math.round(share * NODES), NODES - 1)
  const colluders = new Colluders(ids.slice(0, hostile))
  const draws = new SeededRng(`looks ${share}`)
  const requests: number[] = []
  let found = 0
  for (let look = 0; look < looks; look += 1) {
    const from = ids[hostile + draws.below(NODES - hostile)] as NodeId
    const point = drawTarget(draws)
    const siblings = settlement.siblings(point.id, 16).filter((id) => id !== from)
    const stage =
      of === 'value'
        ? { target: point, holders: new Set(siblings) }
        : { target: targetOf(siblings.find((id) => !colluders.has(id)) ?? point.id) }
    const end = playLookup({ settlement, colluders, from, ...stage }, plan)
    if (end.found) found += 1
    requests.push(end.requests)
  }
  return { found, requests }
}
