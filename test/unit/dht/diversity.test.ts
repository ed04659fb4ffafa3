import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { keyOfNode, nodeIdFromBytes, type NodeId } from '../../../ts/base/identity.ts'
import {
  networkPlaceOf,
  refusalOf,
  type NetworkKind,
  type NetworkKnowledge,
  type NetworkPlace,
} from '../../../ts/dht/diversity.ts'
import { commonPrefixBits, compareDistance } from '../../../ts/dht/key.ts'
import { RoutingTable } from '../../../ts/dht/routing-table.ts'
import { SeededRng } from '../../../ts/sim/rng.ts'

/** Large enough for one node of an address, too small for 2 % to be more. */
const VIEW = 60

describe('the places that a view has for one network', () => {
  test.each([
    ['an IPv4 address', 1, () => '198.18.0.1', 'ipv4'],
    ['an IPv4 /24', 3, (at: number) => `198.18.0.${at}`, 'ipv4/24'],
    ['an IPv4 /16', 10, (at: number) => `198.18.${at}.1`, 'ipv4/16'],
    ['an IPv6 /64', 1, (at: number) => `2a00:1::${at.toString(16)}`, 'ipv6/64'],
    ['an IPv6 /48', 3, (at: number) => `2a00:1:0:${at.toString(16)}::1`, 'ipv6/48'],
    ['an IPv6 /32', 10, (at: number) => `2a00:1:${at.toString(16)}::1`, 'ipv6/32'],
  ] as const)('%s: %i', (_what, cap, host, kind) => {
    const { refused, places } = fill({ count: cap + 1, host })

    expect(refused).toEqual([kind])
    expect(refusal(places, '203.0.113.1')).toBeUndefined()
    expect(refusal(places, '2c00:1::1')).toBeUndefined()
  })

  test('an autonomous system: 20, and 10 of one that hires machines out', () => {
    const host = (at: number): string => `${at}.1.1.1`
    const knowledge: NetworkKnowledge = { asnOf: () => 64_500 }

    expect(fill({ count: 21, host, knowledge }).refused).toEqual(['asn'])
    expect(fill({ count: 11, host, knowledge: { ...knowledge, isHosting: () => true } }).refused).toEqual([
      'asn',
    ])
  })

  test('one node at least where machines are for hire', () => {
    const knowledge: NetworkKnowledge = { isHosting: () => true }

    expect(fill({ count: 2, host: (at) => `198.18.0.${at}`, knowledge }).refused).toEqual(['ipv4/24'])
    expect(fill({ count: 1, host: () => '2a00:1::1', knowledge }).refused).toEqual([])
  })

  test('two nodes of one IPv4 address below fifty nodes, one from fifty on', () => {
    const { places } = fill({ count: 1, host: () => '198.18.0.1' })

    expect(refusal(places, '198.18.0.1', 49)).toBeUndefined()
    expect(refusal(places, '198.18.0.1', 50)).toBe('ipv4')
  })

  test('2 % of a large view', () => {
    const host = (at: number): string => `198.18.0.${at}`
    const { refused, places } = fill({ count: 6, host, viewSize: 299 })

    expect(refused).toEqual(['ipv4/24'])
    expect(refusal(places, host(7), 300)).toBeUndefined()
  })

  test('special ranges count unless the operator allows them', () => {
    const host = (at: number): string => `10.0.0.${at}`

    expect(fill({ count: 4, host }).refused).toEqual(['ipv4/24'])
    expect(fill({ count: 200, host, allowPrivate: true }).refused).toEqual([])
    expect(fill({ count: 4, host: (at) => `9.0.0.${at}`, allowPrivate: true }).refused).toEqual(['ipv4/24'])
  })

  test('every spelling of an address is the same place', () => {
    const options = { allowPrivate: false }

    expect(networkPlaceOf('2A00:1:0:0:0:0:0:1', options)).toEqual(networkPlaceOf('2a00:1::2', options))
    expect(networkPlaceOf('no literal', options)).toEqual(networkPlaceOf('', options))
  })
})

