import { expect, test } from 'vitest'
import type { Connection } from '../../ts/net/transport.ts'
import { codeOf, pattern, Recorder, withPair, type MakePair } from './harness.ts'

/** A request that goes along with a dial: `Transport.connectAndAsk`. */
export function firstRequestCases(makePair: MakePair): void {
  test(
    'a dial takes a first request along',
    withPair(makePair, async (pair) => {
      const atB = new Recorder()
      await pair.a.listen(new Recorder())
      const addresses = await pair.b.listen(atB)
      const request = { protocol: 0x0102, body: pattern(2_000) }

      const dialled = pair.a.connectAndAsk({ id: pair.b.localId, addresses }, request)

      expect(Buffer.compare(await pair.until(dialled.answer), request.body)).toBe(0)
      const connection = await pair.until(dialled.connection)
      expect(connection.peer).toBe(pair.b.localId)
      expect(atB.requests.map(({ protocol, peer }) => ({ protocol, peer }))).toEqual([
        { protocol: 0x0102, peer: pair.a.localId },
      ])
      // The connection is as good as any other, and serves the next one.
      expect(await pair.until(connection.request(1, pattern(10)))).toEqual(pattern(10))
      const again = pair.a.connectAndAsk({ id: pair.b.localId, addresses }, request)
      expect(await pair.until(again.connection)).toBe(connection)
      expect(Buffer.compare(await pair.until(again.answer), request.body)).toBe(0)
    }),
  )

  test(
    'several of them at once share one connection',
    withPair(makePair, async (pair) => {
      const atB = new Recorder()
      await pair.a.listen(new Recorder())
      const addresses = await pair.b.listen(atB)
      const all = [1, 2, 3].map((seed) =>
        pair.a.connectAndAsk({ id: pair.b.localId, addresses }, { protocol: 1, body: pattern(9, seed) }),
      )
      const answers = await pair.until(Promise.all(all.map(({ answer }) => answer)))
      const connections = new Set<Connection>(
        await pair.until(Promise.all(all.map(({ connection }) => connection))),
      )

      expect(answers).toEqual([1, 2, 3].map((seed) => pattern(9, seed)))
      expect(connections.size).toBe(1)
      expect(atB.connections.length).toBe(1)
    }),
  )

  test(
    'a dial that fails takes the request along, and both have arguments to check',
    withPair(makePair, async (pair) => {
      await pair.a.listen(new Recorder())
      const [address] = await pair.b.listen(new Recorder())
      const dead = { id: pair.b.localId, addresses: [pair.deadAddress] }
      const other = await pair.create()
      const body = new Uint8Array(1)

      const failed = pair.a.connectAndAsk(dead, { protocol: 1, body })
      expect(await codeOf(pair, failed.answer)).toBe('PEER_UNREACHABLE')
      expect(await codeOf(pair, failed.connection)).toBe('PEER_UNREACHABLE')

      const mistaken = pair.a.connectAndAsk(
        { id: other.localId, addresses: [address!] },
        { protocol: 1, body },
      )
      expect(await codeOf(pair, mistaken.answer)).toBe('PEER_MISMATCH')
      expect(await codeOf(pair, mistaken.connection)).toBe('PEER_MISMATCH')

      const none = pair.a.connectAndAsk({ id: other.localId, addresses: [] }, { protocol: 1, body })
      expect(await codeOf(pair, none.answer)).toBe('PEER_UNREACHABLE')
      const self = pair.a.connectAndAsk({ id: pair.a.localId, addresses: [address!] }, { protocol: 1, body })
      expect(await codeOf(pair, self.answer)).toBe('INVALID_ARGUMENT')
    }),
  )

  test(
    'the request and the dial are given up each by its own signal',
    withPair(makePair, async (pair) => {
      await pair.a.listen(new Recorder())
      const dead = { id: pair.b.localId, addresses: [pair.deadAddress] }
      const [asking, dialling] = [new AbortController(), new AbortController()]

      const request = { protocol: 1, body: new Uint8Array(1), signal: asking.signal, timeoutMs: 60_000 }
      const dialled = pair.a.connectAndAsk(dead, request, { signal: dialling.signal })
      asking.abort()
      expect(await codeOf(pair, dialled.answer)).toBe('ABORTED')
      dialling.abort()
      expect(await codeOf(pair, dialled.connection)).toBe('ABORTED')
    }),
  )

  test(
    "a handler's refusal leaves the connection alone",
    withPair(makePair, async (pair) => {
      await pair.a.listen(new Recorder())
      const addresses = await pair.b.listen(new Recorder(() => Promise.reject(new Error('no'))))
      const dialled = pair.a.connectAndAsk(
        { id: pair.b.localId, addresses },
        { protocol: 1, body: new Uint8Array() },
      )

      expect(await codeOf(pair, dialled.answer)).toBe('PEER_REFUSED')
      expect((await pair.until(dialled.connection)).peer).toBe(pair.b.localId)
    }),
  )
}
