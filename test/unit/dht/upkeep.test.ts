import { expect, test } from 'vitest'
import { keyOfNode } from '../../../ts/base/identity.ts'
import { EspalierError } from '../../../ts/base/error.ts'
import { hash } from '../../../ts/native/hash.ts'
import { SimDisk } from '../../../ts/sim/disk.ts'
import { FakeNetwork, FakeNode, networkOf, stopAll } from './fake-network.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS

test('a restarted node knows its peers again without any bootstrap, but only those that answer', async () => {
  const { network, nodes } = await networkOf(8)
  const node = nodes[3]!
  const gone = nodes[5]!
  await node.dht.stop()
  gone.port.isUp = false

  const again = new FakeNode(network, { crypto: node.env.crypto, store: node.store, port: node.port })
  await again.dht.start()
  expect(again.dht.peers()).toEqual([])
  await network.world.run(1_000)

  const known = again.dht.peers().map(({ id }) => id)
  expect([...known].sort()).toEqual(
    nodes
      .filter(({ id }) => id !== node.id && id !== gone.id)
      .map(({ id }) => id)
      .sort(),
  )
  await stopAll([...nodes.filter((other) => other !== node && other !== gone), again])
})

test('a node that dies leaves the tables of the others, and is not eligible from its first silence on', async () => {
  const { network, nodes } = await networkOf(6)
  const gone = nodes[2]!
  expect(nodes[0]!.dht.eligible()).toContain(gone.id)
  gone.port.isUp = false

  await nodes[0]!.dht.findClosest(keyOfNode(gone.id))
  expect(nodes[0]!.dht.eligible()).not.toContain(gone.id)
  await network.world.run(2 * HOUR_MS)

  for (const node of nodes.filter((other) => other !== gone)) {
    expect(node.dht.peers().map(({ id }) => id)).not.toContain(gone.id)
    expect(node.dht.peers().length).toBe(4)
  }
  await stopAll(nodes)
})

test('a pointer comes back within two hours on nodes that lost it, while its publisher runs', async () => {
  const { network, nodes } = await networkOf(5)
  const owner = nodes[0]!
  const root = hash(Uint8Array.of(1))
  const expiresUnixMs = network.world.clock.unixMs() + DAY_MS
  await owner.dht.publishPointer({ root, holders: [owner.id], expiresUnixMs })
  const replaced = nodes[3]!
  await replaced.dht.stop()
  const blank = new FakeNode(network, { crypto: replaced.env.crypto, port: replaced.port })
  await blank.dht.start()
  await blank.dht.bootstrap([owner.peer])
  const before = blank.dht.recordCount

  await network.world.run(2 * HOUR_MS)

  expect(before).toBeLessThan(blank.dht.recordCount)
  await owner.dht.stop()
  owner.port.isUp = false
  expect((await blank.dht.findPointer({ root, owner: owner.id }))?.root).toEqual(root)
  await stopAll([blank, ...nodes.slice(1).filter((node) => node !== replaced)])
})

test('expired records leave the quotas although the disk could not write in the midst of their removal', async () => {
  const { network, nodes } = await networkOf(2)
  const { world } = network
  const disk = new SimDisk(world, { rng: world.rng.split('disk') })
  const keeper = new FakeNode(network, { store: disk.open() })
  await keeper.dht.start()
  await keeper.dht.bootstrap([nodes[0]!.peer])
  await world.run(MINUTE_MS)
  const before = keeper.dht.recordCount
  const owners = [1, 2, 3].map(() => new FakeNode(network, { serves: false }))
  for (const { dht } of owners) {
    await dht.start()
    await dht.bootstrap([nodes[0]!.peer])
    const pointer = { root: hash(Uint8Array.of(7)), holders: [] }
    await dht.publishPointer({ ...pointer, expiresUnixMs: world.clock.unixMs() + 30 * MINUTE_MS })
  }
  expect(keeper.dht.recordCount).toBe(before + 3)

  // The last record of an owner takes the owner's key with it, which is a write.
  disk.setFaults({ failRatio: 1 })
  await world.run(HOUR_MS)
  disk.setFaults()

  expect(keeper.dht.recordCount).toBe(before)
  await stopAll([...nodes, keeper, ...owners])
})

test('a node that nobody has in the book is located through its own record', async () => {
  const { network, nodes } = await networkOf(30, { k: 4 })
  await network.world.run(1_000)
  const client = new FakeNode(network, { serves: false, k: 4 })
  await client.dht.start()
  await client.dht.bootstrap([nodes[0]!.peer])
  const unknown = nodes.filter(({ id }) => client.port.addressesOf(id).length === 0)
  expect(unknown.length).toBeGreaterThan(0)

  for (const { id, port } of unknown) expect(await client.dht.locate(id)).toEqual([port.address])

  expect(await client.dht.locate(client.id)).toEqual([])
  await stopAll([...nodes, client])
})

test('a bootstrap list without a living node fails, one with a single living node does not', async () => {
  const network = new FakeNetwork('bootstrap')
  const [node, other] = [new FakeNode(network), new FakeNode(network)]
  await node.dht.start()
  await other.dht.start()
  const dead = { addresses: [{ host: '192.0.2.1', port: 1 }] }

  await expect(node.dht.bootstrap([dead])).rejects.toMatchObject({ code: 'PEER_UNREACHABLE' })
  await node.dht.bootstrap([])
  await node.dht.bootstrap([dead, { addresses: [other.port.address] }, node.peer])

  expect(node.dht.peers().map(({ id }) => id)).toEqual([other.id])
  expect(other.dht.peers().map(({ id }) => id)).toEqual([node.id])
  await stopAll([node, other])
})

