import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { EspalierError } from '../../../ts/base/error.ts'
import { nodeIdFromBytes, type NodeId } from '../../../ts/base/identity.ts'
import { Call } from '../../../ts/net/call.ts'
import { Gates } from '../../../ts/net/gates.ts'
import { Intake } from '../../../ts/net/intake.ts'
import { ConnectionPool } from '../../../ts/net/pool.ts'
import { TokenBucket } from '../../../ts/net/token-bucket.ts'
import type { Connection } from '../../../ts/net/transport.ts'
import { World } from '../../../ts/sim/world.ts'

const A = idOf(1)
const B = idOf(2)

describe('a token bucket', () => {
  test('allows the burst at once, then the rate, and tells how long to wait', () => {
    const bucket = new TokenBucket({ ratePerSecond: 10, burst: 2, nowMs: 0 })

    expect([bucket.take(0), bucket.take(0), bucket.take(0)]).toEqual([0, 0, 100])
    expect(bucket.take(99)).toBe(1)
    expect(bucket.take(100)).toBe(0)
    expect(bucket.take(100)).toBe(100)
  })

  test('never holds more than the burst, and a clock that goes back gives nothing', () => {
    const bucket = new TokenBucket({ ratePerSecond: 10, burst: 1, nowMs: 0 })

    expect(bucket.take(1_000_000)).toBe(0)
    expect(bucket.take(1_000_000)).toBe(100)
    expect(bucket.take(0)).toBeGreaterThan(0)
  })
})

describe('the intake', () => {
  test('limits each peer by itself and all together', () => {
    const intake = new Intake({ ...LIMITS, maxServedPerPeer: 2, maxServed: 3 })
    intake.begin(A, 0)
    intake.begin(A, 0)
    expect(codeOf(() => intake.begin(A, 0))).toBe('LIMIT_EXCEEDED')
    intake.begin(B, 0)
    expect(codeOf(() => intake.begin(B, 0))).toBe('LIMIT_EXCEEDED')

    intake.finish(A)

    intake.begin(B, 0)
    expect(codeOf(() => intake.begin(A, 0))).toBe('LIMIT_EXCEEDED')
  })

  test('a peer over its rate is told when to come back; others are not touched', () => {
    const intake = new Intake({ ...LIMITS, requestsPerSecond: 1, requestBurst: 1 })
    intake.begin(A, 0)
    intake.finish(A)

    const error = errorOf(() => intake.begin(A, 0))
    expect([error.code, error.details['retryAfterMs']]).toEqual(['RATE_LIMITED', 1_000])
    intake.begin(B, 0)
    intake.begin(A, 1_000)
  })
})

describe('the gates', () => {
  test('let through the allowed number and the others in order', async () => {
    const { gates, call } = setUp({ maxRequestsPerPeer: 1 })
    const order: string[] = []
    const leave = await gates.enter(A, call)
    const second = gates.enter(A, call).then((free) => (order.push('second'), free))
    const third = gates.enter(A, call).then((free) => (order.push('third'), free))
    const other = await gates.enter(B, call)
    expect(order).toEqual([])

    leave()
    ;(await second)()
    ;(await third)()
    other()

    expect(order).toEqual(['second', 'third'])
  })

  test('the cap over all peers holds as well', async () => {
    const { gates, call } = setUp({ maxRequests: 1 })
    const leave = await gates.enter(A, call)
    let isThrough = false
    const other = gates.enter(B, call).then((free) => {
      isThrough = true
      return free
    })
    await Promise.resolve()
    expect(isThrough).toBe(false)

    leave()

    ;(await other)()
  })

  test('a full queue is LIMIT_EXCEEDED', async () => {
    const { gates, call } = setUp({ maxRequestsPerPeer: 1, maxQueuedRequests: 1 })
    const leave = await gates.enter(A, call)
    const queued = gates.enter(A, call)

    await expect(gates.enter(A, call)).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' })
    leave()
    ;(await queued)()
    ;(await gates.enter(A, call))()
  })

  test('whoever may enter without waiting is never ahead of one who waits', async () => {
    const { gates, call, world } = setUp({ maxRequests: 1 })
    const leave = gates.tryEnter(A)
    expect(leave).toBeDefined()
    expect(gates.tryEnter(A)).toBeUndefined()
    expect(gates.tryEnter(B)).toBeUndefined()
    const waiting = gates.enter(B, call)
    await world.run(0)

    leave?.()

    expect(gates.tryEnter(A)).toBeUndefined()
    ;(await waiting)()
    gates.tryEnter(A)?.()
    expect(gates.tryEnter(B)).toBeDefined()
  })

  test('no order of coming, waiting and giving up lets too many through or loses a place', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(2), fc.nat(60), fc.nat(60)), { maxLength: 40 }),
        async (visits) => {
          const { world, gates } = setUp({ maxRequests: 3, maxRequestsPerPeer: 2, maxQueuedRequests: 5 })
          const inside = [0, 0, 0]
          let most = 0
          const visit = async ([peer, timeoutMs, stayMs]: [number, number, number]) => {
            const id = idOf(peer + 1)
            const leave =
              gates.tryEnter(id) ?? (await gates.enter(id, new Call(world.clock, { timeoutMs }, 1)))
            inside[peer]! += 1
            most = Math.max(most, inside[0]! + inside[1]! + inside[2]!)
            expect(inside[peer]).toBeLessThanOrEqual(2)
            await new Promise<void>((resolve) => world.schedule(stayMs, resolve))
            inside[peer]! -= 1
            leave()
          }
          const running = visits.map((each) =>
            visit(each).then(
              () => 'ok',
              (error: unknown) => (error as EspalierError).code,
            ),
          )
          const outcomes = await world.runUntil(Promise.all(running))

          expect(most).toBeLessThanOrEqual(3)
          expect(outcomes.every((code) => ['ok', 'TIMEOUT', 'LIMIT_EXCEEDED'].includes(code))).toBe(true)
          // Every place is free again.
          expect([gates.tryEnter(A), gates.tryEnter(A), gates.tryEnter(B)].includes(undefined)).toBe(false)
          expect(gates.tryEnter(B)).toBeUndefined()
        },
      ),
      { numRuns: 60 },
    )
  })

  test('who gives up while waiting loses the place to the next', async () => {
    const { gates, call, world } = setUp({ maxRequestsPerPeer: 1 })
    const controller = new AbortController()
    const leave = await gates.enter(A, call)
    const aborted = gates.enter(A, new Call(world.clock, { signal: controller.signal }, 1_000))
    const late = gates.enter(A, new Call(world.clock, { timeoutMs: 5 }, 1_000))
    const patient = gates.enter(A, call)

    const outcomes = Promise.allSettled([aborted, late])
    controller.abort()
    await world.run(10)
    leave()

    expect(await outcomes).toMatchObject([{ reason: { code: 'ABORTED' } }, { reason: { code: 'TIMEOUT' } }])
    ;(await patient)()
    ;(await gates.enter(A, call))()
  })

  test('closing sends away those who wait and those who come', async () => {
    const { gates, call } = setUp({ maxRequestsPerPeer: 1 })
    await gates.enter(A, call)
    const waiting = gates.enter(A, call)

    gates.close(new EspalierError('CLOSED', 'closed'))

    await expect(waiting).rejects.toMatchObject({ code: 'CLOSED' })
    await expect(gates.enter(B, call)).rejects.toMatchObject({ code: 'CLOSED' })
  })
})