describe('a routing table', () => {
  const own = id(0)

  test('takes three of ten thousand ids in one /24, wherever they are in the key space', () => {
    const table = tableOf((at) => `198.18.0.${at % 256}`)

    for (let at = 1; at <= 10_000; at += 1) table.seen(id(at), at)

    expect(table.size).toBe(3)
    expect(table.seen(id(10_001), 1)).toEqual({ kind: 'refused', network: 'ipv4/24' })
  })

  test('never exceeds the caps, whoever comes, fails, moves and leaves', () => {
    const step = fc.record({
      node: fc.integer({ min: 1, max: 400 }),
      act: fc.constantFrom('seen', 'seen', 'seen', 'failed', 'remove', 'move'),
      net: fc.integer({ min: 0, max: 15 }),
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 600 }), (steps) => {
        const nets = new Map<NodeId, number>()
        const host = (node: NodeId): string => `198.${nets.get(node) ?? 0}.0.1`
        const table = new RoutingTable(own, {
          capacity: 4,
          locate: (node) => networkPlaceOf(host(node), { allowPrivate: false }),
        })
        for (const { node, act, net } of steps) {
          const peer = id(node)
          if (!nets.has(peer)) nets.set(peer, net)
          if (act === 'seen') table.seen(peer, 1)
          else if (act === 'failed') table.failed(peer)
          else if (act === 'remove') table.remove(peer)
          else {
            nets.set(peer, net)
            table.moved(peer)
          }
          const counts = new Map<string, number>()
          for (const contact of table.contacts()) {
            counts.set(host(contact.id), (counts.get(host(contact.id)) ?? 0) + 1)
          }
          expect(Math.max(0, ...counts.values())).toBeLessThanOrEqual(2)
          expect(table.contacts()).toHaveLength(table.size)
        }
      }),
      { numRuns: 60 },
    )
  })

  test('gives the place of a contact that left to the next whose network has room', () => {
    // All share no bit with this node, so that they contend for one bucket of two; the nearer have come before.
    const others = Array.from({ length: 40 }, (_, at) => id(at + 1))
      .filter((node) => commonPrefixBits(keyOfNode(node), keyOfNode(own)) === 0)
      .sort((x, y) => compareDistance(keyOfNode(own), { a: keyOfNode(x), b: keyOfNode(y) }))
    const [first = own, second = own, third = own, fourth = own] = others
    const elsewhere = new Set([second, third])
    const table = new RoutingTable(own, {
      capacity: 2,
      locate: (node) =>
        networkPlaceOf(elsewhere.has(node) ? '7.1.1.1' : '198.18.0.1', {
          allowPrivate: false,
          isHosting: () => true,
        }),
    })
    for (const node of [first, second]) table.seen(node, 1)
    // The bucket is full: they wait, the latest would come first.
    for (const node of [third, fourth]) table.seen(node, 1)

    expect(table.failed(second)).toEqual({ removed: true, promoted: third })
    expect(table.failed(third)).toEqual({ removed: false, promoted: undefined })
  })

  test('tells how evenly it spreads over networks', () => {
    const even = tableOf((at) => `${at}.1.1.1`)
    const half = tableOf((at) => `${Math.ceil(at / 2)}.1.${at}.1`)
    const uneven = tableOf((at) => `198.18.${at}.1`)
    for (let at = 1; at <= 8; at += 1) for (const table of [even, half, uneven]) table.seen(id(at), 1)

    expect(even.evenness).toBeCloseTo(1, 12)
    expect(half.evenness).toBeCloseTo(2 / 3, 12)
    expect(uneven.evenness).toBe(0)
    expect(tableOf(() => '7.1.1.1').evenness).toBe(1)
  })

  /** A table of nodes whose addresses follow from their numbers. */
  function tableOf(host: (at: number) => string): RoutingTable {
    const numbers = new Map<NodeId, number>()
    for (let at = 1; at <= 10_001; at += 1) numbers.set(id(at), at)
    return new RoutingTable(own, {
      locate: (node) => networkPlaceOf(host(numbers.get(node) ?? 0), { allowPrivate: false }),
    })
  }
})

interface View {
  readonly refused: readonly NetworkKind[]
  readonly places: readonly NetworkPlace[]
}

/** Adds nodes as long as they may join. */
function fill(options: {
  readonly count: number
  readonly host: (at: number) => string
  readonly knowledge?: NetworkKnowledge
  readonly viewSize?: number
  readonly allowPrivate?: boolean
}): View {
  const { count, host, knowledge, viewSize = VIEW, allowPrivate = false } = options
  const refused: NetworkKind[] = []
  const places: NetworkPlace[] = []
  for (let at = 1; at <= count; at += 1) {
    const place = networkPlaceOf(host(at), { allowPrivate, ...knowledge })
    const network = refusalOf(place, { ...columnsOf(places), size: viewSize })
    if (network === undefined) places.push(place)
    else refused.push(network)
  }
  return { refused, places }
}

function refusal(places: readonly NetworkPlace[], host: string, size = VIEW): NetworkKind | undefined {
  return refusalOf(networkPlaceOf(host, { allowPrivate: false }), { ...columnsOf(places), size })
}

function columnsOf(places: readonly NetworkPlace[]) {
  return {
    netHigh: Uint32Array.from(places, ({ high }) => high),
    netLow: Uint32Array.from(places, ({ low }) => low),
    asn: Uint32Array.from(places, ({ asn }) => asn),
  }
}

function id(at: number): NodeId {
  return nodeIdFromBytes(new SeededRng(`node ${at}`).bytes(32))
}
