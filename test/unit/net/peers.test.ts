import { describe, expect, test } from 'vitest'
import { nodeIdFromBytes } from '../../../ts/base/identity.ts'
import { Peers } from '../../../ts/net/peers.ts'

const ID = idOf(1)

describe('the address book', () => {
  test('keeps at most eight addresses, the latest told first', () => {
    const peers = book()
    for (let last = 1; last <= 9; last += 1) peers.learn(ID, [at(last)])

    expect(peers.addressesOf(ID)).toEqual([9, 8, 7, 6, 5, 4, 3, 2].map(at))
  })

  test('looks at eight addresses of one message only', () => {
    const peers = book()
    peers.learn(ID, [...Array.from({ length: 8 }, () => ({ host: '127.0.0.1', port: 1 })), at(1)])

    expect(peers.addressesOf(ID)).toEqual([])
  })

  test('an address that worked stays first, whatever is told later', () => {
    const peers = book()
    peers.succeeded(ID, at(1))
    for (let last = 2; last <= 20; last += 1) peers.learn(ID, [at(last)])

    expect(peers.addressesOf(ID)[0]).toEqual(at(1))
    expect(peers.addressesOf(ID)).toHaveLength(8)
  })

  test('an address that worked and fails gives way to what is told then', () => {
    const peers = book()
    peers.succeeded(ID, at(1))
    peers.failed(ID, 0)
    peers.learn(ID, [at(2)])

    expect(peers.addressesOf(ID)).toEqual([at(2), at(1)])
  })

  test('drops special addresses unless they are allowed', () => {
    const named = [{ host: '192.168.0.1', port: 1 }, { host: '0.0.0.0', port: 1 }, at(1)]
    const strict = book()
    strict.learn(ID, named)
    const open = new Peers({ maxPeers: 10, allowPrivate: true })
    open.learn(ID, named)

    expect(strict.addressesOf(ID)).toEqual([at(1)])
    expect(open.addressesOf(ID)).toEqual([named[0], at(1)])
  })

  test('a peer that failed rests one second, then twice as long each time, at most half a minute', () => {
    const peers = book()
    peers.learn(ID, [at(1)])
    const rests = Array.from({ length: 9 }, () => {
      peers.failed(ID, 1_000)
      return peers.restMs(ID, 1_000)
    })

    expect(rests).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000, 30_000])
    expect(peers.restMs(ID, 30_999)).toBe(1)
    expect(peers.restMs(ID, 31_000)).toBe(0)
  })

  test('a success or a new address ends the rest, an old address does not', () => {
    const peers = book()
    peers.learn(ID, [at(1)])
    peers.failed(ID, 0)
    peers.learn(ID, [at(1)])
    expect(peers.restMs(ID, 0)).toBe(1_000)
    peers.learn(ID, [at(2)])
    expect(peers.restMs(ID, 0)).toBe(0)
    peers.failed(ID, 0)
    expect(peers.restMs(ID, 0)).toBe(2_000)
    peers.succeeded(ID, at(1))
    expect(peers.restMs(ID, 0)).toBe(0)
    peers.failed(ID, 0)
    expect(peers.restMs(ID, 0)).toBe(1_000)
  })

  test('remembers so many peers and forgets the one that was used longest ago', () => {
    const peers = book(2)
    peers.learn(idOf(1), [at(1)])
    peers.learn(idOf(2), [at(2)])
    peers.succeeded(idOf(1), at(1))
    peers.learn(idOf(3), [at(3)])

    expect(peers.size).toBe(2)
    expect(peers.addressesOf(idOf(2))).toEqual([])
    expect(peers.addressesOf(idOf(1))).toEqual([at(1)])
  })

  test('being told of a peer again keeps it, even when nothing about it is new', () => {
    const peers = book(2)
    peers.learn(idOf(1), [at(1)])
    peers.learn(idOf(2), [at(2)])
    peers.learn(idOf(1), [at(1)])
    peers.learn(idOf(3), [at(3)])

    expect(peers.addressesOf(idOf(1))).toEqual([at(1)])
    expect(peers.addressesOf(idOf(2))).toEqual([])
  })

  test('a failure of an unknown peer leaves nothing behind, nor does a forgotten one', () => {
    const peers = book()
    peers.failed(ID, 0)
    peers.learn(idOf(2), [at(2)])
    peers.forget(idOf(2))

    expect(peers.size).toBe(0)
    expect(peers.restMs(ID, 0)).toBe(0)
  })
})

function book(maxPeers = 10) {
  return new Peers({ maxPeers, allowPrivate: false })
}

function idOf(seed: number) {
  return nodeIdFromBytes(new Uint8Array(32).fill(seed))
}

function at(last: number) {
  return { host: `8.8.8.${last}`, port: 4_840 }
}
