import { describe, expect, test } from 'vitest'
import { keyFromBytes, nodeIdFromBytes, type Key, type NodeId } from '../../../../ts/base/identity.ts'
import { signRecords, type SignedRecord } from '../../../../ts/base/record.ts'
import { Leases } from '../../../../ts/dht/leases.ts'
import type { Peer } from '../../../../ts/dht/lookup.ts'
import { ChangeSlot, NewestVersion, type HashedRecord } from '../../../../ts/dht/newest-version.ts'
import { encodeRegister } from '../../../../ts/dht/register.ts'
import { WANTED_LEASES, WatchPlan } from '../../../../ts/dht/watch-plan.ts'
import { MAX_LEASE_MS } from '../../../../ts/dht/watch-wire.ts'
import { StubSigner } from '../../../../ts/sim/crypto.ts'
import { SeededRng } from '../../../../ts/sim/rng.ts'

const MINUTE_MS = 60_000
const crypto = new StubSigner(new SeededRng('an owner'))
const id = (value: number): NodeId => nodeIdFromBytes(new Uint8Array(32).fill(value))
const key = (value: number): Key => keyFromBytes(new Uint8Array(32).fill(value))
const peers = (...values: number[]): Peer[] => values.map((value) => ({ id: id(value), addresses: [] }))
const idsOf = (list: readonly Peer[]): NodeId[] => list.map((peer) => peer.id)

describe('the leases that a node grants', () => {
  test('last as long as was asked, ten minutes at most, and begin anew when they are asked for again', () => {
    const leases = new Leases()
    const ask = (leaseMs: number, nowMs: number) =>
      leases.grant({ watcher: id(1), key: key(1), leaseMs }, nowMs)

    expect(ask(1_000, 0)).toEqual({ leaseMs: 1_000, isRenewal: false })
    expect(leases.has({ watcher: id(1), key: key(1) }, 999)).toBe(true)
    expect(leases.has({ watcher: id(1), key: key(1) }, 1_000)).toBe(false)
    expect(leases.of(key(1), 1_000)).toEqual([])
    expect(ask(2 * MAX_LEASE_MS, 1_000)).toEqual({ leaseMs: MAX_LEASE_MS, isRenewal: false })
    expect(ask(5, 2_000)).toEqual({ leaseMs: 5, isRenewal: true })
    expect(leases.of(key(1), 2_004).map(({ watcher }) => watcher)).toEqual([id(1)])
    expect(leases.count(2_005)).toBe(0)
  })

  test.each([
    ['in all', { maxLeases: 3 }, (at: number) => ({ watcher: id(at), key: key(at) })],
    ['of one peer', { maxPerPeer: 3 }, (at: number) => ({ watcher: id(1), key: key(at) })],
    ['of one register', { maxPerRegister: 3 }, (at: number) => ({ watcher: id(at), key: key(1) })],
  ])('are limited %s; those that ran out or were ended make room', (_, limits, place) => {
    const leases = new Leases(limits)
    const ask = (at: number, nowMs: number) => leases.grant({ ...place(at), leaseMs: 1_000 * at }, nowMs)
    for (const at of [1, 2, 3]) expect(ask(at, 0)).toBeDefined()

    expect(ask(4, 10)).toBeUndefined()
    // A renewal needs no room.
    expect(ask(3, 10)).toMatchObject({ isRenewal: true })
    expect(leases.end(place(3))).toBe(true)
    expect(leases.end(place(3))).toBe(false)
    expect(ask(4, 20)).toBeDefined()
    expect(ask(5, 30)).toBeUndefined()
    // The first has run out.
    expect(ask(5, 1_100)).toBeDefined()
    expect(leases.count(1_100)).toBe(3)
  })
})

describe('the memory of a lease', () => {
  test('is its own: the buffer that the request came in is not kept for it', () => {
    const leases = new Leases()
    const buffer = new Uint8Array(8192).fill(7)
    const key = keyFromBytes(buffer.subarray(100, 132))
    leases.grant({ watcher: nodeIdFromBytes(new Uint8Array(32).fill(1)), key, leaseMs: 1000 }, 0)

    const [lease] = leases.of(keyFromBytes(new Uint8Array(32).fill(7)), 0)

    expect(lease?.key).toEqual(new Uint8Array(32).fill(7))
    expect(lease?.key.buffer.byteLength).toBe(32)
  })
})

