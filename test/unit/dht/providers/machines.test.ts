import { describe, expect, test } from 'vitest'
import { nodeIdFromBytes, type NodeId } from '../../../../ts/base/identity.ts'
import { tailOfPoisson } from '../../../../ts/dht/poisson.ts'
import { idSetOf, planIssue } from '../../../../ts/dht/provider-issue.ts'
import { Lifetime, RECEIPT_WINDOW_MS, windowOf } from '../../../../ts/dht/provider-lifetime.ts'
import { ProviderPlaces, type ProviderEntry } from '../../../../ts/dht/provider-places.ts'
import { planProviders, type ProviderPlan } from '../../../../ts/dht/provider-plan.ts'

const HOUR_MS = 3_600_000
const NOW = 1_790_000_000_000
const id = (number: number): NodeId => nodeIdFromBytes(new Uint8Array(32).fill(number))

describe('the life of an announcement', () => {
  test('is two hours, half an hour more for each who asks, twelve hours at most', () => {
    const lifetime = new Lifetime()
    expect(lifetime.lifetimeMs(NOW)).toBe(2 * HOUR_MS)
    lifetime.onHit('a')
    lifetime.onHit('a')
    lifetime.onHit('b')
    expect(lifetime.lifetimeMs(NOW)).toBe(3 * HOUR_MS)
    for (let count = 0; count < 22; count += 1) lifetime.onHit(`${count}`)
    expect(lifetime.lifetimeMs(NOW)).toBe(14 * HOUR_MS)
    lifetime.onHit('one more')
    expect(lifetime.lifetimeMs(NOW)).toBe(14 * HOUR_MS)
    lifetime.onIssued()
    expect(lifetime.lifetimeMs(NOW)).toBe(2 * HOUR_MS)
  })

  test('is ten minutes longer for each window with a receipt, two hours at most, while they are recent', () => {
    const lifetime = new Lifetime()
    const current = windowOf(NOW)
    expect(lifetime.onReceipt(current, 'a', NOW)).toBe(true)
    expect(lifetime.onReceipt(current, 'a', NOW)).toBe(false)
    expect(lifetime.onReceipt(current, 'b', NOW)).toBe(true)
    expect(lifetime.lifetimeMs(NOW)).toBe(2 * HOUR_MS + RECEIPT_WINDOW_MS)
    for (let back = 1; back < 12; back += 1) expect(lifetime.onReceipt(current - back, 'a', NOW)).toBe(true)
    expect(lifetime.onReceipt(current - 12, 'a', NOW)).toBe(false)
    expect(lifetime.onReceipt(current + 1, 'a', NOW)).toBe(true)
    expect(lifetime.onReceipt(current + 2, 'a', NOW)).toBe(false)
    expect(lifetime.lifetimeMs(NOW)).toBe(4 * HOUR_MS)
    // Eleven windows later only the two youngest count.
    expect(lifetime.lifetimeMs(NOW + 11 * RECEIPT_WINDOW_MS)).toBe(2 * HOUR_MS + 2 * RECEIPT_WINDOW_MS)
    expect(lifetime.lifetimeMs(NOW + 20 * RECEIPT_WINDOW_MS)).toBe(2 * HOUR_MS)
  })

  test('takes receipts of 256 readers in a window and no more', () => {
    const lifetime = new Lifetime()
    for (let count = 0; count < 256; count += 1) {
      expect(lifetime.onReceipt(windowOf(NOW), `${count}`, NOW)).toBe(true)
    }
    expect(lifetime.onReceipt(windowOf(NOW), 'one more', NOW)).toBe(false)
  })
})

