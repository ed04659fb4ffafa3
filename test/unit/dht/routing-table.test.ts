import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { keyFromBytes, keyOfNode, nodeIdFromBytes, type Key, type NodeId } from '../../../ts/base/identity.ts'
import { MAX_FAILURES } from '../../../ts/dht/bucket.ts'
import {
  KEY_BITS,
  commonPrefixBits,
  compareDistance,
  headOfKey,
  headOfNode,
  keyInBucket,
} from '../../../ts/dht/key.ts'
import { NOWHERE, networkPlaceOf, type NetworkPlace } from '../../../ts/dht/diversity.ts'
import { RoutingTable } from '../../../ts/dht/routing-table.ts'
import { SeededRng } from '../../../ts/sim/rng.ts'

const rng = new SeededRng('routing table')
const own = idOf(new Uint8Array(32))

describe('keys', () => {
  test('are ordered by XOR distance, like the numbers that they are', () => {
    fc.assert(
      fc.property(bytes32(), bytes32(), bytes32(), (target, a, b) => {
        const [x, y] = [distance(target, a), distance(target, b)]

        expect(Math.sign(compareDistance(keyFromBytes(target), { a, b }))).toBe(x < y ? -1 : x > y ? 1 : 0)
      }),
    )
  })

  test('share the leading bits that their distance lacks', () => {
    fc.assert(
      fc.property(
        bytes32(),
        fc.integer({ min: 0, max: KEY_BITS - 1 }),
        bytes32(),
        (mine, prefixBits, random) => {
          const key = keyInBucket(keyFromBytes(mine), { prefixBits, random })

          expect(commonPrefixBits(keyFromBytes(mine), key)).toBe(prefixBits)
          expect(distance(mine, key).toString(2).length).toBe(KEY_BITS - prefixBits)
        },
      ),
    )
    expect(commonPrefixBits(keyOfNode(own), keyOfNode(own))).toBe(KEY_BITS)
  })

  test('of nodes show their first 64 bits in the text of the id', () => {
    fc.assert(
      fc.property(bytes32(), (bytes) => {
        const view = new DataView(bytes.buffer, bytes.byteOffset)
        const head = { high: view.getInt32(0), low: view.getInt32(4) }

        expect(headOfNode(idOf(bytes))).toEqual(head)
        expect(headOfKey(keyFromBytes(bytes))).toEqual(head)
      }),
    )
  })
})

