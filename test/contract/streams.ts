import { expect, test } from 'vitest'
import { codeOf, connected, errorOf, pattern, readAll, withPair, type MakePair } from './harness.ts'

export function streamCases(makePair: MakePair): void {
  carryingCases(makePair)
  endingCases(makePair)
  datagramCases(makePair)
}

function carryingCases(makePair: MakePair): void {
  test(
    'a stream ends one direction and goes on in the other',
    withPair(makePair, async (pair) => {
      const { ab, atB } = await connected(pair)

      const near = await pair.until(ab.openStream(77))
      await pair.until(near.write(pattern(1_000, 1)))
      await pair.until(near.closeWrite())
      const far = await pair.until(atB.stream())
      const heard = await pair.until(readAll(far))
      await pair.until(far.write(pattern(2_000, 2)))
      await pair.until(far.closeWrite())
      const answer = await pair.until(readAll(near))

      expect(atB.streams[0]!.protocol).toBe(77)
      expect([near.peer, far.peer]).toEqual([pair.b.localId, pair.a.localId])
      expect(Buffer.compare(heard, pattern(1_000, 1))).toBe(0)
      expect(Buffer.compare(answer, pattern(2_000, 2))).toBe(0)
    }),
  )

  test(
    'eight mebibytes arrive byte for byte',
    withPair(makePair, async (pair) => {
      const { ab, atB } = await connected(pair)
      const data = pattern(8 * 1_048_576)

      const near = await pair.until(ab.openStream(1))
      const writing = (async () => {
        for (let at = 0; at < data.byteLength; at += 100_000) {
          const piece = data.slice(at, at + 100_000)
          const written = near.write(piece)
          // Written bytes are copied before `write` returns.
          piece.fill(0)
          await written
        }
        await near.closeWrite()
      })()
      const far = await pair.until(atB.stream())
      const [heard] = await pair.until(Promise.all([readAll(far), writing]))

      expect(heard.byteLength).toBe(data.byteLength)
      expect(Buffer.compare(heard, data)).toBe(0)
    }),
  )

  test(
    'many streams at once don’t mix',
    withPair(makePair, async (pair) => {
      const { ab, atB } = await connected(pair)
      const count = 64

      const sending = Array.from({ length: count }, async (_, index) => {
        const near = await ab.openStream(index)
        await near.write(pattern(20_000 + index, index))
        await near.closeWrite()
      })
      await pair.until(atB.has(() => atB.streams.length === count))
      const heard = await pair.until(
        Promise.all(
          atB.streams.map(async ({ protocol, stream }) => ({ protocol, data: await readAll(stream) })),
        ),
      )
      await pair.until(Promise.all(sending))

      expect(new Set(heard.map(({ protocol }) => protocol)).size).toBe(count)
      const wrong = heard.filter(
        ({ protocol, data }) => Buffer.compare(data, pattern(20_000 + protocol, protocol)) !== 0,
      )
      expect(wrong).toEqual([])
    }),
  )

  test(
    'a writer waits for a reader that does not read, and goes on when it does',
    withPair(makePair, async (pair) => {
      const { ab, atB } = await connected(pair)
      const pieceBytes = 65_536
      const pieces = 512
      let written = 0

      const near = await pair.until(ab.openStream(1))
      const writing = (async () => {
        for (let index = 0; index < pieces; index += 1) {
          await near.write(pattern(pieceBytes, index))
          written += 1
        }
        await near.closeWrite()
      })()
      const far = await pair.until(atB.stream())
      await pair.advance(500)
      const stalledAt = written
      await pair.advance(300)
      const laterAt = written
      const [heard] = await pair.until(Promise.all([readAll(far), writing]))

      expect(stalledAt).toBeGreaterThan(0)
      expect(laterAt).toBe(stalledAt)
      expect(stalledAt * pieceBytes).toBeLessThan(16 * 1_048_576)
      expect(heard.byteLength).toBe(pieces * pieceBytes)
    }),
  )

  test(
    'a read takes what is there, and a second one at the same time is INVALID_STATE',
    withPair(makePair, async (pair) => {
      const { ab, atB } = await connected(pair)
      const near = await pair.until(ab.openStream(1))
      await pair.until(near.write(pattern(10)))
      const far = await pair.until(atB.stream())
      const target = new Uint8Array(4)

      expect(await pair.until(far.readInto(target))).toBe(4)
      expect(target).toEqual(pattern(10).slice(0, 4))
      const rest = new Uint8Array(100)
      expect(await pair.until(far.readInto(rest))).toBe(6)
      const waiting = far.readInto(rest)
      expect(await codeOf(pair, far.readInto(new Uint8Array(1)))).toBe('INVALID_STATE')
      await pair.until(near.write(pattern(2)))
      expect(await pair.until(waiting)).toBe(2)
    }),
  )
}

