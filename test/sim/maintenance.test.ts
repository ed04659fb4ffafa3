import { expect, test } from 'vitest'
import { keyOfNode, type NodeId } from '../../ts/base/identity.ts'
import { DhtNetwork, type DhtNode } from './dht-network.ts'

const MINUTE_MS = 60_000

test('a quiet network costs each node three requests a minute at most, and every table stays true', async () => {
  const network = new DhtNetwork('quiet')
  await network.grow(26)
  await network.world.run(20 * MINUTE_MS)
  const before = new Map(network.nodes.map((node) => [node, requestsOf(node)]))

  await network.world.run(60 * MINUTE_MS)

  for (const node of network.nodes) {
    const perMinute = (requestsOf(node) - before.get(node)!) / 60
    // Nothing at all would be no maintenance.
    expect(perMinute).toBeGreaterThan(0.5)
    expect(perMinute).toBeLessThanOrEqual(3)
    expect(missing(network, node)).toEqual([])
  }
})

test('those who die in a quiet network are out of every table within 45 minutes', async () => {
  const network = new DhtNetwork('quiet deaths')
  await network.grow(26)
  await network.world.run(20 * MINUTE_MS)
  const dead = network.nodes.slice(3, 6)
  const others = network.nodes.filter((node) => !dead.includes(node))
  const known = others.filter(({ dht }) => dht.peers().some(({ id }) => id === dead[0]!.id))
  for (const node of dead) network.kill(node)

  await network.world.run(45 * MINUTE_MS)

  const gone = new Set(dead.map(({ id }) => id))
  expect(known.length).toBeGreaterThan(10)
  for (const node of others) {
    expect(node.dht.peers().filter(({ id }) => gone.has(id))).toEqual([])
    expect(missing(network, node)).toEqual([])
  }
})

test('the table on disk is that in memory, though only what changed is written', async () => {
  const network = new DhtNetwork('saved')
  await network.grow(8)
  const [first] = network.nodes as [DhtNode]
  await network.world.run(MINUTE_MS)
  let writes = 0
  const write = first.store.write.bind(first.store)
  first.store.write = async (changes) => {
    writes += changes.filter(({ table }) => table === 'peers').length
    return write(changes)
  }

  await network.world.run(30 * MINUTE_MS)
  expect(writes).toBe(0)
  await network.grow(1)
  await network.world.run(MINUTE_MS)

  expect(writes).toBe(1)
  const rows = await first.store.scan('peers', { limit: 100 })
  const inMemory = first.dht.peers().map(({ id }) => Buffer.from(keyOfNode(id)).toString('hex'))
  expect(rows.map(({ key }) => Buffer.from(key).toString('hex'))).toEqual(inMemory.sort())
  expect(rows.length).toBe(8)
})

test('halves that were apart for half a day, and had forgotten each other, find together again', async () => {
  const network = new DhtNetwork('long split')
  await network.grow(6)
  const { world, sim } = network
  await world.run(MINUTE_MS)
  const half = network.nodes.slice(3)
  sim.partition([half.map(({ id }) => id)])
  await world.run(12 * 60 * MINUTE_MS)
  const during = half.map(({ dht }) => dht.peerCount)
  sim.heal()

  await world.run(90 * MINUTE_MS)

  expect(during).toEqual([2, 2, 2])
  expect(network.nodes.map(({ dht }) => dht.peerCount)).toEqual(new Array(6).fill(5))
})

/** Those of the twenty nearest nodes that a node does not know. */
function missing(network: DhtNetwork, { id, dht }: DhtNode): NodeId[] {
  const known = new Set(dht.peers().map((peer) => peer.id))
  return network.nearest(keyOfNode(id), 20, id).filter((other) => !known.has(other))
}

/** Requests that a node has made so far. */
function requestsOf({ metrics }: DhtNode): number {
  return metrics
    .counters('requests')
    .filter(({ labels }) => labels['direction'] === 'outbound')
    .reduce((sum, { value }) => sum + value.value, 0)
}
