import { describe, expect, test } from 'vitest'
import { DhtNetwork, type DhtNode } from './dht-network.ts'

const MINUTE_MS = 60_000

describe('registers over the network services, in simulated time', () => {
  test('everyone reads the same history, also after a third of the nodes died and others came', async () => {
    const network = await grown('history', 24)
    const { world } = network
    const [writer, ...others] = network.nodes as [DhtNode, ...DhtNode[]]
    for (let value = 1; value <= 6; value += 1) {
      await world.runUntil(writer.dht.registers.set('name', Uint8Array.of(value), {}))
      await world.run(5 * MINUTE_MS)
    }
    const read = async (node: DhtNode) => {
      const versions = await world.runUntil(node.dht.registers.history('name', { owner: writer.id }))
      return versions.map(({ sequence, value }) => [sequence, value[0]])
    }
    for (const node of others.slice(0, 8)) network.kill(node)
    await network.grow(6)

    for (const reader of network.nodes) {
      expect(await read(reader)).toEqual([6, 5, 4, 3, 2, 1].map((value) => [value, value]))
    }
    // Of those who came late nobody knows more than what came since.
    await world.runUntil(writer.dht.registers.set('name', Uint8Array.of(7), {}))
    expect((await read(network.nodes.at(-1)!))[0]).toEqual([7, 7])
  })
})

async function grown(seed: string, count: number): Promise<DhtNetwork> {
  const network = new DhtNetwork(seed)
  await network.grow(count)
  await network.world.run(MINUTE_MS)
  return network
}
