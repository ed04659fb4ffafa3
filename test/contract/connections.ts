import { expect, test } from 'vitest'
import { precedes } from '../../ts/base/identity.ts'
import { codeOf, connected, pattern, Recorder, withPair, type MakePair } from './harness.ts'

export function connectionCases(makePair: MakePair): void {
  dialCases(makePair)
  sharingCases(makePair)
  closeCases(makePair)
}

function dialCases(makePair: MakePair): void {
  test(
    'both sides know the other by the id that it proved',
    withPair(makePair, async (pair) => {
      const { ab, ba, addresses } = await connected(pair)

      expect([ab.peer, ba.peer]).toEqual([pair.b.localId, pair.a.localId])
      expect([ab.outbound, ba.outbound]).toEqual([true, false])
      expect(ab.remote.port).toBe(addresses[0]!.port)
    }),
  )

  test(
    'a dial without an id takes whoever answers and tells the id',
    withPair(makePair, async (pair) => {
      await pair.a.listen(new Recorder())
      const addresses = await pair.b.listen(new Recorder())

      const connection = await pair.until(pair.a.connect({ addresses }))

      expect(connection.peer).toBe(pair.b.localId)
    }),
  )

  test(
    'another node at the address is PEER_MISMATCH',
    withPair(makePair, async (pair) => {
      await pair.a.listen(new Recorder())
      const addresses = await pair.b.listen(new Recorder())
      const stranger = await pair.create()

      expect(await codeOf(pair, pair.a.connect({ id: stranger.localId, addresses }))).toBe('PEER_MISMATCH')
    }),
  )

  test(
    'nobody at the address is PEER_UNREACHABLE',
    withPair(makePair, async (pair) => {
      await pair.a.listen(new Recorder())

      const dial = pair.a.connect(
        { id: pair.b.localId, addresses: [pair.deadAddress] },
        { timeoutMs: 30_000 },
      )

      expect(await codeOf(pair, dial)).toBe('PEER_UNREACHABLE')
    }),
  )

  test(
    'no address at all is PEER_UNREACHABLE',
    withPair(makePair, async (pair) => {
      await pair.a.listen(new Recorder())

      expect(await codeOf(pair, pair.a.connect({ id: pair.b.localId, addresses: [] }))).toBe(
        'PEER_UNREACHABLE',
      )
    }),
  )

  test(
    'a dead address does not hinder a good one behind it',
    withPair(makePair, async (pair) => {
      await pair.a.listen(new Recorder())
      const addresses = [pair.deadAddress, ...(await pair.b.listen(new Recorder()))]

      const connection = await pair.until(pair.a.connect({ id: pair.b.localId, addresses }))

      expect(connection.peer).toBe(pair.b.localId)
    }),
  )

  test(
    'a dial ends with TIMEOUT after the time that the caller gave',
    withPair(makePair, async (pair) => {
      await pair.a.listen(new Recorder())

      const dial = pair.a.connect({ id: pair.b.localId, addresses: [pair.deadAddress] }, { timeoutMs: 200 })

      expect(await codeOf(pair, dial)).toBe('TIMEOUT')
    }),
  )

  test(
    'a dial can be aborted, before and half-way',
    withPair(makePair, async (pair) => {
      await pair.a.listen(new Recorder())
      const peer = { id: pair.b.localId, addresses: [pair.deadAddress] }
      const controller = new AbortController()

      const before = pair.a.connect(peer, { signal: AbortSignal.abort() })
      expect(await codeOf(pair, before)).toBe('ABORTED')
      const halfWay = pair.a.connect(peer, { signal: controller.signal })
      halfWay.catch(() => undefined)
      await pair.advance(50)
      controller.abort()
      expect(await codeOf(pair, halfWay)).toBe('ABORTED')
    }),
  )

  test(
    'a node does not dial itself',
    withPair(makePair, async (pair) => {
      const addresses = await pair.a.listen(new Recorder())

      expect(await codeOf(pair, pair.a.connect({ id: pair.a.localId, addresses }))).toBe('INVALID_ARGUMENT')
    }),
  )
}

