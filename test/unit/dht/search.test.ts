import { expect, test } from 'vitest'
import { keyOfNode, nodeIdFromBytes } from '../../../ts/base/identity.ts'
import { keyOfRecord, signRecords } from '../../../ts/base/record.ts'
import { compareDistance } from '../../../ts/dht/key.ts'
import { encodeRegister, subjectOfName } from '../../../ts/dht/register.ts'
import { getRecord } from '../../../ts/dht/wire.ts'
import { hash } from '../../../ts/native/hash.ts'
import { FakeNode, networkOf, stopAll } from './fake-network.ts'

const DAY_MS = 86_400_000

test('a register is not believed on one path, however many holders show it there', async () => {
  const { network, nodes } = await networkOf(13)
  const [owner, reader] = nodes as [FakeNode, FakeNode]
  const subject = subjectOfName(owner.env.crypto, 'name')
  const key = keyOfRecord(owner.env.crypto, { kind: 'REGISTER_POINTER', subject, owner: owner.id })
  await owner.dht.putValue('name', Uint8Array.of(1))
  await owner.dht.putValue('name', Uint8Array.of(2))
  const nowUnixMs = network.world.clock.unixMs()
  const [old] = signRecords(owner.env.crypto, [
    {
      kind: 'REGISTER_POINTER',
      subject,
      owner: owner.id,
      sequence: 1,
      issuedUnixMs: nowUnixMs,
      expiresUnixMs: nowUnixMs + DAY_MS,
      payload: encodeRegister(Uint8Array.of(1)),
    },
  ])
  // Seeds are dealt to four paths in turn: these three are the first whom the first path asks.
  const seeds = nodes
    .filter(({ id }) => id !== reader.id)
    .sort((x, y) => compareDistance(key, { a: keyOfNode(x.id), b: keyOfNode(y.id) }))
  const liars = [0, 4, 8].map((at) => seeds[at]!)
  for (const { port } of liars) port.handle(getRecord, () => ({ record: old, peers: [] }))
  const blank = new FakeNode(network, { serves: false, crypto: reader.env.crypto, port: reader.port })
  await reader.dht.stop()
  await blank.dht.start()
  await blank.dht.bootstrap([nodes[2]!.peer])

  // The liars are the first to answer.
  for (const { port } of seeds.filter((node) => !liars.includes(node))) port.delayMs = 10

  const read = await network.world.runUntil(blank.dht.getValue('name', { owner: owner.id }))

  expect(read).toMatchObject({ sequence: 2, value: Uint8Array.of(2) })
  await stopAll([blank, ...nodes])
})

test('a look-up whose every path met liars begins again, and finds what they hid', async () => {
  const { network, nodes } = await networkOf(40, { k: 4 })
  const owner = nodes[0]!
  const { root, key, reader, seeds } = hiddenFrom(nodes, owner)
  await owner.dht.publishPointer({
    root,
    holders: [owner.id],
    expiresUnixMs: network.world.clock.unixMs() + DAY_MS,
  })
  for (const liar of seeds) {
    liar.port.handle(getRecord, () => ({ record: undefined, peers: seeds.map(({ peer }) => peer) }))
  }

  const found = await network.world.runUntil(reader.dht.findPointer({ root, owner: owner.id }))

  expect(network.oracle(key, 4).some((id) => seeds.some((seed) => seed.id === id))).toBe(false)
  expect(found?.holders).toEqual([owner.id])
  // Its four seeds all lied, and named nobody else.
  expect(seeds.length).toBe(4)
  await stopAll(nodes)
})

test('a node that nobody has is looked for three times and no more, and nobody is asked twice', async () => {
  const { network, nodes } = await networkOf(40, { k: 4 })
  const id = nodeIdFromBytes(hash(Uint8Array.of(9)))

  const report = await network.world.runUntil(nodes[5]!.dht.lookup(id))

  expect(report).toMatchObject({ found: false, proof: undefined, addresses: [], restarts: 2 })
  const asked = report.paths.flatMap((steps) => steps.map(({ peer }) => peer))
  expect(new Set(asked).size).toBe(asked.length)
  expect(asked.length).toBe(report.requests)
  expect(report.closest).toEqual(network.oracle(keyOfNode(id), 4, nodes[5]!.id))
  await stopAll(nodes)
})

test('a look-up for a node tells whom each path asked, what came of it, and what proves the node', async () => {
  const { network, nodes } = await networkOf(30, { k: 8, requestTimeoutMs: 50 })
  await network.world.run(60_000)
  const [reader, target] = nodes as [FakeNode, FakeNode]
  const liars = nodes.filter((_, at) => at % 3 === 2)
  for (const { port } of liars) port.handleRaw(getRecord.protocol, () => Promise.resolve(Uint8Array.of(1)))

  const report = await network.world.runUntil(reader.dht.lookup(target.id, { secure: true }))

  const steps = report.paths.flat()
  const isLiar = (id: string) => liars.some((liar) => liar.id === id)
  expect(report).toMatchObject({ found: true, addresses: [target.port.address] })
  expect(report.paths.length).toBeGreaterThan(4)
  expect(report.paths.length).toBeLessThanOrEqual(8)
  expect(new Set(steps.map(({ peer }) => peer)).size).toBe(report.requests)
  for (const { peer, outcome, named, sequence } of steps.filter((step) => step.outcome !== 'pending')) {
    expect(outcome).toBe(isLiar(peer) ? 'PROTOCOL_VIOLATION' : 'answered')
    expect(named.length > 0).toBe(!isLiar(peer))
    expect(sequence === undefined || sequence > 0).toBe(true)
  }
  const shown = steps.some(({ sequence }) => sequence !== undefined)
  const isThere = steps.some(({ peer, outcome }) => peer === target.id && outcome === 'answered')
  expect(report.proof).toBe(isThere ? 'handshake' : 'record')
  expect(shown || isThere).toBe(true)
  await stopAll(nodes)
})

/** A place, and a node whose nearest known nodes to it are none of those that will keep the record. */
function hiddenFrom(nodes: readonly FakeNode[], owner: FakeNode) {
  for (let number = 0; number < 500; number += 1) {
    const root = hash(Uint8Array.of(number & 255, number >> 8))
    const key = keyOfRecord(owner.env.crypto, { kind: 'DATA_POINTER', subject: root, owner: owner.id })
    const byDistance = (x: FakeNode, y: FakeNode) =>
      compareDistance(key, { a: keyOfNode(x.id), b: keyOfNode(y.id) })
    const holders = nodes.toSorted(byDistance).slice(0, 5)
    for (const reader of nodes.slice(1)) {
      const known = new Set(reader.dht.peers().map(({ id }) => id))
      const seeds = nodes
        .filter(({ id }) => known.has(id))
        .toSorted(byDistance)
        .slice(0, 4)
      const isHidden = !holders.some((holder) => holder === reader || seeds.includes(holder))
      if (isHidden && !seeds.includes(owner) && known.size > 8) return { root, key, reader, seeds }
    }
  }
  throw new Error('no such place')
}