describe('the plan of a watch', () => {
  const grant = (plan: WatchPlan, whom: NodeId, nowMs: number, random = 0.5) =>
    plan.onGranted(whom, { leaseMs: MAX_LEASE_MS, nowMs, random })

  test('asks the five nearest, each once, and again when half to three quarters of its lease are over', () => {
    const plan = new WatchPlan()
    plan.setNearest(peers(1, 2, 3, 4, 5, 6, 7), 0)

    expect(idsOf(plan.due(0))).toEqual([1, 2, 3, 4, 5].map(id))
    expect(plan.due(0)).toEqual([])
    expect(plan.nextAtMs(0)).toBe(Infinity)
    for (const at of [1, 2, 3, 4, 5]) grant(plan, id(at), 0, at / 5 - 0.2)
    expect(plan.holders(0).length).toBe(WANTED_LEASES)
    expect(plan.nextAtMs(0)).toBe(5 * MINUTE_MS)
    expect(plan.due(5 * MINUTE_MS - 1)).toEqual([])
    expect(idsOf(plan.due(5 * MINUTE_MS))).toEqual([id(1)])
    expect(idsOf(plan.due(7.5 * MINUTE_MS))).toEqual([2, 3, 4, 5].map(id))
  })

  test('takes the next nearest for who fails, refuses or grants next to nothing, and comes back to them ever later', () => {
    const plan = new WatchPlan()
    plan.setNearest(peers(1, 2, 3, 4, 5, 6, 7, 8), 0)
    plan.due(0)
    for (const at of [3, 4, 5]) grant(plan, id(at), 0)
    plan.onFailed(id(1), { isRefusal: false, nowMs: 0, random: 0.5 })
    plan.onGranted(id(2), { leaseMs: 59_999, nowMs: 0, random: 0.5 })

    expect(idsOf(plan.due(0))).toEqual([6, 7].map(id))
    for (const at of [6, 7]) grant(plan, id(at), 0)
    expect(plan.nextAtMs(0)).toBe(2 * MINUTE_MS)
    expect(idsOf(plan.due(2 * MINUTE_MS))).toEqual([1, 2].map(id))
    for (const at of [1, 2]) plan.onFailed(id(at), { isRefusal: at === 2, nowMs: 2 * MINUTE_MS, random: 0 })
    // Twice as long as before, and a quarter less by chance.
    expect(plan.nextAtMs(2 * MINUTE_MS)).toBe(5 * MINUTE_MS)
    // Who answered a search is there; who refused refuses still.
    plan.setNearest(peers(1, 2, 3, 4, 5, 6, 7, 8), 3 * MINUTE_MS)
    expect(idsOf(plan.due(3 * MINUTE_MS))).toEqual([id(1)])
  })

  test('moves to nodes that came nearer, and takes pushes of the former as long as their leases last', () => {
    const plan = new WatchPlan()
    plan.setNearest(peers(1, 2, 3, 4, 5), 0)
    plan.due(0)
    for (const at of [1, 2, 3, 4, 5]) grant(plan, id(at), 0)
    plan.setNearest(peers(9, 8, 1, 2, 3), MINUTE_MS)

    expect(idsOf(plan.due(MINUTE_MS))).toEqual([9, 8].map(id))
    expect(plan.accepts(id(9), MINUTE_MS)).toBe(true)
    expect(plan.accepts(id(5), MINUTE_MS)).toBe(true)
    expect(plan.accepts(id(5), 10 * MINUTE_MS)).toBe(false)
    expect(plan.accepts(id(7), MINUTE_MS)).toBe(false)
    for (const at of [1, 2, 3, 8, 9]) grant(plan, id(at), 9 * MINUTE_MS)
    plan.setNearest(peers(9, 8, 1, 2, 3), 11 * MINUTE_MS)
    expect(idsOf(plan.holders(11 * MINUTE_MS)).sort()).toEqual([1, 2, 3, 8, 9].map(id).sort())
  })

  test('keeps the lease of who does not answer a renewal until it runs out', () => {
    const plan = new WatchPlan()
    plan.setNearest(peers(1), 0)
    plan.due(0)
    grant(plan, id(1), 0)
    plan.due(8 * MINUTE_MS)
    plan.onFailed(id(1), { isRefusal: false, nowMs: 8 * MINUTE_MS, random: 0.5 })

    expect(plan.accepts(id(1), 9 * MINUTE_MS)).toBe(true)
    expect(plan.holders(10 * MINUTE_MS)).toEqual([])
    expect(idsOf(plan.due(10 * MINUTE_MS))).toEqual([id(1)])
  })

  test('with nobody near has nothing to do, and an outcome of somebody unknown changes nothing', () => {
    const plan = new WatchPlan()
    grant(plan, id(1), 0)

    expect(plan.due(0)).toEqual([])
    expect(plan.nextAtMs(0)).toBe(Infinity)
    expect(plan.accepts(id(1), 0)).toBe(false)
  })
})

