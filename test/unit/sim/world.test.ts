import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { EventHeap } from '../../../ts/sim/event-heap.ts'
import { SeededRng } from '../../../ts/sim/rng.ts'
import { World } from '../../../ts/sim/world.ts'

describe('simulated time', () => {
  test('events run in order of time, and in the order of scheduling within an instant', async () => {
    const world = new World({ seed: 1 })
    const seen: string[] = []
    for (const [delayMs, name] of [
      [10, 'b'],
      [5, 'a'],
      [10, 'c'],
    ] as const) {
      world.schedule(delayMs, () => seen.push(`${name}@${world.nowMs}`))
    }

    await world.run(10)

    expect(seen).toEqual(['a@5', 'b@10', 'c@10'])
  })

  test('run stops at its end, to the millisecond', async () => {
    const world = new World({ seed: 1 })
    const seen: number[] = []
    for (const delayMs of [99, 100, 101]) world.schedule(delayMs, () => seen.push(delayMs))

    await world.run(100)

    expect([seen, world.nowMs]).toEqual([[99, 100], 100])
    await world.run(1)
    expect([seen, world.nowMs]).toEqual([[99, 100, 101], 101])
  })

  test('promises go on between instants, before time passes', async () => {
    const world = new World({ seed: 1 })
    const seen: string[] = []
    world.schedule(5, () => {
      void Promise.resolve()
        .then(() => Promise.resolve())
        .then(() => {
          seen.push(`continued@${world.nowMs}`)
          world.schedule(0, () => seen.push(`scheduled@${world.nowMs}`))
        })
    })
    world.schedule(6, () => seen.push('next instant'))

    await world.run(10)

    expect(seen).toEqual(['continued@5', 'scheduled@5', 'next instant'])
  })

  test('a cancelled timer never runs, and cancelling late does nothing', async () => {
    const world = new World({ seed: 1 })
    let runs = 0
    const cancelled = world.clock.setTimer(5, () => (runs += 10))
    const kept = world.clock.setTimer(5, () => (runs += 1))
    cancelled.cancel()
    cancelled.cancel()

    await world.run(5)
    kept.cancel()

    expect(runs).toBe(1)
  })

  test('runUntil answers the outcome at the instant where it is known', async () => {
    const world = new World({ seed: 1 })
    const value = new Promise<string>((resolve) => world.schedule(7, () => resolve('done')))
    world.schedule(8, () => {
      throw new Error('too late')
    })

    expect(await world.runUntil(value)).toBe('done')
    expect(world.nowMs).toBe(7)
    await expect(world.runUntil(Promise.reject(new Error('failed')))).rejects.toThrow('failed')
  })

  test('runUntil gives up when nothing is left that could happen, or at its limit', async () => {
    const world = new World({ seed: 1 })
    const never = new Promise(() => undefined)

    await expect(world.runUntil(never)).rejects.toMatchObject({ code: 'TIMEOUT' })
    const tick = () => {
      world.schedule(1, tick)
    }
    tick()
    await expect(world.runUntil(never, 1_000)).rejects.toMatchObject({ code: 'TIMEOUT' })
    expect(world.nowMs).toBeLessThanOrEqual(1_000)
  })

  test.each([NaN, Infinity, -Infinity, -1, Number.MAX_SAFE_INTEGER, '10' as unknown as number])(
    'run refuses %s and stays where it is',
    async (durationMs) => {
      const world = new World({ seed: 1 })
      await world.run(1)

      await expect(world.run(durationMs)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })

      expect(world.nowMs).toBe(1)
      await world.run(0)
      expect(world.nowMs).toBe(1)
    },
  )

  test('what is scheduled for never does not run and holds up nobody, and what is for no time is refused', async () => {
    const world = new World({ seed: 1 })
    let runs = 0
    world.schedule(Infinity, () => (runs += 10))
    world.schedule(-5, () => (runs += 1))

    expect(() => world.schedule(NaN, () => undefined)).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
    )
    await world.run(1_000)

    expect(runs).toBe(1)
    const never = new Promise(() => undefined)
    await expect(world.runUntil(never, Infinity)).rejects.toMatchObject({ code: 'TIMEOUT' })
    await expect(world.runUntil(never, NaN)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    await expect(world.runUntil(never, -1)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    expect(world.nowMs).toBe(1_000)
  })

  test('what an event throws comes out of run, and two runs at once are refused', async () => {
    const world = new World({ seed: 1 })
    world.schedule(1, () => {
      throw new Error('broken')
    })

    const first = world.run(10)
    await expect(world.run(10)).rejects.toMatchObject({ code: 'INVALID_STATE' })
    await expect(first).rejects.toThrow('broken')
    await world.run(1)
  })

  test('both clocks advance together', async () => {
    const world = new World({ seed: 1 })
    const before = world.clock.unixMs()

    await world.run(1_234)

    expect([world.clock.nowMs(), world.clock.unixMs() - before]).toEqual([1_234, 1_234])
  })

  test('the trace tells two runs apart by content, order and time', async () => {
    const hashes = await Promise.all(
      [
        [1, 'a', 'b'],
        [1, 'b', 'a'],
        [2, 'a', 'b'],
        [1, 'a', 'b'],
      ].map(async ([delayMs, ...lines]) => {
        const world = new World({ seed: 1 })
        world.schedule(Number(delayMs), () => lines.forEach((line) => world.record(String(line))))
        await world.run(5)
        return world.traceHash()
      }),
    )

    expect(new Set(hashes).size).toBe(3)
    expect(hashes[3]).toBe(hashes[0])
  })
})