function endingCases(makePair: MakePair): void {
  test(
    'a reset is seen by the other side with its code, for reading and for writing',
    withPair(makePair, async (pair) => {
      const { ab, atB } = await connected(pair)
      const near = await pair.until(ab.openStream(1))
      await pair.until(near.write(pattern(10)))
      const far = await pair.until(atB.stream())
      await pair.until(far.readInto(new Uint8Array(10)))

      const reading = errorOf(pair, far.readInto(new Uint8Array(10)))
      near.reset(4_242)
      near.reset(1)

      const error = await reading
      expect(error.code).toBe('STREAM_RESET')
      expect(error.details['resetCode']).toBe(4_242)
      await pair.advance(100)
      expect(await codeOf(pair, far.write(pattern(10)))).toBe('STREAM_RESET')
    }),
  )

  test(
    'a reset of one stream leaves the others and the connection alone',
    withPair(makePair, async (pair) => {
      const { ab, atB } = await connected(pair)
      const doomed = await pair.until(ab.openStream(1))
      await pair.until(doomed.write(pattern(1)))
      // A reset may overtake what opened the stream: it is waited for.
      await pair.until(atB.stream())
      const other = await pair.until(ab.openStream(2))
      await pair.until(other.write(pattern(7)))
      doomed.reset(1)
      await pair.until(other.closeWrite())

      await pair.until(atB.has(() => atB.streams.length === 2))
      const far = atB.streams.find(({ protocol }) => protocol === 2)!.stream

      expect(await pair.until(readAll(far))).toEqual(Buffer.from(pattern(7)))
      expect(await pair.until(ab.request(3, pattern(2)))).toEqual(pattern(2))
    }),
  )

  test(
    'an open stream ends with its connection: CLOSED here, CONNECTION_LOST there',
    withPair(makePair, async (pair) => {
      const { ab, atB } = await connected(pair)
      const near = await pair.until(ab.openStream(1))
      await pair.until(near.write(pattern(10)))
      const far = await pair.until(atB.stream())
      await pair.until(far.readInto(new Uint8Array(10)))

      const there = far.readInto(new Uint8Array(1))
      const here = near.readInto(new Uint8Array(1))
      here.catch(() => undefined)
      there.catch(() => undefined)
      ab.close(0)

      expect(await codeOf(pair, here)).toBe('CLOSED')
      expect(await codeOf(pair, there)).toBe('CONNECTION_LOST')
      expect(await codeOf(pair, near.write(pattern(1)))).toBe('CLOSED')
    }),
  )

  test(
    'nothing can be written after the end',
    withPair(makePair, async (pair) => {
      const { ab } = await connected(pair)
      const near = await pair.until(ab.openStream(1))
      await pair.until(near.closeWrite())

      expect(await codeOf(pair, near.write(pattern(1)))).toBe('CLOSED')
    }),
  )
}

function datagramCases(makePair: MakePair): void {
  test(
    'a datagram arrives with its protocol, copied before the call returns',
    withPair(makePair, async (pair) => {
      const { ab, ba, atA, atB } = await connected(pair)
      const body = pattern(1_000)

      expect(ab.sendDatagram(500, body)).toBe(true)
      body.fill(0)
      await pair.until(atB.has(() => atB.datagrams.length === 1))
      expect(ba.sendDatagram(501, new Uint8Array(0))).toBe(true)
      await pair.until(atA.has(() => atA.datagrams.length === 1))

      expect(atB.datagrams[0]).toEqual({ protocol: 500, body: pattern(1_000) })
      expect(atA.datagrams[0]).toEqual({ protocol: 501, body: new Uint8Array(0) })
    }),
  )

  test(
    'a datagram that the path can’t take is false and goes nowhere',
    withPair(makePair, async (pair) => {
      const { ab, atB } = await connected(pair)

      expect(ab.sendDatagram(1, pattern(65_000))).toBe(false)
      expect(ab.sendDatagram(2, pattern(10))).toBe(true)
      await pair.until(atB.has(() => atB.datagrams.length > 0))

      expect(atB.datagrams.map(({ protocol }) => protocol)).toEqual([2])
    }),
  )

  test(
    'a datagram on a closed connection is false',
    withPair(makePair, async (pair) => {
      const { ab } = await connected(pair)
      ab.close(0)

      expect(ab.sendDatagram(1, pattern(1))).toBe(false)
    }),
  )
}