describe('the newest version', () => {
  const [low, high] = [seen(5, 1), seen(5, 2)].sort((a, b) => Buffer.compare(a.bodyHash, b.bodyHash)) as [
    HashedRecord,
    HashedRecord,
  ]
  const valueIn = ({ record }: HashedRecord) => record.body.payload.at(-2)

  test('never goes back, and knows what it has', () => {
    const newest = new NewestVersion()

    expect(newest.judge(seen(0))).toBe('news')
    expect(newest.take(seen(3))).toMatchObject({ record: { body: { sequence: 3 } }, equivocation: undefined })
    expect(newest.judge(seen(3))).toBe('known')
    expect(newest.take(seen(3))).toBeUndefined()
    expect(newest.judge(seen(2))).toBe('stale')
    expect(newest.take(seen(2))).toBeUndefined()
    expect(newest.take(seen(4))).toMatchObject({ record: { body: { sequence: 4 } } })
  })

  test.each([
    ['lower', high, low],
    ['higher', low, high],
  ])(
    'shows once that an owner signed two of one sequence, when the one with the %s hash comes',
    (_, a, b) => {
      const newest = new NewestVersion()
      newest.take(a)

      const change = newest.take(b)

      expect(change?.record).toBe(low.record)
      expect(change?.equivocation).toMatchObject({ sequence: 5, kept: Uint8Array.of(valueIn(low)!) })
      expect(change?.equivocation?.rejected).toEqual(Uint8Array.of(valueIn(high)!))
      expect(newest.judge(high)).toBe('known')
      expect(newest.take(high)).toBeUndefined()
      expect(newest.take(seen(6))).toMatchObject({ equivocation: undefined })
    },
  )

  test('takes any number of bodies of one sequence to the lowest hash, in whatever order they come', () => {
    const all = Array.from({ length: 40 }, (_, value) => seen(7, value))
    const lowest = all.toSorted((a, b) => Buffer.compare(a.bodyHash, b.bodyHash))[0]!
    const newest = new NewestVersion()

    const changes = all.flatMap((one) => newest.take(one) ?? [])

    expect(newest.newest).toBe(lowest)
    // Each change is to a lower hash but for the first proof, and so they are few.
    expect(changes.length).toBeLessThan(15)
  })
})

describe('the slot of a consumer', () => {
  test('keeps the newest that was not taken, and nothing that is not newer than what was', () => {
    const slot = new ChangeSlot(2)
    const offer = (sequence: number) => slot.offer({ record: seen(sequence).record, equivocation: undefined })

    expect([offer(1), offer(2), slot.take()]).toEqual([false, false, undefined])
    expect([offer(3), offer(4), offer(5)]).toEqual([true, true, true])
    expect(slot.take()).toMatchObject({ sequence: 5, value: Uint8Array.of(5) })
    expect([slot.take(), offer(5), offer(4)]).toEqual([undefined, false, false])
  })

  test('does not lose a proof when a newer version comes before it was taken', () => {
    const slot = new ChangeSlot(-1)
    const newest = new NewestVersion()
    for (const one of [seen(5, 1), seen(5, 2), seen(6, 3)]) {
      const newer = newest.take(one)
      if (newer !== undefined) slot.offer(newer)
    }

    expect(slot.take()).toMatchObject({ sequence: 6, equivocation: { sequence: 5 } })
    expect(slot.take()).toBeUndefined()
  })

  test('shows a proof also to who has seen that sequence already', () => {
    const slot = new ChangeSlot(5)
    const newest = new NewestVersion()
    newest.take(seen(5, 1))

    expect(slot.offer(newest.take(seen(5, 2))!)).toBe(true)
    expect(slot.take()).toMatchObject({ sequence: 5, equivocation: { sequence: 5 } })
  })
})

function seen(sequence: number, value = sequence): HashedRecord {
  const record = recordOf(sequence, value)
  return { record, bodyHash: crypto.hash(record.bodyBytes) }
}

function recordOf(sequence: number, value: number): SignedRecord {
  const kind = 'REGISTER_POINTER' as const
  const payload = encodeRegister(Uint8Array.of(value))
  const times = { issuedUnixMs: 1, expiresUnixMs: 2 }
  const subject = new Uint8Array(32)
  return signRecords(crypto, [{ kind, subject, owner: crypto.id, sequence, payload, ...times }])[0]!
}