describe('the table', () => {
  test('gives the same closest contacts as sorting all of them, for any target and count', () => {
    const table = new RoutingTable(own, { capacity: 200 })
    const ids = Array.from({ length: 600 }, (_, at) => near(keyOfNode(own), at % 12))
    for (const id of ids) table.seen(id, 0)
    const present = table.contacts().map(({ id }) => id)

    for (let run = 0; run < 100; run += 1) {
      const base = run % 3 === 0 ? rng.bytes(32) : keyOfNode(run % 3 === 1 ? own : ids[run]!)
      const target = keyFromBytes(Uint8Array.from(base))
      const count = 1 + (run % 40)
      const found = table.closest(target, { count, aliveOnly: false })
      expect(found).toEqual(sorted(present, target).slice(0, count))
    }
    expect(table.size).toBe(present.length)
  })

  test('finds exactly the twenty closest of 10,000 contacts', () => {
    const table = new RoutingTable(own, { capacity: 10_000 })
    const ids = Array.from({ length: 10_000 }, (_, at) => near(keyOfNode(own), at % 14))
    for (const id of ids) table.seen(id, 0)
    const target = keyFromBytes(rng.bytes(32))
    const startMs = performance.now()

    for (let run = 0; run < 100; run += 1) table.closest(target, { count: 20, aliveOnly: true })

    console.log(`closest 20 of 10,000: ${((performance.now() - startMs) * 10).toFixed(0)} µs`)
    const found = table.closest(target, { count: 20, aliveOnly: true })
    expect(found).toEqual(sorted(ids, target).slice(0, 20))
    expect(table.size).toBe(10_000)
  })

  test('orders contacts that were made to share their first hundred bits', () => {
    const table = new RoutingTable(own, { capacity: 100 })
    const target = keyFromBytes(rng.bytes(32))
    const ids = Array.from({ length: 60 }, (_, at) => near(target, 100 + (at % 3)))
    for (const id of ids) table.seen(id, 0)

    expect(table.closest(target, { count: 20, aliveOnly: false })).toEqual(sorted(ids, target).slice(0, 20))
    const twins = Array.from({ length: 30 }, () => near(keyOfNode(own), 150))
    for (const id of twins) table.seen(id, 0)
    expect(table.closest(keyOfNode(own), { count: 30, aliveOnly: false })).toEqual(
      sorted(twins, keyOfNode(own)),
    )
  })

  test('never holds this node, and holds every other once', () => {
    const table = new RoutingTable(own)
    const other = near(keyOfNode(own), 0)

    expect(table.seen(own, 0).kind).toBe('known')
    expect(table.seen(other, 0).kind).toBe('added')
    expect(table.seen(other, 1).kind).toBe('known')

    expect(table.contacts().map(({ id }) => id)).toEqual([other])
    expect(table.size).toBe(1)
  })

  test('a newcomer to a full bucket waits, and pushes nobody out', () => {
    const { table, members } = fullBucket()
    const newcomer = near(keyOfNode(own), 3)

    expect(table.wants(newcomer)).toBe(false)
    expect(table.seen(newcomer, 50)).toEqual({ kind: 'waiting' })

    expect(table.has(newcomer)).toBe(false)
    expect(members.every((id) => table.has(id))).toBe(true)
  })

  test('a newcomer among the twenty nearest takes the place of the farthest in its full bucket, which waits', () => {
    const table = new RoutingTable(own)
    const deeper = Array.from({ length: 12 }, (_, at) => near(keyOfNode(own), 4 + at))
    for (const id of deeper) table.seen(id, 0)
    const all = sorted(
      Array.from({ length: 22 }, () => near(keyOfNode(own), 3)),
      keyOfNode(own),
    )
    // The nearest of the bucket comes last, after the farthest.
    const [nearest, ...members] = all.slice(0, 21) as [NodeId, ...NodeId[]]
    for (const id of members) table.seen(id, 1)
    const farthest = members.at(-1)!

    expect(table.wants(all[21]!)).toBe(false)
    expect(table.seen(all[21]!, 2)).toEqual({ kind: 'waiting' })
    expect(table.wants(nearest)).toBe(true)
    expect(table.seen(nearest, 3)).toEqual({ kind: 'added', evicted: farthest })

    expect(table.size).toBe(32)
    expect(table.wants(nearest)).toBe(false)
    expect(table.failed(members[0]!)).toEqual({ removed: true, promoted: farthest })
  })

  test('however many newcomers are near, those that are not among the twenty nearest push nobody out', () => {
    const { table, members } = fullBucket()
    const closest = near(keyOfNode(own), 3)

    for (let run = 0; run < 100; run += 1) table.seen(near(keyOfNode(own), 3), run)

    expect(table.seen(closest, 101)).toEqual({ kind: 'waiting' })
    expect(members.every((id) => table.has(id))).toBe(true)
  })

  test('names for a check who failed most, then who was silent longest, and nobody who was heard of lately', () => {
    const table = new RoutingTable(own)
    const [first, second, third] = [0, 1, 2].map((bits) => near(keyOfNode(own), bits)) as [
      NodeId,
      NodeId,
      NodeId,
    ]
    for (const [at, id] of [first, second, third].entries()) table.seen(id, at)

    expect(table.contactToCheck(0)).toBeUndefined()
    expect(table.contactToCheck(1)).toBe(first)
    expect(table.contactToCheck(10)).toBe(first)
    table.seen(first, 9)
    expect(table.contactToCheck(9)).toBe(second)
    table.failed(third)
    expect(table.contactToCheck(0)).toBe(third)
    table.failed(first)
    table.failed(first)
    expect(table.contactToCheck(10)).toBe(first)
  })

  test('who took a place after waiting is the first to be checked', () => {
    const { table, members } = fullBucket()
    const waiting = near(keyOfNode(own), 3)
    table.seen(waiting, 50)
    table.failed(members[0]!)

    expect(table.contactToCheck(0)).toBe(waiting)
  })

  test('a contact of a full bucket that does not answer gives its place to the latest that waits', () => {
    const { table, members } = fullBucket()
    const [early, late] = [near(keyOfNode(own), 3), near(keyOfNode(own), 3)]
    table.seen(early, 50)
    table.seen(late, 51)

    expect(table.failed(members[0]!)).toEqual({ removed: true, promoted: late })

    expect(table.has(members[0]!)).toBe(false)
    expect(table.has(late)).toBe(true)
    expect(table.has(early)).toBe(false)
    expect(table.size).toBe(40)
    expect(table.failed(members[1]!)).toEqual({ removed: true, promoted: early })
  })

  test('who no longer serves leaves, and so does who moves to where too many are; it is told who took the place', () => {
    const hosts = new Map<NodeId, string>()
    const { table, members } = fullBucket((id) => {
      if (!hosts.has(id)) hosts.set(id, `2a00:${hosts.size}::1`)
      return networkPlaceOf(hosts.get(id)!, { allowPrivate: false })
    })
    const [early, late] = [near(keyOfNode(own), 3), near(keyOfNode(own), 3)]
    for (const [at, id] of [early, late].entries()) table.seen(id, 50 + at)

    expect(table.remove(members[0]!)).toEqual({ removed: true, promoted: late })
    expect(table.moved(members[1]!)).toEqual({ removed: false, promoted: undefined })
    hosts.set(members[1]!, hosts.get(members[2]!)!)
    expect(table.moved(members[1]!)).toEqual({ removed: true, promoted: early })
    expect(table.size).toBe(40)
    expect(table.remove(members[2]!)).toEqual({ removed: true, promoted: undefined })
    expect(table.remove(members[2]!)).toEqual({ removed: false, promoted: undefined })
    expect(table.moved(members[2]!)).toEqual({ removed: false, promoted: undefined })
    expect(table.size).toBe(39)

    expect(table.contacts()).toHaveLength(39)
  })

  test('at most ten wait, and the oldest of them is forgotten', () => {
    const { table, members } = fullBucket()
    const waiting = Array.from({ length: 11 }, () => near(keyOfNode(own), 3))
    for (const [at, id] of waiting.entries()) table.seen(id, 50 + at)

    const promoted = members.slice(0, 11).map((id) => table.failed(id).promoted)

    expect(promoted).toEqual([...waiting.slice(1).reverse(), undefined])
    // Nobody waits any more: the eleventh has further chances.
    expect(table.has(members[10]!)).toBe(true)
  })

  test('where nobody waits a contact has three chances, is not told to others meanwhile, and an answer clears it', () => {
    const table = new RoutingTable(own)
    const id = near(keyOfNode(own), 0)
    table.seen(id, 0)
    const told = () => table.closest(keyOfNode(id), { count: 1, aliveOnly: true }).length

    expect(told()).toBe(1)
    table.failed(id)
    expect(told()).toBe(0)
    expect(table.closest(keyOfNode(id), { count: 1, aliveOnly: false }).length).toBe(1)
    table.seen(id, 1)
    expect(told()).toBe(1)
    for (let failure = 1; failure < MAX_FAILURES; failure += 1) expect(table.failed(id).removed).toBe(false)
    expect(table.failed(id)).toEqual({ removed: true, promoted: undefined })
    expect(table.size).toBe(0)
    expect(table.failed(id)).toEqual({ removed: false, promoted: undefined })
  })

  test('a bucket is stale until a look-up goes into its range, and again later; empty deeper ones never are', () => {
    const table = new RoutingTable(own)
    table.seen(near(keyOfNode(own), 2), 0)

    expect(table.staleBuckets(100)).toEqual([0, 1, 2])
    table.touch(keyInBucket(keyOfNode(own), { prefixBits: 1, random: rng.bytes(32) }), 100)
    expect(table.staleBuckets(100)).toEqual([0, 2])
    expect(table.staleBuckets(101)).toEqual([0, 1, 2])
    table.touchDeeper(1, 101)
    expect(table.staleBuckets(101)).toEqual([0])
    expect(table.staleBuckets(102)).toEqual([0, 1, 2])
  })

  test('the bucket to refresh is the one left alone longest, and a full one only if it was silent too', () => {
    const { table } = fullBucket()
    for (const bits of [0, 1, 2]) {
      table.seen(near(keyOfNode(own), bits), 0)
      table.touch(keyInBucket(keyOfNode(own), { prefixBits: bits, random: rng.bytes(32) }), 5 - bits)
    }
    table.touchDeeper(4, 100)

    // The members of the full bucket were seen at 0 to 19, and nobody looked into it.
    expect(table.bucketToRefresh(20)).toBe(3)
    expect(table.bucketToRefresh(19)).toBe(2)
    expect(table.bucketToRefresh(4)).toBe(2)
    expect(table.bucketToRefresh(3)).toBeUndefined()
  })
})

