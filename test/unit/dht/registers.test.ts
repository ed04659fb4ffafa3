import { expect, test } from 'vitest'
import { getRecord } from '../../../ts/dht/wire.ts'
import { FakeNode, networkOf, stopAll } from './fake-network.ts'

const forget = ({ port }: FakeNode): void => port.handle(getRecord, () => ({ record: undefined, peers: [] }))

test('a read by quorum wants the register from more than half of the nodes that should keep it', async () => {
  const { network, nodes } = await networkOf(8)
  const [owner, reader, ...others] = nodes as [FakeNode, FakeNode, ...FakeNode[]]
  await owner.dht.putValue('name', Uint8Array.of(1))
  const read = () =>
    network.world.runUntil(reader.dht.getValue('name', { owner: owner.id }, { consistency: 'quorum' }))

  // The reader, the owner and three others are five of eight.
  for (const node of others.slice(3)) forget(node)
  expect(await read()).toMatchObject({ sequence: 1, value: Uint8Array.of(1) })
  forget(others[2]!)

  await expect(read()).rejects.toMatchObject({ code: 'QUORUM_FAILED', details: { found: 4, needed: 5 } })
  expect(await reader.dht.getValue('name', { owner: owner.id })).toMatchObject({ sequence: 1 })
  await stopAll(nodes)
})

test('what nobody has is nothing by quorum too', async () => {
  const { nodes } = await networkOf(4)

  const read = nodes[0]!.dht.getValue('name', { owner: nodes[1]!.id }, { consistency: 'quorum' })

  expect(await read).toBeUndefined()
  await stopAll(nodes)
})

test('a reader never sees an older version than it has seen, whatever the holders show later', async () => {
  const { network, nodes } = await networkOf(6)
  const [owner, ...holders] = nodes as [FakeNode, ...FakeNode[]]
  const [client, other] = [new FakeNode(network, { serves: false }), new FakeNode(network, { serves: false })]
  for (const { dht } of [client, other]) {
    await dht.start()
    await dht.bootstrap([owner.peer])
  }
  await owner.dht.putValue('name', Uint8Array.of(1))
  await owner.dht.putValue('name', Uint8Array.of(2))
  const read = () => network.world.runUntil(client.dht.getValue('name', { owner: owner.id }))
  expect(await read()).toMatchObject({ sequence: 2 })

  for (const node of [owner, ...holders]) forget(node)

  expect(await read()).toMatchObject({ sequence: 2, value: Uint8Array.of(2) })
  // It is this reader that remembers: another one finds nothing.
  expect(await other.dht.getValue('name', { owner: owner.id })).toBeUndefined()
  await stopAll([client, other, ...nodes])
})

test('the first write of a name does not search three times for what is not there', async () => {
  const { network, nodes } = await networkOf(40, { k: 4 })
  const asked = () => network.counts.get(getRecord.name) ?? 0
  const before = asked()

  await nodes[7]!.dht.putValue('name', Uint8Array.of(1))

  const forWrite = asked() - before
  await nodes[7]!.dht.getValue('another', { owner: nodes[7]!.id })
  expect(asked() - before - forWrite).toBeGreaterThan(forWrite)
  await stopAll(nodes)
})
