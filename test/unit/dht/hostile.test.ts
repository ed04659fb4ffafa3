import { describe, expect, test } from 'vitest'
import { EspalierError } from '../../../ts/base/error.ts'
import { keyFromBytes, keyOfNode, nodeIdFromBytes, type Key, type NodeId } from '../../../ts/base/identity.ts'
import { signRecords, type SignedRecord } from '../../../ts/base/record.ts'
import { compareDistance } from '../../../ts/dht/key.ts'
import type { Peer } from '../../../ts/dht/lookup.ts'
import { encodePointer } from '../../../ts/dht/pointer.ts'
import { findNode, getKey, getRecord, ping, putRecord } from '../../../ts/dht/wire.ts'
import { hash } from '../../../ts/native/hash.ts'
import { FakeNetwork, FakeNode, networkOf, realCrypto, stopAll } from './fake-network.ts'

const DAY_MS = 86_400_000
/** Ids that nobody has: a liar can name any number of them, as near to a key as it likes. */
const inventedNear = (target: Key, salt: number): Peer => {
  const bytes = Uint8Array.from(target)
  bytes.set(hash(Uint8Array.of(salt & 255, salt >> 8, 77)).subarray(0, 8), 24)
  return { id: nodeIdFromBytes(bytes), addresses: [{ host: '198.51.100.7', port: 1 + (salt % 60_000) }] }
}

describe.each<[string, (liar: FakeNode, colluders: () => readonly FakeNode[]) => void]>([
  ['with bytes that are no message', (liar) => answerRaw(liar, () => Uint8Array.of(1, 2, 3))],
  ['with a message far beyond the limit', (liar) => answerRaw(liar, () => new Uint8Array(10_000_000))],
  ['with itself only', (liar) => answer(liar, () => [liar.peer])],
  ['with colluders only', (liar, colluders) => answer(liar, () => colluders().map(({ peer }) => peer))],
  ['with invented neighbours of the key', (liar) => answerInvented(liar)],
  ['with true nodes at false addresses', (liar, colluders) => answerMisplaced(liar, colluders)],
  ['never in time', (liar) => answerNever(liar)],
  ['with an error', (liar) => answerError(liar)],
])('peers that answer %s', (_, corrupt) => {
  test('neither hang nor crash nor blind a look-up', async () => {
    const { network, nodes } = await networkOf(30, { k: 8, requestTimeoutMs: 50 })
    const liars = nodes.filter((_node, at) => at % 5 === 4)
    for (const liar of liars) corrupt(liar, () => liars)
    const honest = nodes.filter((node) => !liars.includes(node))
    const owner = honest[0]!
    const root = hash(Uint8Array.of(3))
    const expiresUnixMs = network.world.clock.unixMs() + DAY_MS

    const { accepted } = await network.world.runUntil(
      owner.dht.publishPointer({ root, holders: [owner.id], expiresUnixMs }),
    )

    expect(accepted.length).toBeGreaterThanOrEqual(3)
    for (const reader of honest.slice(1, 9)) {
      const found = await network.world.runUntil(reader.dht.findPointer({ root, owner: owner.id }))
      expect(found?.holders).toEqual([owner.id])
    }
    await stopAll(nodes)
  })
})

test('a holder that shows a record of another key, another owner, or a forged one is not believed', async () => {
  const { network, nodes } = await networkOf(12)
  const owner = nodes[0]!
  const root = hash(Uint8Array.of(4))
  const expiresUnixMs = network.world.clock.unixMs() + DAY_MS
  await owner.dht.publishPointer({ root, holders: [owner.id], expiresUnixMs })
  const stranger = realCrypto()
  const strangerId = new FakeNode(new FakeNetwork('id'), { crypto: stranger }).id
  const signed = (subject: Uint8Array, crypto: typeof stranger, id: NodeId): SignedRecord => {
    const payload = encodePointer({ root: subject, holders: [], expiresUnixMs })
    const issuedUnixMs = network.world.clock.unixMs()
    const sequence = Number.MAX_SAFE_INTEGER
    return signRecords(crypto, [
      { kind: 'DATA_POINTER', subject, owner: id, sequence, issuedUnixMs, expiresUnixMs, payload },
    ])[0]!
  }
  const otherKey = signed(hash(Uint8Array.of(5)), owner.env.crypto, owner.id)
  const otherOwner = signed(root, stranger, strangerId)
  const forged = { ...otherOwner, body: { ...otherOwner.body, owner: owner.id } }
  const lies = [otherKey, otherOwner, forged, { ...otherKey, signature: new Uint8Array(3_309) }]
  for (const [at, liar] of nodes.slice(1, 9).entries()) {
    liar.port.handle(getRecord, () => ({ record: lies[at % lies.length]!, peers: [] }))
    liar.port.handle(getKey, () => stranger.publicKey)
  }
  const reader = new FakeNode(network, { serves: false })
  await reader.dht.start()
  await reader.dht.bootstrap([nodes[11]!.peer])

  expect((await reader.dht.findPointer({ root, owner: owner.id }))?.holders).toEqual([owner.id])
  await stopAll([...nodes, reader])
})