/**
 * A table whose bucket of three shared bits is full, with twenty siblings that are nearer; the members of
 * the bucket in the order in which they were seen.
 */
function fullBucket(locate: (id: NodeId) => NetworkPlace = () => NOWHERE) {
  const table = new RoutingTable(own, { locate })
  for (let at = 0; at < 20; at += 1) table.seen(near(keyOfNode(own), 4 + at), 200)
  const members = Array.from({ length: 20 }, () => near(keyOfNode(own), 3))
  for (const [at, id] of members.entries()) table.seen(id, at)
  return { table, members }
}

function near(key: Key, prefixBits: number): NodeId {
  return idOf(keyInBucket(key, { prefixBits, random: rng.bytes(32) }))
}

function idOf(bytes: Uint8Array): NodeId {
  return nodeIdFromBytes(bytes)
}

function sorted(ids: readonly NodeId[], target: Key): NodeId[] {
  return ids
    .map((id) => ({ id, far: distance(target, keyOfNode(id)) }))
    .sort((x, y) => (x.far < y.far ? -1 : x.far > y.far ? 1 : 0))
    .map(({ id }) => id)
}

function distance(a: Uint8Array, b: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(a).toString('hex')}`) ^ BigInt(`0x${Buffer.from(b).toString('hex')}`)
}

function bytes32(): fc.Arbitrary<Uint8Array> {
  return fc.uint8Array({ minLength: 32, maxLength: 32 })
}
