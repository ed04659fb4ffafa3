import { describe, expect, test } from 'vitest'
import { keyFromBytes } from '../../ts/base/identity.ts'
import { DhtNetwork, type DhtNode } from './dht-network.ts'

const MINUTE_MS = 60_000
const VALUE = new TextEncoder().encode('a value')

describe('the table over the network services, in simulated time', () => {
  test('look-ups find exactly the nearest nodes', async () => {
    const network = await grown('nearest', 30)
    const rng = network.world.rng.split('targets')

    for (let look = 0; look < 20; look += 1) {
      const target = keyFromBytes(rng.bytes(32))
      const from = pick(network, rng.below(1_000))
      const found = await network.world.runUntil(from.dht.findClosest(target))

      expect(found.map(({ id }) => id)).toEqual(network.nearest(target, 20, from.id))
    }
  })

  test('a value is read by everyone, also after a quarter of the nodes died without a word', async () => {
    const network = await grown('deaths', 28)
    const { world } = network
    const [writer, ...others] = network.nodes as [DhtNode, ...DhtNode[]]
    await world.runUntil(writer.dht.putValue('name', VALUE))
    for (const node of others.slice(0, 7)) network.kill(node)

    for (const reader of network.nodes) {
      const read = await world.runUntil(reader.dht.getValue('name', { owner: writer.id }))
      expect(read?.value).toEqual(VALUE)
    }
  })

  test('the dead leave the tables of the living in time', async () => {
    const network = await grown('eviction', 16)
    const dead = network.nodes.slice(5, 9)
    for (const node of dead) network.kill(node)

    await network.world.run(45 * MINUTE_MS)

    const gone = new Set(dead.map(({ id }) => id))
    const stale = network.nodes.flatMap(({ dht }) => dht.peers().filter(({ id }) => gone.has(id)))
    expect(stale).toEqual([])
    expect(network.nodes.every(({ dht }) => dht.peers().length === 11)).toBe(true)
  })

  test('both halves of a split network go on, and are one again after it', async () => {
    const network = await grown('split', 16)
    const { world, sim } = network
    const [left, right] = [network.nodes.slice(0, 8), network.nodes.slice(8)]
    const half = right.map(({ id }) => id)
    sim.partition([half])
    await world.run(5 * MINUTE_MS)
    const writer = right[0]!
    await world.runUntil(writer.dht.putValue('name', VALUE))
    const during = await world.runUntil(right[7]!.dht.getValue('name', { owner: writer.id }))
    const across = await world.runUntil(
      left[3]!.dht.getValue('name', { owner: writer.id }).catch(() => undefined),
    )
    sim.heal()
    await world.run(30 * MINUTE_MS)
    const after = await world.runUntil(left[3]!.dht.getValue('name', { owner: writer.id }))

    expect(during?.value).toEqual(VALUE)
    expect(across).toBeUndefined()
    expect(after?.value).toEqual(VALUE)
  })

  test('equal seeds give equal traces over an hour, with everything that the services do by themselves', async () => {
    const run = async (seed: string) => {
      const network = await grown(seed, 12)
      await network.world.run(60 * MINUTE_MS)
      return network.world.traceHash()
    }
    const first = await run('x')

    expect(await run('x')).toBe(first)
    expect(await run('y')).not.toBe(first)
  })
})

async function grown(seed: string, count: number): Promise<DhtNetwork> {
  const network = new DhtNetwork(seed)
  await network.grow(count)
  await network.world.run(MINUTE_MS)
  return network
}

function pick(network: DhtNetwork, number: number): DhtNode {
  return network.nodes[number % network.nodes.length]!
}
