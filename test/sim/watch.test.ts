import { describe, expect, test } from 'vitest'
import type { RegisterChange } from '../../ts/dht/newest-version.ts'
import { leaseRegister } from '../../ts/dht/watch-wire.ts'
import { DhtNetwork, type DhtNode } from './dht-network.ts'

const SECOND_MS = 1_000
const MINUTE_MS = 60_000
/** Milliseconds of a machine that has other work. */
const LONG = { timeout: 300_000 }

describe('watches of registers over the network services, in simulated time', () => {
  test('go on when half of the nodes that push die without a word, and find others', LONG, async () => {
    const { network, writer, watcher, seen, set } = await watched('half of the holders')
    const { world } = network
    await set(1)
    expect(holdersOf(network).length).toBe(5)
    for (const node of holdersOf(network)
      .filter((node) => node !== writer)
      .slice(0, 3)) {
      network.kill(node)
    }

    await set(2)
    await world.run(3 * SECOND_MS)
    expect(seen.map(({ sequence }) => sequence)).toEqual([1, 2])
    // The dead are noticed when their leases are to be renewed.
    await world.run(10 * MINUTE_MS)
    expect(watcher.dht.registers.leaseCounts.held).toBe(5)
    const alive = new Set(network.nodes.map(({ id }) => id))
    expect(holdersOf(network).every(({ id }) => alive.has(id))).toBe(true)
    await set(3)
    await world.run(3 * SECOND_MS)
    expect(seen.map(({ sequence }) => sequence)).toEqual([1, 2, 3])
  })

  test(
    'hear after a partition what was written during it, from whichever side they are on',
    LONG,
    async () => {
      const { network, writer, watcher, seen, set } = await watched('partition')
      const { world, sim } = network
      await set(1)
      const half = network.nodes.filter((node) => node !== writer).slice(0, 10)
      expect(half).toContain(watcher)
      sim.partition([half.map(({ id }) => id)])
      await world.run(MINUTE_MS)
      await set(2)
      await set(3)
      await world.run(45 * MINUTE_MS)
      expect(seen.map(({ sequence }) => sequence)).toEqual([1])
      sim.heal()

      await world.run(40 * MINUTE_MS)
      expect(seen.map(({ sequence }) => sequence)).toEqual([1, 3])
      await set(4)
      await world.run(3 * SECOND_MS)
      expect(seen.at(-1)?.sequence).toBe(4)
    },
  )

  test('of nodes whose clocks are right within minutes work, whoever else is an hour off', LONG, async () => {
    const network = new DhtNetwork('clocks')
    await network.grow(2)
    await network.grow(5, { skewMs: 4 * MINUTE_MS })
    await network.grow(5, { skewMs: -4 * MINUTE_MS })
    await network.grow(4, { skewMs: 60 * MINUTE_MS })
    await network.grow(4, { skewMs: -60 * MINUTE_MS })
    await network.world.run(MINUTE_MS)
    const writer = network.nodes[0]!
    const watchers = network.nodes.slice(1, 12).map((node) => follow(node, writer))
    await network.world.run(MINUTE_MS)

    for (const value of [1, 2, 3, 4]) {
      await network.world.runUntil(writer.dht.registers.set('name', Uint8Array.of(value), {}))
      await network.world.run(5 * MINUTE_MS)
    }

    for (const seen of watchers) expect(seen.map(({ sequence }) => sequence)).toEqual([1, 2, 3, 4])
  })

  test('never go back while nodes die and come, and end with the last version', LONG, async () => {
    const { network, writer, watcher, seen, set } = await watched('churn')
    const { world } = network
    const rng = world.rng.split('churn')
    for (let value = 1; value <= 40; value += 1) {
      await set(value)
      const mortal = network.nodes.filter((node) => node !== writer && node !== watcher)
      if (value % 3 === 0) network.kill(mortal[rng.below(mortal.length)]!)
      if (value % 3 === 1) await network.grow(1)
      await world.run((20 + rng.below(100)) * SECOND_MS)
    }
    await world.run(30 * MINUTE_MS)

    const sequences = seen.map(({ sequence }) => sequence)
    expect(sequences).toEqual([...new Set(sequences)].sort((a, b) => a - b))
    expect(sequences.at(-1)).toBe(40)
    // It is the pushes that bring them, not a chance reading now and then.
    expect(sequences.length).toBeGreaterThan(35)
  })

  test('reach a client, which nobody can dial, over the connections that it has', LONG, async () => {
    const network = new DhtNetwork('client')
    await network.grow(16)
    await network.grow(1, { serves: false })
    await network.world.run(MINUTE_MS)
    const [writer, client] = [network.nodes[3]!, network.nodes.at(-1)!]
    const seen = follow(client, writer)
    await network.world.run(MINUTE_MS)

    for (const value of [1, 2, 3]) {
      await network.world.runUntil(writer.dht.registers.set('name', Uint8Array.of(value), {}))
      await network.world.run(20 * MINUTE_MS)
      expect(seen.map(({ value: bytes }) => bytes[0]).at(-1)).toBe(value)
    }
    expect(pushes(client, 'new')).toBe(3)
  })

  test.each([
    ['with leases', {}, 5],
    ['that nobody pushes to', { refuses: leaseRegister }, 0],
  ])(
    '%s cost a quiet node three requests a minute at most, upkeep included',
    LONG,
    async (_, options, held) => {
      const { network, watcher } = await watched(`quiet ${held}`, options)
      await network.world.run(60 * MINUTE_MS)
      expect(watcher.dht.registers.leaseCounts.held).toBe(held)
      const before = requestsOf(watcher)

      await network.world.run(60 * MINUTE_MS)

      const perMinute = (requestsOf(watcher) - before) / 60
      console.log(`${perMinute.toFixed(2)} requests a minute with ${held} leases`)
      expect(perMinute).toBeGreaterThan(0.5)
      expect(perMinute).toBeLessThanOrEqual(3)
    },
  )
})

/** Twenty-four nodes, of which one watches a register of another. */
async function watched(seed: string, options: Parameters<DhtNetwork['grow']>[1] = {}) {
  const network = new DhtNetwork(seed)
  await network.grow(24, options)
  await network.world.run(MINUTE_MS)
  const [writer, watcher] = [network.nodes[0]!, network.nodes[5]!]
  const seen = follow(watcher, writer)
  await network.world.run(MINUTE_MS)
  const set = (value: number) =>
    network.world.runUntil(writer.dht.registers.set('name', Uint8Array.of(value), {}))
  return { network, writer, watcher, seen, set }
}

/** Everything that a watch gives from now on. */
function follow(watcher: DhtNode, writer: DhtNode): readonly RegisterChange[] {
  const seen: RegisterChange[] = []
  const changes = watcher.dht.registers.watch('name', { owner: writer.id })
  void (async () => {
    for await (const change of changes) seen.push(change)
  })()
  return seen
}

function holdersOf(network: DhtNetwork): readonly DhtNode[] {
  return network.nodes.filter(({ dht }) => dht.registers.leaseCounts.granted > 0)
}

function pushes({ metrics }: DhtNode, outcome: string): number {
  return metrics.counter('registerPushes', { direction: 'inbound', outcome }).value
}

/** Requests that a node has made so far. */
function requestsOf({ metrics }: DhtNode): number {
  return metrics
    .counters('requests')
    .filter(({ labels }) => labels['direction'] === 'outbound')
    .reduce((sum, { value }) => sum + value.value, 0)
}
