import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseNodeId, type NodeId } from '../../../ts/base/identity.ts'
import { Diversity, type NetworkKnowledge } from '../../../ts/dht/diversity.ts'

/** Large enough for one node of an address, too small for 2 % to be more. */
const VIEW = 60

describe('the diversity of a view', () => {
  test.each([
    ['one IPv4 address', 1, () => '198.18.0.1', 'ipv4'],
    ['an IPv4 /24', 3, (at: number) => `198.18.0.${at}`, 'ipv4/24'],
    ['an IPv4 /16', 10, (at: number) => `198.18.${at}.1`, 'ipv4/16'],
    ['an IPv6 /64', 1, (at: number) => `2a00:1::${at.toString(16)}`, 'ipv6/64'],
    ['an IPv6 /48', 3, (at: number) => `2a00:1:0:${at.toString(16)}::1`, 'ipv6/48'],
    ['an IPv6 /32', 10, (at: number) => `2a00:1:${at.toString(16)}::1`, 'ipv6/32'],
    ['text that is no address', 1, (at: number) => `host${at}`, 'unknown'],
  ] as const)('takes from %s at most %i', (_what, cap, host, kind) => {
    const diversity = new Diversity({ allowPrivate: false })

    const refused = fill(diversity, { count: cap + 1, host, viewSize: VIEW })

    expect(refused).toEqual([kind])
    expect(diversity.refusal('203.0.113.1', VIEW)).toBeUndefined()
  })

  test('takes at most twenty of one autonomous system, and half as many of one that hires machines out', () => {
    const knowledge: NetworkKnowledge = { asnOf: () => 64_500 }
    const host = (at: number): string => `${at}.1.1.1`

    const own = fill(new Diversity({ allowPrivate: false }, knowledge), { count: 21, host, viewSize: VIEW })
    const hosted = fill(new Diversity({ allowPrivate: false }, { ...knowledge, isHosting: () => true }), {
      count: 11,
      host,
      viewSize: VIEW,
    })

    expect(own).toEqual(['asn'])
    expect(hosted).toEqual(['asn'])
  })

  test('takes one of each hosted /24 and /64 and never none', () => {
    const diversity = new Diversity({ allowPrivate: false }, { isHosting: () => true })

    expect(fill(diversity, { count: 2, host: (at) => `198.18.0.${at}`, viewSize: VIEW })).toEqual(['ipv4/24'])
    expect(fill(diversity, { count: 1, host: () => '2a00:1::1', viewSize: VIEW })).toEqual([])
  })

  test('takes two of one IPv4 address below fifty nodes, and one from fifty on', () => {
    const diversity = new Diversity({ allowPrivate: false })
    diversity.add(nodeId(1), '198.18.0.1')

    expect(diversity.refusal('198.18.0.1', 49)).toBeUndefined()
    expect(diversity.refusal('198.18.0.1', 50)).toBe('ipv4')
  })

  test('takes 2 % of a large view from anywhere', () => {
    const host = (at: number): string => `198.18.0.${at}`
    const diversity = new Diversity({ allowPrivate: false })

    expect(fill(diversity, { count: 6, host, viewSize: 299 })).toEqual(['ipv4/24'])
    expect(diversity.refusal(host(6), 300)).toBeUndefined()
  })

  test('counts addresses of special ranges unless the operator allows them', () => {
    const host = (at: number): string => `10.0.0.${at}`

    expect(fill(new Diversity({ allowPrivate: false }), { count: 4, host, viewSize: VIEW })).toEqual([
      'ipv4/24',
    ])
    expect(fill(new Diversity({ allowPrivate: true }), { count: 200, host, viewSize: VIEW })).toEqual([])
  })

  test('has a place again when a node leaves or moves', () => {
    const diversity = new Diversity({ allowPrivate: false })
    diversity.add(nodeId(1), '198.18.0.1')

    diversity.add(nodeId(1), '198.18.1.1')

    expect(diversity.refusal('198.18.0.1', VIEW)).toBeUndefined()
    expect(diversity.refusal('198.18.1.1', VIEW)).toBe('ipv4')
    diversity.remove(nodeId(1))
    diversity.remove(nodeId(1))
    expect(diversity.refusal('198.18.1.1', VIEW)).toBeUndefined()
  })

  test('counts every spelling of an address as the same', () => {
    const diversity = new Diversity({ allowPrivate: false })
    diversity.add(nodeId(1), '2A00:1:0:0:0:0:0:1')

    expect(diversity.refusal('2a00:1::2', VIEW)).toBe('ipv6/64')
  })

  test('never lets ten thousand ids of one prefix exceed its cap, whatever comes and goes', () => {
    const move = fc.record({
      id: fc.integer({ min: 0, max: 9_999 }),
      leaves: fc.boolean(),
      last: fc.integer({ min: 0, max: 255 }),
    })
    fc.assert(
      fc.property(fc.array(move, { maxLength: 300 }), (moves) => {
        const diversity = new Diversity({ allowPrivate: false })
        const hosts = new Map<number, string>()
        for (const { id, leaves, last } of moves) {
          if (leaves) {
            diversity.remove(nodeId(id))
            hosts.delete(id)
          } else if (!hosts.has(id) && diversity.refusal(`198.18.0.${last}`, VIEW) === undefined) {
            diversity.add(nodeId(id), `198.18.0.${last}`)
            hosts.set(id, `198.18.0.${last}`)
          }
          const addresses = [...hosts.values()]
          expect(addresses.length).toBeLessThanOrEqual(3)
          expect(new Set(addresses).size).toBe(addresses.length)
        }
      }),
      { numRuns: 200 },
    )
  })

  test('tells how evenly nodes spread over networks', () => {
    const even = new Diversity({ allowPrivate: false })
    const uneven = new Diversity({ allowPrivate: false })
    const half = new Diversity({ allowPrivate: false })
    for (let at = 1; at <= 8; at += 1) {
      even.add(nodeId(at), `${at}.1.1.1`)
      uneven.add(nodeId(at), `198.18.${at}.1`)
      half.add(nodeId(at), `${Math.ceil(at / 2)}.1.${at}.1`)
    }

    expect(even.evenness).toBeCloseTo(1, 12)
    expect(uneven.evenness).toBe(0)
    expect(half.evenness).toBeCloseTo(2 / 3, 12)
    expect(new Diversity({ allowPrivate: false }).evenness).toBe(1)
  })
})

/** Adds nodes as long as they may join; answers what was said to those that may not. */
function fill(
  diversity: Diversity,
  options: { readonly count: number; readonly host: (at: number) => string; readonly viewSize: number },
): readonly string[] {
  const refused: string[] = []
  for (let at = 1; at <= options.count; at += 1) {
    const host = options.host(at)
    const refusal = diversity.refusal(host, options.viewSize)
    if (refusal === undefined) diversity.add(nodeId(at), host)
    else refused.push(refusal)
  }
  return refused
}

function nodeId(at: number): NodeId {
  const digits = at.toString().padStart(8, '0')
  const letters = digits.replace(/\d/g, (digit) => 'abcdefghij'.charAt(Number(digit)))
  return parseNodeId(`${letters}${'a'.repeat(44)}`)
}
