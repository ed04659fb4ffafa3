import { describe, expect, test } from 'vitest'
import { nodeIdFromBytes, keyFromBytes, type NodeId } from '../../../ts/base/identity.ts'
import { drive } from '../../../ts/dht/drive.ts'
import { Lookup, type Peer } from '../../../ts/dht/lookup.ts'
import { World } from '../../../ts/sim/world.ts'

const SELF = id(255)

describe('a look-up that is driven', () => {
  test.each([
    // Eight times the slowest answer, …
    [100, 800],
    [1000, 8000],
    // … but never less than half a second.
    [10, 500],
  ])('with answers after %i ms leaves a silent peer out after %i ms', async (answerMs, endMs) => {
    const { world, lookup, tookMs } = await run({ 1: answerMs, 2: undefined })

    expect(tookMs).toBe(endMs)
    expect(lookup.closest().map((peer) => peer.id)).toEqual([id(1)])
    expect(world.nowMs).toBe(endMs)
  })

  test('waits for a slow peer as long as its patience lasts', async () => {
    const { lookup, tookMs } = await run({ 1: 100, 2: 799 })

    expect(tookMs).toBe(799)
    expect(lookup.answers).toBe(2)
  })

  test('is patient without end while nobody has answered', async () => {
    const { lookup, tookMs } = await run({ 1: 4000, 2: 4900 })

    expect(tookMs).toBe(4900)
    expect(lookup.answers).toBe(2)
  })

  test('ends as soon as what was found is enough', async () => {
    const { tookMs } = await run({ 1: 100, 2: undefined }, () => true)

    expect(tookMs).toBe(0)
  })

  test('ends with the reason of its signal', async () => {
    const world = new World({ seed: 1 })
    const controller = new AbortController()
    const lookup = new Lookup({ target: keyFromBytes(new Uint8Array(32)), self: SELF, seeds: [peer(1)] })
    const driven = drive(lookup, {
      ask: () => new Promise(() => undefined),
      clock: world.clock,
      signal: controller.signal,
    })
    world.schedule(50, () => controller.abort(new Error('enough')))

    await expect(world.runUntil(driven)).rejects.toThrow('enough')
  })
})

/** Drives a look-up whose seeds answer after so many milliseconds, or never. */
async function run(answers: Readonly<Record<number, number | undefined>>, isEnough?: () => boolean) {
  const world = new World({ seed: 1 })
  const seeds = Object.keys(answers).map((number) => peer(Number(number)))
  const lookup = new Lookup({ target: keyFromBytes(new Uint8Array(32)), self: SELF, seeds, paths: 1 })
  const ask = (asked: Peer): Promise<readonly Peer[]> =>
    new Promise((resolve) => {
      const number = seeds.findIndex((seed) => seed.id === asked.id) + 1
      const afterMs = answers[number]
      if (afterMs !== undefined) world.schedule(afterMs, () => resolve([]))
    })
  const { signal } = new AbortController()
  await world.runUntil(
    drive(lookup, { ask, clock: world.clock, signal, ...(isEnough === undefined ? {} : { isEnough }) }),
  )
  return { world, lookup, tookMs: world.nowMs }
}

function peer(number: number): Peer {
  return { id: id(number), addresses: [{ host: '192.0.2.1', port: 1000 + number }] }
}

function id(number: number): NodeId {
  return nodeIdFromBytes(new Uint8Array(32).fill(number))
}