describe('the event heap', () => {
  test('gives events back sorted, without the cancelled, whatever the order they came in', () => {
    const plans = fc.array(fc.record({ atMs: fc.nat(50), isCancelled: fc.boolean() }), { maxLength: 200 })
    fc.assert(
      fc.property(plans, (events) => {
        const heap = new EventHeap()
        const ran: number[] = []
        events.forEach(({ atMs, isCancelled }, at) => {
          const timer = heap.push(atMs, () => ran.push(at))
          if (isCancelled) timer.cancel()
        })
        const kept = events.map((event, at) => ({ ...event, at })).filter(({ isCancelled }) => !isCancelled)

        expect(heap.size).toBe(kept.length)
        while (heap.nextAtMs() < Infinity) heap.pop()?.()

        expect(ran).toEqual(kept.sort((a, b) => a.atMs - b.atMs || a.at - b.at).map(({ at }) => at))
        expect([heap.pop(), heap.size]).toEqual([undefined, 0])
      }),
    )
  })

  test('stays in order over many more events than it began with, most of them cancelled', () => {
    const heap = new EventHeap()
    const rng = new SeededRng('heap')
    const ran: number[] = []
    const timers = Array.from({ length: 20_000 }, () => {
      const atMs = rng.below(1_000)
      return { atMs, timer: heap.push(atMs, () => ran.push(atMs)) }
    })
    const kept = timers.filter(({ timer }, at) => {
      if (at % 5 !== 0) timer.cancel()
      return at % 5 === 0
    })

    while (heap.nextAtMs() < Infinity) heap.pop()?.()

    expect(ran).toEqual(kept.map(({ atMs }) => atMs).sort((a, b) => a - b))
  })

  test('a late cancel does not hit the event that has taken the place', () => {
    const heap = new EventHeap()
    const first = heap.push(1, () => undefined)
    heap.pop()
    let ran = false
    heap.push(2, () => (ran = true))

    first.cancel()
    heap.pop()?.()

    expect(ran).toBe(true)
  })
})

describe('seeded randomness', () => {
  test('repeats for its seed, and differs for another seed or label', () => {
    const draw = (rng: SeededRng) => Array.from({ length: 20 }, () => rng.below(1_000_000))

    expect(draw(new SeededRng('a'))).toEqual(draw(new SeededRng('a')))
    expect(draw(new SeededRng('a'))).not.toEqual(draw(new SeededRng('b')))
    expect(draw(new SeededRng('a').split('x'))).not.toEqual(draw(new SeededRng('a').split('y')))
    expect(draw(new SeededRng('a').split('x'))).not.toEqual(draw(new SeededRng('a')))
  })

  test('splitting draws nothing, and drawing does not move the splits', () => {
    const one = new SeededRng('a')
    const two = new SeededRng('a')
    one.split('x')
    two.float()

    expect(one.split('y').float()).toBe(two.split('y').float())
    expect(new SeededRng('a').float()).toBe(one.float())
  })

  test('is spread evenly: bytes, floats and bounded integers', () => {
    const rng = new SeededRng('spread')
    const buckets = new Array<number>(10).fill(0)
    for (let draw = 0; draw < 20_000; draw += 1) buckets[rng.below(10)]! += 1
    const mean =
      Array.from({ length: 20_000 }, () => rng.float()).reduce((sum, value) => sum + value, 0) / 20_000
    const bytes = rng.bytes(20_001)

    // Five standard deviations: √(20,000 × 0.1 × 0.9) = 42.
    expect(buckets.every((count) => Math.abs(count - 2_000) < 212)).toBe(true)
    expect(Math.abs(mean - 0.5)).toBeLessThan(0.011)
    expect(bytes).toHaveLength(20_001)
    expect(new Set(bytes).size).toBe(256)
  })

  test('covers the whole range that Rng allows', () => {
    const rng = new SeededRng('range')
    const draws = Array.from({ length: 1_000 }, () => rng.below(2 ** 32))

    expect(Math.max(...draws)).toBeGreaterThan(2 ** 32 * 0.99)
    expect(Math.min(...draws)).toBeLessThan(2 ** 32 * 0.01)
    expect(rng.below(1)).toBe(0)
  })
})