describe('the tail of the Poisson distribution', () => {
  test('is that of the tables', () => {
    // 1 − e^−m for one event; for two 1 − e^−m(1 + m).
    expect(tailOfPoisson(0.5, 1)).toBeCloseTo(1 - Math.exp(-0.5), 11)
    expect(tailOfPoisson(0.001, 2)).toBeCloseTo(1 - Math.exp(-0.001) * 1.001, 12)
    expect(tailOfPoisson(3, 10)).toBeCloseTo(0.001_102_488, 8)
    expect(tailOfPoisson(5, 5)).toBe(1)
    expect(tailOfPoisson(0, 1)).toBe(0)
    // Where e^−mean has no number of its own any more; a normal distribution says 0.49 and 2.9e-7 there.
    expect(tailOfPoisson(10_000, 10_001)).toBeCloseTo(0.5, 1)
    expect(tailOfPoisson(10_000, 10_500)).toBeGreaterThan(2e-7)
    expect(tailOfPoisson(10_000, 10_500)).toBeLessThan(6e-7)
  })
})

describe('a plan', () => {
  const ids = Array.from({ length: 100 }, (_, at) => new Uint8Array(32).fill(at))

  test('gives everybody the same where all have everything', () => {
    const { assignments, missing } = planned(ids, () => [id(1), id(2), id(3), id(4)])

    expect([...assignments.values()].map((list) => list.length)).toEqual([25, 25, 25, 25])
    expect([...assignments.values()].flat().toSorted(byFirst)).toEqual(ids)
    expect(missing).toEqual([])
  })

  test('is made in small steps, each of which says what it took', () => {
    const steps: number[] = []
    const work = planProviders(ids, () => [id(1), id(2)])
    for (let step = work.next(); step.done !== true; step = work.next()) steps.push(step.value)

    expect(steps.length).toBe(3 * ids.length)
    expect(Math.max(...steps)).toBe(2)
  })

  test('asks for what only one has there, and leaves the rest to others', () => {
    const { assignments, missing } = planned(ids, (wanted) => {
      if (wanted[0]! < 50) return [id(1), id(2)]
      return wanted[0]! < 90 ? [id(1)] : []
    })

    expect(assignments.get(id(1))).toHaveLength(45)
    expect(assignments.get(id(2))).toHaveLength(45)
    expect(assignments.get(id(2))!.every((wanted) => wanted[0]! < 50)).toBe(true)
    expect(missing).toEqual(ids.slice(90))
  })
})

describe('the announcements that a node keeps', () => {
  const entry = (change: Partial<ProviderEntry> = {}): ProviderEntry => ({
    place: 'aa',
    provider: id(1),
    sequence: 1,
    bodyHash: Uint8Array.of(5),
    expiresUnixMs: NOW,
    ...change,
  })

  test('are one for each root and provider: the higher sequence, then the lower hash', () => {
    const places = new ProviderPlaces()
    expect(places.judge(entry())).toEqual({ kind: 'keep' })
    places.set(entry())
    expect(places.judge(entry())).toEqual({ kind: 'same' })
    expect(places.judge(entry({ sequence: 2 }))).toEqual({ kind: 'keep' })
    expect(places.judge(entry({ bodyHash: Uint8Array.of(4) }))).toEqual({ kind: 'keep' })
    expect(places.judge(entry({ bodyHash: Uint8Array.of(6) }))).toEqual({ kind: 'stale' })
    places.set(entry({ sequence: 2 }))
    expect(places.judge(entry())).toEqual({ kind: 'stale' })
    expect(places.judge(entry({ provider: id(2) }))).toEqual({ kind: 'keep' })
    expect(places.size).toBe(1)
  })

  test('end at each quota, and one that is kept already may still change', () => {
    const places = new ProviderPlaces({ maxProviders: 4, maxProvidersPerRoot: 2, maxRootsPerProvider: 2 })
    places.set(entry())
    expect(places.judge(entry({ provider: id(2) }))).toEqual({ kind: 'keep' })
    places.set(entry({ provider: id(2) }))
    expect(places.judge(entry({ provider: id(3) }))).toEqual({ kind: 'full', quota: 'root' })
    expect(places.judge(entry({ place: 'bb' }))).toEqual({ kind: 'keep' })
    places.set(entry({ place: 'bb' }))
    expect(places.judge(entry({ place: 'cc' }))).toEqual({ kind: 'full', quota: 'provider' })
    places.set(entry({ place: 'cc', provider: id(2) }))
    expect(places.judge(entry({ place: 'cc', provider: id(3) }))).toEqual({ kind: 'full', quota: 'all' })
    expect(places.judge(entry({ sequence: 2 }))).toEqual({ kind: 'keep' })
    expect(places.delete(entry({ place: 'bb' }))).toBe(true)
    expect(places.delete(entry({ place: 'bb' }))).toBe(false)
    expect(places.judge(entry({ place: 'cc', provider: id(3) }))).toEqual({ kind: 'keep' })
  })

  test('of a full root yield the least trusted to one who is trusted more, and to nobody else', () => {
    const scores = new Map([
      [id(1), 0.5],
      [id(2), 0.2],
      [id(3), 0.3],
    ])
    const places = new ProviderPlaces({ maxProvidersPerRoot: 2 }, (of) => scores.get(of) ?? 0)
    places.set(entry())
    places.set(entry({ provider: id(2) }))
    expect(places.judge(entry({ provider: id(3) }))).toEqual({
      kind: 'keep',
      instead: entry({ provider: id(2) }),
    })
    expect(places.judge(entry({ provider: id(4) }))).toEqual({ kind: 'full', quota: 'root' })
    scores.set(id(4), 0.2)
    expect(places.judge(entry({ provider: id(4) }))).toEqual({ kind: 'full', quota: 'root' })
  })

  test('are listed by id, page by page, and leave with their provider', () => {
    const places = new ProviderPlaces()
    const ids = [3, 1, 2].map(id)
    for (const provider of ids) places.set(entry({ provider }))
    const sorted = ids.toSorted()
    expect(places.list('aa', undefined)).toEqual(sorted)
    expect(places.list('aa', sorted[0])).toEqual(sorted.slice(1))
    expect(places.list('bb', undefined)).toEqual([])
    for (const provider of ids.slice(0, 2)) expect(places.delete(entry({ provider }))).toBe(true)
    expect(ids.map((provider) => places.hasProvider(provider))).toEqual([false, false, true])
    expect(places.list('aa', undefined)).toEqual([ids[2]])
    expect(places.size).toBe(1)
  })
})