describe('a call', () => {
  test('takes a time-out from nothing to a day', async () => {
    const { clock } = new World({ seed: 1 })

    for (const timeoutMs of [-1, 86_400_001, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(codeOf(() => new Call(clock, { timeoutMs }, 1))).toBe('INVALID_ARGUMENT')
    }
    expect(new Call(clock, { timeoutMs: 86_400_000 }, 1).rest()).toEqual({ timeoutMs: 86_400_000 })
    expect(codeOf(() => new Call(clock, { timeoutMs: 0 }, 1).rest())).toBe('TIMEOUT')
    expect(codeOf(() => new Call(clock, { signal: AbortSignal.abort() }, 1))).toBe('ABORTED')
    await expect(new Call(clock, {}, 1).race(Promise.resolve(7))).resolves.toBe(7)
  })

  test('gives each step what is left of its time', async () => {
    const world = new World({ seed: 1 })
    const call = new Call(world.clock, { timeoutMs: 100 }, 1)
    await world.run(60)

    expect(call.rest().timeoutMs).toBe(40)
    const step = call.race(new Promise(() => undefined))
    await expect(world.runUntil(step)).rejects.toMatchObject({ code: 'TIMEOUT' })
    expect(world.nowMs).toBe(100)
  })
})

describe('the pool', () => {
  test('gives up the least recently used connection, busy ones last, the newest never', () => {
    const pool = new ConnectionPool({ maxConnections: 2 })
    const [first, second, third] = [pool.add(connectionTo(A)), pool.add(connectionTo(B)), idOf(3)]
    expect(pool.surplus(second)).toBeUndefined()
    pool.use(A)
    const newest = pool.add(connectionTo(third))

    expect(pool.surplus(newest)).toBe(second)
    const more = pool.add(connectionTo(B))
    first.busy = 1
    expect(pool.surplus(more)).toBe(newest)
    const last = pool.add(connectionTo(third))
    more.busy = 1
    expect(pool.surplus(last)).toBe(first)
    expect(pool.use(A)).toBeUndefined()
  })

  test('removing an older connection leaves the one that took its place', () => {
    const pool = new ConnectionPool({ maxConnections: 2 })
    const older = pool.add(connectionTo(A))
    const newer = pool.add(connectionTo(A))
    pool.remove(older)

    expect(pool.use(A)).toBe(newer)
    pool.remove(newer)
    expect(pool.use(A)).toBeUndefined()
  })
})

const LIMITS = {
  maxServedPerPeer: 10,
  maxServed: 10,
  requestsPerSecond: 1_000,
  requestBurst: 1_000,
  maxPeers: 10,
}

function setUp(limits: { maxRequests?: number; maxRequestsPerPeer?: number; maxQueuedRequests?: number }) {
  const world = new World({ seed: 1 })
  const gates = new Gates({ maxRequests: 10, maxRequestsPerPeer: 10, maxQueuedRequests: 10, ...limits })
  return { world, gates, call: new Call(world.clock, {}, 1_000_000) }
}

/** The pool looks at nothing but the peer. */
function connectionTo(peer: NodeId): Connection {
  return { peer } as Connection
}

function idOf(seed: number) {
  return nodeIdFromBytes(new Uint8Array(32).fill(seed))
}

function codeOf(run: () => unknown): string {
  return errorOf(run).code
}

function errorOf(run: () => unknown): EspalierError {
  try {
    run()
  } catch (error) {
    return error as EspalierError
  }
  throw new Error('nothing was thrown')
}
