import { describe, expect, test } from 'vitest'
import { isDialable, rangeOf, type AddressRange } from '../../../ts/net/special-ranges.ts'

/** First and last address of each range, and its neighbours on both sides. */
const EDGES: readonly (readonly [host: string, range: AddressRange])[] = [
  ['0.0.0.0', 'unspecified'],
  ['0.0.0.1', 'reserved'],
  ['0.255.255.255', 'reserved'],
  ['1.0.0.0', 'global'],
  ['9.255.255.255', 'global'],
  ['10.0.0.0', 'private'],
  ['10.255.255.255', 'private'],
  ['11.0.0.0', 'global'],
  ['100.63.255.255', 'global'],
  ['100.64.0.0', 'cgnat'],
  ['100.127.255.255', 'cgnat'],
  ['100.128.0.0', 'global'],
  ['126.255.255.255', 'global'],
  ['127.0.0.1', 'loopback'],
  ['127.255.255.255', 'loopback'],
  ['128.0.0.0', 'global'],
  ['169.253.255.255', 'global'],
  ['169.254.0.0', 'linkLocal'],
  ['169.254.169.254', 'linkLocal'],
  ['169.255.0.0', 'global'],
  ['172.15.255.255', 'global'],
  ['172.16.0.0', 'private'],
  ['172.31.255.255', 'private'],
  ['172.32.0.0', 'global'],
  ['192.0.0.255', 'reserved'],
  ['192.0.1.0', 'global'],
  ['192.0.2.1', 'documentation'],
  ['192.88.99.1', 'sixToFour'],
  ['192.167.255.255', 'global'],
  ['192.168.0.0', 'private'],
  ['192.169.0.0', 'global'],
  ['198.17.255.255', 'global'],
  ['198.18.0.0', 'benchmarking'],
  ['198.19.255.255', 'benchmarking'],
  ['198.20.0.0', 'global'],
  ['198.51.100.7', 'documentation'],
  ['203.0.113.7', 'documentation'],
  ['223.255.255.255', 'global'],
  ['224.0.0.0', 'multicast'],
  ['239.255.255.255', 'multicast'],
  ['240.0.0.0', 'reserved'],
  ['255.255.255.254', 'reserved'],
  ['255.255.255.255', 'broadcast'],
  ['::', 'unspecified'],
  ['::1', 'loopback'],
  ['::2', 'v4Compatible'],
  ['::127.0.0.1', 'v4Compatible'],
  ['::ffff:127.0.0.1', 'v4Mapped'],
  ['::ffff:8.8.8.8', 'v4Mapped'],
  ['0:0:0:0:0:ffff:7f00:1', 'v4Mapped'],
  ['::1:0:0:0', 'reserved'],
  ['64:ff9b::8.8.8.8', 'nat64'],
  ['64:ff9b:1:ffff::1', 'nat64'],
  ['64:ff9b:2::1', 'reserved'],
  ['100::1', 'discard'],
  ['100:0:0:1::1', 'reserved'],
  ['2001::1', 'teredo'],
  ['2001:1::1', 'reserved'],
  ['2001:2::1', 'benchmarking'],
  ['2001:1ff:ffff::1', 'reserved'],
  ['2001:200::1', 'global'],
  ['2001:db7:ffff::1', 'global'],
  ['2001:db8::1', 'documentation'],
  ['2001:db9::1', 'global'],
  ['2002:7f00:1::1', 'sixToFour'],
  ['2003::1', 'global'],
  ['2606:4700::1111', 'global'],
  ['3fff::1', 'documentation'],
  ['3fff:fff::1', 'documentation'],
  ['3fff:1000::1', 'global'],
  ['4000::1', 'reserved'],
  ['5f00::1', 'reserved'],
  ['fbff::1', 'reserved'],
  ['fc00::1', 'private'],
  ['fdff:ffff::1', 'private'],
  ['fe00::1', 'reserved'],
  ['fe80::1', 'linkLocal'],
  ['febf::1', 'linkLocal'],
  ['fec0::1', 'private'],
  ['ff02::1', 'multicast'],
]

describe('special ranges', () => {
  test.each(EDGES)('%s is %s', (host, range) => {
    expect(rangeOf(host)).toBe(range)
  })

  test.each([
    '',
    'localhost',
    '1.2.3',
    '1.2.3.4.5',
    '01.2.3.4',
    '0x7f.1',
    '2130706433',
    'fe80::1%lo',
    '::g',
    '1::2::3',
  ])('%j is no literal', (host) => {
    expect(rangeOf(host)).toBeUndefined()
    expect(isDialable({ host, port: 1 }, { allowPrivate: true })).toBe(false)
  })

  test('only global addresses are dialled when a peer names them', () => {
    const dialled = EDGES.filter(([host]) => isDialable({ host, port: 1 }, { allowPrivate: false }))

    expect(dialled.map(([, range]) => range).every((range) => range === 'global')).toBe(true)
    expect(dialled.length).toBe(EDGES.filter(([, range]) => range === 'global').length)
  })

  test('private networks may be allowed, what no node can have never', () => {
    const refused = EDGES.filter(([host]) => !isDialable({ host, port: 1 }, { allowPrivate: true }))

    expect(new Set(refused.map(([, range]) => range))).toEqual(
      new Set(['unspecified', 'multicast', 'broadcast', 'v4Mapped', 'v4Compatible', 'discard']),
    )
  })

  test('the port is from 1 to 65,535', () => {
    const ports = [0, 1, 65_535, 65_536, 1.5, -1, Number.NaN]

    expect(ports.filter((port) => isDialable({ host: '8.8.8.8', port }, { allowPrivate: false }))).toEqual([
      1, 65_535,
    ])
  })
})