function sharingCases(makePair: MakePair): void {
  test(
    'a pair that is connected shares its one connection, from either side',
    withPair(makePair, async (pair) => {
      const { ab, ba, atA, atB, addresses } = await connected(pair)

      const again = await pair.until(pair.a.connect({ id: pair.b.localId, addresses }))
      const back = await pair.until(pair.b.connect({ id: pair.a.localId, addresses: [pair.deadAddress] }))

      expect(again).toBe(ab)
      expect(back).toBe(ba)
      expect([atA.connections.length, atB.connections.length]).toEqual([1, 1])
    }),
  )

  test(
    'dials of one peer at the same time get the same connection',
    withPair(makePair, async (pair) => {
      await pair.a.listen(new Recorder())
      const addresses = await pair.b.listen(new Recorder())
      const peer = { id: pair.b.localId, addresses }

      const connections = await pair.until(Promise.all([1, 2, 3].map(() => pair.a.connect(peer))))

      expect(new Set(connections).size).toBe(1)
    }),
  )

  test(
    'when both dial at once one connection is left and both directions work over it',
    withPair(makePair, async (pair) => {
      const aAddresses = await pair.a.listen(new Recorder())
      const bAddresses = await pair.b.listen(new Recorder())
      const toB = { id: pair.b.localId, addresses: bAddresses }
      const toA = { id: pair.a.localId, addresses: aAddresses }

      await pair.until(Promise.all([pair.a.connect(toB), pair.b.connect(toA)]))
      await pair.advance(500)
      const ab = await pair.until(pair.a.connect(toB))
      const ba = await pair.until(pair.b.connect(toA))

      expect(await pair.until(ab.request(1, pattern(9)))).toEqual(pattern(9))
      expect(await pair.until(ba.request(1, pattern(8)))).toEqual(pattern(8))
      // One connection has one dialler, and it is the smaller id when both tried.
      expect(ab.outbound).toBe(precedes(pair.a.localId, pair.b.localId))
      expect(ba.outbound).toBe(!ab.outbound)
    }),
  )
}

function closeCases(makePair: MakePair): void {
  test(
    'closed settles once on each side and tells why; closing again changes nothing',
    withPair(makePair, async (pair) => {
      const { ab, ba } = await connected(pair)

      ab.close(5)
      ab.close(6)
      const here = await pair.until(ab.closed)
      const there = await pair.until(ba.closed)
      ba.close(7)

      expect(here.code).toBe('CLOSED')
      expect(there.code).toBe('CONNECTION_LOST')
      expect(await ab.closed).toBe(here)
      expect(await ba.closed).toBe(there)
    }),
  )

  test(
    'a closed connection refuses, and the next connect makes a new one',
    withPair(makePair, async (pair) => {
      const { ab, ba, addresses } = await connected(pair)
      ab.close(0)
      await pair.until(ba.closed)

      expect(await codeOf(pair, ab.request(1, pattern(1)))).toBe('CLOSED')
      expect(await codeOf(pair, ab.openStream(1))).toBe('CLOSED')
      expect(await codeOf(pair, ba.request(1, pattern(1)))).toBe('CONNECTION_LOST')
      const next = await pair.until(pair.a.connect({ id: pair.b.localId, addresses }))
      expect(next).not.toBe(ab)
      expect(await pair.until(next.request(1, pattern(4)))).toEqual(pattern(4))
    }),
  )

  test(
    'closing the transport ends everything, more than once if asked',
    withPair(makePair, async (pair) => {
      const { ab, ba, addresses } = await connected(pair, {
        atB: new Recorder(() => new Promise(() => undefined)),
      })
      const inFlight = ab.request(1, pattern(1))
      inFlight.catch(() => undefined)
      const dialling = pair.a.connect({ addresses: [pair.deadAddress] })
      dialling.catch(() => undefined)

      await pair.until(Promise.all([pair.a.close(), pair.a.close()]))
      await pair.until(pair.a.close())

      expect(await codeOf(pair, inFlight)).toBe('CLOSED')
      expect(await codeOf(pair, dialling)).toBe('CLOSED')
      expect((await pair.until(ab.closed)).code).toBe('CLOSED')
      expect((await pair.until(ba.closed)).code).toBe('CONNECTION_LOST')
      expect(await codeOf(pair, pair.a.connect({ id: pair.b.localId, addresses }))).toBe('CLOSED')
      expect(await codeOf(pair, pair.a.listen(new Recorder()))).toBe('CLOSED')
    }),
  )

  test(
    'the port is free after close',
    withPair(makePair, async (pair) => {
      const { addresses } = await connected(pair)

      await pair.until(pair.b.close())
      const heir = await pair.create(addresses[0])
      const bound = await heir.listen(new Recorder())
      const connection = await pair.until(pair.a.connect({ id: heir.localId, addresses: bound }))

      expect(bound[0]).toEqual(addresses[0])
      expect(connection.peer).toBe(heir.localId)
    }),
  )

  test(
    'a transport listens once',
    withPair(makePair, async (pair) => {
      await pair.a.listen(new Recorder())

      expect(await codeOf(pair, pair.a.listen(new Recorder()))).toBe('INVALID_STATE')
    }),
  )

  test(
    'connecting before listening is INVALID_STATE',
    withPair(makePair, async (pair) => {
      const addresses = await pair.b.listen(new Recorder())

      expect(await codeOf(pair, pair.a.connect({ id: pair.b.localId, addresses }))).toBe('INVALID_STATE')
    }),
  )

  test(
    'the counters of a connection grow with what it carries',
    withPair(makePair, async (pair) => {
      const { ab } = await connected(pair)
      const before = ab.stats()

      await pair.until(ab.request(1, pattern(10_000)))
      const after = ab.stats()

      expect(after.bytesSent - before.bytesSent).toBeGreaterThanOrEqual(10_000)
      expect(after.bytesReceived - before.bytesReceived).toBeGreaterThanOrEqual(10_000)
      expect(after.rttMs).toBeGreaterThan(0)
      expect(after.keyExchange).not.toBe('')
    }),
  )
}
