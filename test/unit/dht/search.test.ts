import { expect, test } from 'vitest'
import { keyOfNode, nodeIdFromBytes } from '../../../ts/base/identity.ts'
import { keyOfRecord, signRecords } from '../../../ts/base/record.ts'
import { compareDistance } from '../../../ts/dht/key.ts'
import { encodeRegister, subjectOfName } from '../../../ts/dht/register.ts'
import { findNode, getRecord, ping } from '../../../ts/dht/wire.ts'
import { hash } from '../../../ts/native/hash.ts'
import { FakeNetwork, FakeNode, networkOf, stopAll, type FakePort } from './fake-network.ts'

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

test('a node that is silent until somebody names another address of it counts once, and on one path', async () => {
  const read = async (consistency: 'one' | 'quorum') => {
    const { network, reader } = await silentAtFirst()
    const value = reader.dht.getValue('name', { owner: reader.id }, { consistency })
    return network.world.runUntil(value).finally(() => reader.dht.stop())
  }

  // Three holders on one path show the old version; one of them answers a question of another path, too.
  expect(await read('one')).toMatchObject({ sequence: 2, value: Uint8Array.of(2) })
  await expect(read('quorum')).rejects.toMatchObject({
    code: 'QUORUM_FAILED',
    details: { found: 4, needed: 11 },
  })
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

/**
 * A reader of its own register, whose nearest contact says nothing for 900 ms, until it has been given up, been named
 * once more and asked by another path. It and two others on its path show an old version; the newer one is shown
 * farther along the other path.
 */
async function silentAtFirst() {
  const network = new FakeNetwork('silent at first')
  const reader = new FakeNode(network, { serves: false })
  const { crypto, clock } = reader.env
  const subject = subjectOfName(crypto, 'name')
  const key = keyOfRecord(crypto, { kind: 'REGISTER_POINTER', subject, owner: reader.id })
  const nowUnixMs = clock.unixMs()
  const [old, newer] = signRecords(
    crypto,
    [1, 2].map((sequence) => ({
      kind: 'REGISTER_POINTER' as const,
      subject,
      owner: reader.id,
      sequence,
      issuedUnixMs: nowUnixMs,
      expiresUnixMs: nowUnixMs + DAY_MS,
      payload: encodeRegister(Uint8Array.of(sequence)),
    })),
  )
  const ports = Array.from({ length: 24 }, (_, at) => network.port(nodeIdFromBytes(hash(Uint8Array.of(at)))))
  for (const port of ports) {
    port.handle(ping, () => ({ serves: true, addresses: [port.address] }))
    port.handle(findNode, () => [])
    port.handle(getRecord, () => ({ record: undefined, peers: [] }))
  }
  // The seeds are dealt to four paths in turn: the second and the sixth are on one.
  const seeds = ports
    .slice(0, 6)
    .sort((x, y) => compareDistance(key, { a: keyOfNode(x.localId), b: keyOfNode(y.localId) }))
  const [first, silent, , , , companion] = seeds as [
    FakePort,
    FakePort,
    FakePort,
    FakePort,
    FakePort,
    FakePort,
  ]
  const [other, ...chain] = ports.slice(6) as [FakePort, ...FakePort[]]
  const peerOf = ({ localId, address }: FakePort) => ({ id: localId, addresses: [address] })
  companion.handle(getRecord, () => ({ record: old, peers: [peerOf(other)] }))
  other.handle(getRecord, () => ({ record: old, peers: [] }))
  for (const [at, port] of [first, ...chain].entries()) {
    const next = chain.slice(at, at + 1).map(peerOf)
    const again = { id: silent.localId, addresses: [{ host: '10.9.9.9', port: 4_840 }] }
    const answer = {
      record: next.length === 0 ? newer : undefined,
      peers: at === 9 ? [...next, again] : next,
    }
    port.handle(getRecord, () => answer)
  }
  await reader.dht.start()
  await reader.dht.bootstrap(seeds.map(peerOf))
  for (const port of ports) port.delayMs = 60
  // Both requests are answered 900 ms after the first came.
  let answered: Promise<void> | undefined
  silent.handle(getRecord, async () => {
    answered ??= new Promise((resolve) => void clock.setTimer(900 - silent.delayMs, resolve))
    await answered
    return { record: old, peers: [] }
  })
  return { network, reader }
}