test('a put that only liars would take is not reported as stored, nor is one that they call stale', async () => {
  const { network, nodes } = await networkOf(4)
  const owner = nodes[0]!
  const expiresUnixMs = network.world.clock.unixMs() + DAY_MS
  const stranger = realCrypto()
  const strangerId = new FakeNode(new FakeNetwork('id'), { crypto: stranger }).id
  const pointer = { root: hash(Uint8Array.of(6)), holders: [owner.id], expiresUnixMs }
  const [false_] = signRecords(stranger, [
    {
      kind: 'DATA_POINTER',
      subject: pointer.root,
      owner: strangerId,
      sequence: Number.MAX_SAFE_INTEGER,
      issuedUnixMs: network.world.clock.unixMs(),
      expiresUnixMs,
      payload: encodePointer(pointer),
    },
  ])
  for (const liar of nodes.slice(1))
    liar.port.handle(putRecord, () => ({ kind: 'stale' as const, current: false_! }))

  await expect(owner.dht.publishPointer(pointer)).rejects.toMatchObject({ code: 'QUORUM_FAILED' })
  await stopAll(nodes)
})

test('a call ends with its time-out, when its caller gives up, and when the node stops', async () => {
  const { network, nodes } = await networkOf(3)
  for (const silent of nodes.slice(1)) {
    silent.port.handleRaw(findNode.protocol, () => new Promise(() => undefined))
  }
  const target = keyFromBytes(hash(Uint8Array.of(8)))
  const { dht } = nodes[0]!
  const controller = new AbortController()

  await expect(network.world.runUntil(dht.findClosest(target, { timeoutMs: 100 }))).rejects.toMatchObject({
    code: 'TIMEOUT',
  })
  const abandoned = dht.findClosest(target, { signal: controller.signal })
  controller.abort()
  await expect(abandoned).rejects.toMatchObject({ code: 'ABORTED' })
  await expect(dht.findClosest(target, { signal: controller.signal })).rejects.toMatchObject({
    code: 'ABORTED',
  })
  await expect(dht.findClosest(target, { timeoutMs: -1 })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
  const cut = dht.findClosest(target)
  await Promise.all([expect(cut).rejects.toMatchObject({ code: 'CLOSED' }), dht.stop()])
  await expect(dht.findClosest(target)).rejects.toMatchObject({ code: 'CLOSED' })
  await stopAll(nodes.slice(1))
})

/** The liar serves pings and keeps nothing; its answers to look-ups name `peers`. */
function answer(liar: FakeNode, peers: (target: Key) => readonly Peer[]): void {
  liar.port.handle(findNode, ({ target }) => peers(target))
  liar.port.handle(getRecord, ({ key }) => ({ record: undefined, peers: peers(key) }))
  liar.port.handle(putRecord, () => ({ kind: 'full' as const }))
}

function answerRaw(liar: FakeNode, bytes: () => Uint8Array): void {
  for (const { protocol } of [findNode, getRecord, putRecord, getKey, ping]) {
    liar.port.handleRaw(protocol, () => Promise.resolve(bytes()))
  }
}

function answerInvented(liar: FakeNode): void {
  let salt = keyOfNode(liar.id)[0]! * 40
  answer(liar, (target) => Array.from({ length: 20 }, () => inventedNear(target, (salt += 1))))
}

/** Poison: the nodes nearest to the key, at addresses where nobody is. */
function answerMisplaced(liar: FakeNode, colluders: () => readonly FakeNode[]): void {
  answer(liar, (target) => {
    const isColluder = new Set(colluders().map(({ id }) => id))
    return liar.network.nodes
      .filter(({ id }) => !isColluder.has(id))
      .sort((x, y) => compareDistance(target, { a: keyOfNode(x.id), b: keyOfNode(y.id) }))
      .slice(0, 20)
      .map(({ id }, at) => ({ id, addresses: [{ host: '203.0.113.9', port: 1 + at }] }))
  })
}

function answerNever(liar: FakeNode): void {
  for (const { protocol } of [findNode, getRecord, putRecord]) {
    liar.port.handleRaw(protocol, () => new Promise(() => undefined))
  }
}

function answerError(liar: FakeNode): void {
  for (const { protocol } of [findNode, getRecord, putRecord]) {
    liar.port.handleRaw(protocol, () => Promise.reject(new EspalierError('PEER_REFUSED', 'no')))
  }
}
