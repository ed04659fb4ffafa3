import { expect, test } from 'vitest'
import { EspalierError } from '../../ts/base/error.ts'
import {
  codeOf,
  connected,
  deferred,
  errorOf,
  pattern,
  Recorder,
  withPair,
  type MakePair,
} from './harness.ts'

const MAX_REQUEST_BYTES = 262_144
/** A handler that never answers. */
const never = () => new Promise<never>(() => undefined)

export function requestCases(makePair: MakePair): void {
  sizeCases(makePair)
  badInputCases(makePair)
  endingCases(makePair)
  errorCases(makePair)
}

function sizeCases(makePair: MakePair): void {
  test(
    'a request and its answer arrive unchanged, with protocol and proved sender',
    withPair(makePair, async (pair) => {
      const { ab, atB } = await connected(pair)
      const body = pattern(1_000)

      const answer = await pair.until(ab.request(0xffff, body))

      expect(Buffer.compare(answer, body)).toBe(0)
      expect(atB.requests.map(({ protocol }) => protocol)).toEqual([0xffff])
      expect(atB.requests[0]!.peer).toBe(pair.a.localId)
    }),
  )

  test(
    'the accepting side can ask as well',
    withPair(makePair, async (pair) => {
      const { ba, atA } = await connected(pair)

      expect(await pair.until(ba.request(1, pattern(10)))).toEqual(pattern(10))
      expect(atA.requests[0]!.peer).toBe(pair.b.localId)
    }),
  )

  test(
    'an empty request gets an empty answer',
    withPair(makePair, async (pair) => {
      const { ab } = await connected(pair)

      expect(await pair.until(ab.request(1, new Uint8Array(0)))).toEqual(new Uint8Array(0))
    }),
  )

  test(
    'the largest request passes, one byte more is refused before it is sent',
    withPair(makePair, async (pair) => {
      const { ab, atB } = await connected(pair)
      const largest = pattern(MAX_REQUEST_BYTES)

      const answer = await pair.until(ab.request(1, largest, { maxResponseBytes: MAX_REQUEST_BYTES }))
      const code = await codeOf(pair, ab.request(1, pattern(MAX_REQUEST_BYTES + 1)))

      expect(Buffer.compare(answer, largest)).toBe(0)
      expect(code).toBe('LIMIT_EXCEEDED')
      expect(atB.requests).toHaveLength(1)
    }),
  )

  test(
    'an answer over the cap of the caller is LIMIT_EXCEEDED, one that fits exactly is not',
    withPair(makePair, async (pair) => {
      const { ab } = await connected(pair)

      expect((await pair.until(ab.request(1, pattern(100), { maxResponseBytes: 100 }))).byteLength).toBe(100)
      expect(await codeOf(pair, ab.request(1, pattern(101), { maxResponseBytes: 100 }))).toBe(
        'LIMIT_EXCEEDED',
      )
      expect((await pair.until(ab.request(1, pattern(65_536)))).byteLength).toBe(65_536)
      expect(await codeOf(pair, ab.request(1, pattern(65_537)))).toBe('LIMIT_EXCEEDED')
    }),
  )

  test(
    'a thousand requests at once get each its own answer',
    withPair(makePair, async (pair) => {
      const { ab } = await connected(pair)
      const bodies = Array.from({ length: 1_000 }, (_, index) => pattern(50 + (index % 200), index))

      const answers = await pair.until(Promise.all(bodies.map((body) => ab.request(7, body))))

      expect(answers.every((answer, index) => Buffer.compare(answer, bodies[index]!) === 0)).toBe(true)
    }),
  )

  test(
    'the body is copied before the call returns',
    withPair(makePair, async (pair) => {
      const { ab } = await connected(pair)
      const body = Buffer.from(pattern(5_000))

      const answer = ab.request(1, body.subarray(0, 4_000))
      body.fill(0)

      expect(Buffer.compare(await pair.until(answer), pattern(5_000).subarray(0, 4_000))).toBe(0)
    }),
  )

  test(
    'what a handler gets belongs to it: changing it changes nothing for the caller',
    withPair(makePair, async (pair) => {
      const atB = new Recorder(({ body }) => Promise.resolve(body.fill(9)))
      const { ab } = await connected(pair, { atB })
      const body = pattern(100)

      await pair.until(ab.request(1, body))

      expect(body).toEqual(pattern(100))
    }),
  )

  test(
    'a protocol number that does not fit is INVALID_ARGUMENT',
    withPair(makePair, async (pair) => {
      const { ab } = await connected(pair)

      expect(await codeOf(pair, ab.request(-1, pattern(1)))).toBe('INVALID_ARGUMENT')
      expect(await codeOf(pair, ab.request(65_536, pattern(1)))).toBe('INVALID_ARGUMENT')
      expect(await codeOf(pair, ab.request(0.5, pattern(1)))).toBe('INVALID_ARGUMENT')
    }),
  )
}

