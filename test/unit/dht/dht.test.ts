import { describe, expect, test } from 'vitest'
import { keyFromBytes } from '../../../ts/base/identity.ts'
import { hash } from '../../../ts/native/hash.ts'
import { FakeNetwork, FakeNode, networkOf, stopAll } from './fake-network.ts'

const DAY_MS = 86_400_000

describe.each([1, 2, 3, 30])('in a network of %i', (count) => {
  test('a pointer that any node publishes is found by every node', async () => {
    const { network, nodes } = await networkOf(count)
    const publisher = nodes[count - 1]!
    const pointer = {
      root: hash(Uint8Array.of(count)),
      holders: nodes.slice(0, 12).map(({ id }) => id),
      expiresUnixMs: network.world.clock.unixMs() + DAY_MS,
    }

    const { accepted } = await publisher.dht.publishPointer(pointer)

    expect(accepted.length).toBe(Math.min(20, count))
    for (const node of nodes) {
      expect(await node.dht.findPointer({ root: pointer.root, owner: publisher.id })).toEqual(pointer)
    }
    await stopAll(nodes)
  })

  test('a register that is written again is read with its new value by every node', async () => {
    const { nodes } = await networkOf(count)
    const owner = nodes[0]!

    const first = await owner.dht.putValue('profile', Uint8Array.of(1))
    const second = await owner.dht.putValue('profile', Uint8Array.of(2))

    expect([first.sequence, second.sequence]).toEqual([1, 2])
    for (const node of nodes) {
      expect(await node.dht.getValue('profile', { owner: owner.id })).toMatchObject({
        value: Uint8Array.of(2),
        sequence: 2,
      })
      expect(await node.dht.getValue('another', { owner: owner.id })).toBeUndefined()
    }
    await stopAll(nodes)
  })
})

test('200 nodes: look-ups find the exact k closest, every pointer is found, also when half of its holders are gone', async () => {
  const { network, nodes } = await networkOf(200)
  const oneOf = (at: number) => nodes[(at * 37) % nodes.length]!
  let exact = 0
  let wanted = 0

  for (let run = 0; run < 60; run += 1) {
    const target = keyFromBytes(hash(Uint8Array.of(run)))
    const node = oneOf(run)
    const found = (await node.dht.findClosest(target)).map(({ id }) => id)
    const oracle = network.oracle(target, 20, node.id)
    expect(found.length).toBe(20)
    exact += oracle.filter((id) => found.includes(id)).length
    wanted += oracle.length
  }
  expect(exact / wanted).toBeGreaterThanOrEqual(0.99)

  for (let run = 0; run < 10; run += 1) {
    const owner = oneOf(run * 3 + 1)
    const root = hash(Uint8Array.of(run, 1))
    const expiresUnixMs = network.world.clock.unixMs() + DAY_MS
    const { accepted } = await owner.dht.publishPointer({ root, holders: [owner.id], expiresUnixMs })
    expect(accepted.length).toBe(20)
    const gone = accepted.filter((id, at) => at % 2 === 0 && id !== owner.id)
    for (const id of gone) network.ports.get(id)!.isUp = false
    const readers = nodes.filter(({ port }) => port.isUp)
    for (let reader = 0; reader < 5; reader += 1) {
      const node = readers[(run * 11 + reader * 29) % readers.length]!
      expect((await node.dht.findPointer({ root, owner: owner.id }))?.holders).toEqual([owner.id])
    }
    for (const id of gone) network.ports.get(id)!.isUp = true
  }
  await stopAll(nodes)
}, 300_000)

test('a client finds and publishes, but enters nobody’s table and keeps nothing', async () => {
  const { network, nodes } = await networkOf(5)
  const client = new FakeNode(network, { serves: false })
  await client.dht.start()
  await client.dht.bootstrap([nodes[0]!.peer])
  const root = hash(Uint8Array.of(7))

  const { accepted } = await client.dht.publishPointer({
    root,
    holders: [nodes[1]!.id],
    expiresUnixMs: network.world.clock.unixMs() + DAY_MS,
  })

  expect([...accepted].sort()).toEqual(nodes.map(({ id }) => id).sort())
  expect(client.dht.eligible()).not.toContain(client.id)
  expect(client.dht.peers().length).toBe(5)
  for (const node of nodes) {
    expect(node.dht.peers().map(({ id }) => id)).not.toContain(client.id)
    expect(node.dht.eligible()).toContain(node.id)
    expect((await node.dht.findPointer({ root, owner: client.id }))?.holders).toEqual([nodes[1]!.id])
  }
  expect(client.dht.recordCount).toBe(0)
  await stopAll([...nodes, client])
})

test('a client alone has nobody to accept, and says so', async () => {
  const client = new FakeNode(new FakeNetwork('alone'), { serves: false })
  await client.dht.start()

  await expect(client.dht.putValue('name', Uint8Array.of(1))).rejects.toMatchObject({ code: 'QUORUM_FAILED' })
  await client.dht.stop()
})