describe('a set that is announced', () => {
  const ids = (count: number): Uint8Array[] =>
    Array.from({ length: count }, (_, at) => new Uint8Array(32).fill(at))
  const announced = (summary: number, added = 0) => ({
    ids: Buffer.concat(ids(summary)),
    added: ids(summary + added).slice(summary),
  })

  test('asks for a summary, for ids beside it, or for nothing', () => {
    const plan = (count: number, before?: ReturnType<typeof announced>) =>
      planIssue(idSetOf(ids(count)), before)

    expect(plan(3)).toEqual({ kind: 'summary', ids: ids(3) })
    expect(plan(3, announced(3))).toEqual({ kind: 'same' })
    expect(plan(3, announced(2, 1))).toEqual({ kind: 'same' })
    expect(plan(5, announced(2, 1))).toEqual({ kind: 'delta', added: ids(5).slice(2) })
    expect(plan(66, announced(2, 1)).kind).toBe('delta')
    expect(plan(67, announced(2, 1)).kind).toBe('summary')
    expect(plan(2, announced(2, 1)).kind).toBe('summary')
    expect(plan(2, announced(3)).kind).toBe('summary')
  })

  test('counts duplicates once and is a copy', () => {
    const given = [...ids(2), ...ids(2)]
    const set = idSetOf(given)
    given[0]![0] = 9

    expect([...set.values()]).toEqual(ids(2))
  })

  test('has 1 to 1,048,576 ids', { timeout: 300_000 }, () => {
    function* many(count: number): Generator<Uint8Array> {
      const id = Buffer.alloc(32)
      for (let at = 0; at < count; at += 1) {
        id.writeUInt32LE(at)
        yield id
      }
    }

    expect(() => idSetOf(many(1_048_577))).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }))
    expect(() => idSetOf([])).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }))
  })
})

/** The plan, all in one turn. */
function planned(...args: Parameters<typeof planProviders>): ProviderPlan {
  const work = planProviders(...args)
  for (;;) {
    const step = work.next()
    if (step.done === true) return step.value
  }
}

function byFirst(a: Uint8Array, b: Uint8Array): number {
  return a[0]! - b[0]!
}