function badInputCases(makePair: MakePair): void {
  test(
    'another thing than bytes, and options out of range, are INVALID_ARGUMENT and leave the connection alone',
    withPair(makePair, async (pair) => {
      const { ab, atB } = await connected(pair)
      const bodies: unknown[] = ['text', [1, 2], null, undefined, new ArrayBuffer(1), new Uint16Array(1)]
      const options = [
        { timeoutMs: -1 },
        { timeoutMs: Number.NaN },
        { maxResponseBytes: -1 },
        { maxResponseBytes: 1_048_577 },
      ]

      for (const body of bodies) {
        expect(await codeOf(pair, ab.request(1, body as Uint8Array))).toBe('INVALID_ARGUMENT')
      }
      for (const option of options) {
        expect(await codeOf(pair, ab.request(1, pattern(1), option))).toBe('INVALID_ARGUMENT')
      }
      expect(await pair.until(ab.request(1, pattern(1)))).toEqual(pattern(1))
      expect(atB.requests).toHaveLength(1)
    }),
  )

  test(
    'the largest answer passes, and a handler can’t answer more',
    withPair(makePair, async (pair) => {
      const atB = new Recorder(({ protocol }) => Promise.resolve(pattern(1_048_576 + protocol)))
      const { ab } = await connected(pair, { atB })
      const options = { maxResponseBytes: 1_048_576 }

      const answer = await pair.until(ab.request(0, pattern(1), options))

      expect(Buffer.compare(answer, pattern(1_048_576))).toBe(0)
      expect(await codeOf(pair, ab.request(1, pattern(1), options))).toBe('LIMIT_EXCEEDED')
    }),
  )
}