test('clocks that differ by four minutes do not keep nodes from storing and finding', async () => {
  const network = new FakeNetwork('skew')
  const nodes = [-4, 0, 4].map((minutes) => new FakeNode(network, { skewMs: minutes * MINUTE_MS }))
  for (const node of nodes) await node.dht.start()
  for (const node of nodes.slice(1)) await node.dht.bootstrap([nodes[0]!.peer])
  const root = hash(Uint8Array.of(2))
  const expiresUnixMs = network.world.clock.unixMs() + DAY_MS

  const { accepted } = await nodes[1]!.dht.publishPointer({ root, holders: [], expiresUnixMs })

  expect(accepted.length).toBe(3)
  for (const node of nodes) {
    expect((await node.dht.findPointer({ root, owner: nodes[1]!.id }))?.root).toEqual(root)
  }
  await stopAll(nodes)
})

test('after stop nothing runs any more, and stopping twice or before the start is fine', async () => {
  const { network, nodes } = await networkOf(3)
  await stopAll(nodes)
  await stopAll(nodes)
  const before = [...network.counts.values()].reduce((sum, count) => sum + count, 0)

  await network.world.run(DAY_MS)

  expect([...network.counts.values()].reduce((sum, count) => sum + count, 0)).toBe(before)
  await expect(nodes[0]!.dht.start()).rejects.toMatchObject({ code: 'INVALID_STATE' })
  const early = new FakeNode(network)
  const starting = expect(early.dht.start()).rejects.toMatchObject({ code: 'CLOSED' })
  await early.dht.stop()
  await starting
  const never = new FakeNode(network)
  await expect(never.dht.findClosest(keyOfNode(never.id))).rejects.toMatchObject({ code: 'INVALID_STATE' })
  await never.dht.stop()
})

test('options out of range and unknown ones are refused', () => {
  const network = new FakeNetwork('options')
  const wrong: readonly object[] = [{ k: 0 }, { k: 21 }, { paths: 0 }, { alpha: 1.5 }, { serve: true }]

  for (const options of wrong) {
    expect(() => new FakeNode(network, options)).toThrow(EspalierError)
  }
  expect(() => new FakeNode(network, { k: 20, paths: 16, alpha: 32 })).not.toThrow()
})

test('a record stays findable when the network grows around its holders and its publisher is gone', async () => {
  const { network, nodes } = await networkOf(3, { k: 4 })
  const client = new FakeNode(network, { serves: false, k: 4 })
  await client.dht.start()
  await client.dht.bootstrap([nodes[0]!.peer])
  const root = hash(Uint8Array.of(9))
  const expiresUnixMs = network.world.clock.unixMs() + 30 * DAY_MS
  await client.dht.publishPointer({ root, holders: [], expiresUnixMs })
  await client.dht.stop()

  const grown: FakeNode[] = []
  for (let at = 0; at < 40; at += 1) {
    const node = new FakeNode(network, { k: 4 })
    await node.dht.start()
    await node.dht.bootstrap([nodes[0]!.peer])
    await network.world.run(15_000)
    grown.push(node)
  }
  for (const old of nodes) {
    await old.dht.stop()
    old.port.isUp = false
  }

  for (const reader of grown.slice(0, 10)) {
    expect((await reader.dht.findPointer({ root, owner: client.id }))?.root).toEqual(root)
  }
  await stopAll(grown)
})

test('a table that changed is on disk within seconds, for a node that is killed', async () => {
  const { network, nodes } = await networkOf(4)
  const first = nodes[0]!

  await network.world.run(15_000)

  expect(await first.store.count('peers')).toBe(3)
  nodes[1]!.port.isUp = false
  await network.world.run(2 * HOUR_MS)
  expect(await first.store.count('peers')).toBe(2)
  await stopAll(nodes)
})

test('a put that nobody took is not republished, and what was there before still is', async () => {
  const { network, nodes } = await networkOf(2)
  const owner = new FakeNode(network, { serves: false })
  await owner.dht.start()
  await owner.dht.bootstrap([nodes[0]!.peer])
  await owner.dht.putValue('profile', Uint8Array.of(1))
  for (const node of nodes) node.port.isUp = false
  await expect(network.world.runUntil(owner.dht.putValue('profile', Uint8Array.of(2)))).rejects.toMatchObject(
    {
      code: 'QUORUM_FAILED',
    },
  )
  const blank = new FakeNode(network)
  await blank.dht.start()
  await owner.dht.bootstrap([blank.peer])

  await network.world.run(2 * HOUR_MS)

  const read = () => network.world.runUntil(blank.dht.getValue('profile', { owner: owner.id }))
  expect(await read()).toMatchObject({ sequence: 1, value: Uint8Array.of(1) })
  // The sequence that was signed in vain is never signed again.
  await network.world.runUntil(owner.dht.putValue('profile', Uint8Array.of(3)))
  expect(await read()).toMatchObject({ sequence: 3, value: Uint8Array.of(3) })
  await stopAll([blank, owner, ...nodes])
})
