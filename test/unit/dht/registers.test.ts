import { expect, test } from 'vitest'
import { keyOfNode } from '../../../ts/base/identity.ts'
import { keyOfRecord, signRecords } from '../../../ts/base/record.ts'
import { compareDistance } from '../../../ts/dht/key.ts'
import { encodeRegister, subjectOfName } from '../../../ts/dht/register.ts'
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
  // Nobody showed what is remembered.
  await expect(
    network.world.runUntil(
      client.dht.getValue('name', { owner: owner.id }, { consistency: 'quorum', secure: true }),
    ),
  ).rejects.toMatchObject({ code: 'QUORUM_FAILED', details: { found: 0, needed: 4 } })
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

test('a write that rests on a version is sure of a miss: liars near its name do not make it the first', async () => {
  const { network, nodes } = await networkOf(40, { k: 4 })
  const { name, subject, owner, seeds, keepers } = hiddenName(nodes)
  const nowUnixMs = network.world.clock.unixMs()
  const [record] = signRecords(owner.env.crypto, [
    {
      kind: 'REGISTER_POINTER',
      subject,
      owner: owner.id,
      sequence: 3,
      issuedUnixMs: nowUnixMs,
      expiresUnixMs: nowUnixMs + 60_000,
      payload: encodeRegister(Uint8Array.of(3)),
    },
  ])
  for (const { port } of keepers) port.handle(getRecord, () => ({ record, peers: [] }))
  const lie = { record: undefined, peers: seeds.map(({ peer }) => peer) }
  for (const { port } of seeds) port.handle(getRecord, () => lie)
  const write = (expectSequence: number) =>
    network.world.runUntil(owner.dht.putValue(name, Uint8Array.of(4), { expectSequence }))

  await expect(write(0)).rejects.toMatchObject({ code: 'RECORD_STALE', details: { sequence: 3 } })

  expect(await write(3)).toMatchObject({ sequence: 4 })
  await stopAll(nodes)
})

/** A name of a node that knows none of those who keep it: its nearest contacts to the place are `seeds`. */
function hiddenName(nodes: readonly FakeNode[]) {
  for (let number = 0; number < 500; number += 1) {
    const name = `name ${number}`
    for (const owner of nodes) {
      const subject = subjectOfName(owner.env.crypto, name)
      const key = keyOfRecord(owner.env.crypto, { kind: 'REGISTER_POINTER', subject, owner: owner.id })
      const sorted = nodes.toSorted((x, y) =>
        compareDistance(key, { a: keyOfNode(x.id), b: keyOfNode(y.id) }),
      )
      const known = new Set(owner.dht.peers().map(({ id }) => id))
      const seeds = sorted.filter(({ id }) => known.has(id)).slice(0, 4)
      const keepers = sorted.slice(0, 5)
      const isHidden = !keepers.some((keeper) => keeper === owner || seeds.includes(keeper))
      if (isHidden && known.size > 8) return { name, subject, owner, seeds, keepers }
    }
  }
  throw new Error('no such name')
}