function endingCases(makePair: MakePair): void {
  test(
    'a request without an answer ends with TIMEOUT, tells the handler, and leaves the connection usable',
    withPair(makePair, async (pair) => {
      const given = deferred()
      const atB = new Recorder(({ protocol, body, signal }) => {
        if (protocol === 2) return Promise.resolve(body)
        signal.addEventListener('abort', () => given.resolve())
        return never()
      })
      const { ab } = await connected(pair, { atB })

      expect(await codeOf(pair, ab.request(1, pattern(1), { timeoutMs: 300 }))).toBe('TIMEOUT')
      await pair.until(given.promise)
      expect(await pair.until(ab.request(2, pattern(3)))).toEqual(pattern(3))
    }),
  )

  test(
    'a request that was aborted before it began is never sent',
    withPair(makePair, async (pair) => {
      const { ab, atB } = await connected(pair)

      const code = await codeOf(pair, ab.request(1, pattern(1), { signal: AbortSignal.abort() }))
      await pair.until(ab.request(2, pattern(1)))

      expect(code).toBe('ABORTED')
      expect(atB.requests.map(({ protocol }) => protocol)).toEqual([2])
    }),
  )

  test(
    "an abort half-way ends the request at once and reaches the handler's signal",
    withPair(makePair, async (pair) => {
      const given = deferred()
      const atB = new Recorder(({ signal }) => {
        signal.addEventListener('abort', () => given.resolve())
        return never()
      })
      const { ab } = await connected(pair, { atB })
      const controller = new AbortController()

      const request = ab.request(1, pattern(1), { signal: controller.signal })
      request.catch(() => undefined)
      await pair.until(atB.has(() => atB.requests.length > 0))
      controller.abort()

      expect(await codeOf(pair, request)).toBe('ABORTED')
      await pair.until(given.promise)
    }),
  )

  test(
    'an abort after the answer changes nothing',
    withPair(makePair, async (pair) => {
      const { ab } = await connected(pair)
      const controller = new AbortController()

      const answer = await pair.until(ab.request(1, pattern(5), { signal: controller.signal }))
      controller.abort()

      expect(answer).toEqual(pattern(5))
      expect(await pair.until(ab.request(1, pattern(6)))).toEqual(pattern(6))
    }),
  )

  test(
    'closing the connection ends requests in flight on both sides and the handlers',
    withPair(makePair, async (pair) => {
      const given = deferred()
      const serving = new Recorder(({ signal }) => {
        signal.addEventListener('abort', () => given.resolve())
        return never()
      })
      const { ab, ba, atB } = await connected(pair, { atA: new Recorder(never), atB: serving })
      const mine = ab.request(1, pattern(1))
      const theirs = ba.request(1, pattern(1))
      const codes = [mine, theirs].map((request) =>
        request.then(
          () => 'answered',
          (error: unknown) => (error as EspalierError).code,
        ),
      )
      await pair.until(atB.has(() => atB.requests.length > 0))

      ab.close(0)

      expect(await pair.until(codes[0]!)).toBe('CLOSED')
      expect(await pair.until(codes[1]!)).toBe('CONNECTION_LOST')
      await pair.until(given.promise)
    }),
  )
}

function errorCases(makePair: MakePair): void {
  test(
    'the code of an EspalierError travels, its stack and details of the machine do not',
    withPair(makePair, async (pair) => {
      const atB = new Recorder(() => Promise.reject(new EspalierError('RECORD_STALE', 'newer is known')))
      const { ab } = await connected(pair, { atB })

      const error = await errorOf(pair, ab.request(1, pattern(1)))

      expect(error.code).toBe('RECORD_STALE')
      expect(error.message).not.toMatch(/\.ts\b|node_modules|\n/)
    }),
  )

  test(
    'a long error text is cut short',
    withPair(makePair, async (pair) => {
      const atB = new Recorder(() => Promise.reject(new EspalierError('NOT_FOUND', 'é'.repeat(100_000))))
      const { ab } = await connected(pair, { atB })

      const error = await errorOf(pair, ab.request(1, pattern(1)))

      expect(error.code).toBe('NOT_FOUND')
      expect(error.message.length).toBeLessThan(1_100)
    }),
  )

  test(
    'any other error of a handler is PEER_REFUSED without its text',
    withPair(makePair, async (pair) => {
      const atB = new Recorder(() => Promise.reject(new Error('the password is swordfish')))
      const { ab } = await connected(pair, { atB })

      const error = await errorOf(pair, ab.request(1, pattern(1)))

      expect(error.code).toBe('PEER_REFUSED')
      expect(`${error.message}${JSON.stringify(error.details)}`).not.toContain('swordfish')
    }),
  )

  test(
    'a handler that throws instead of rejecting is PEER_REFUSED too',
    withPair(makePair, async (pair) => {
      const atB = new Recorder(() => {
        throw new TypeError('swordfish')
      })
      const { ab } = await connected(pair, { atB })

      expect(await codeOf(pair, ab.request(1, pattern(1)))).toBe('PEER_REFUSED')
    }),
  )
}
