import { describe, expect, test } from 'vitest'
import { EspalierError } from '../../../../ts/base/error.ts'
import { keyOfRecord } from '../../../../ts/base/record.ts'
import { signReceipts, type ReceiptBatch } from '../../../../ts/dht/provider-receipt.ts'
import { decodeProvider } from '../../../../ts/dht/provider-record.ts'
import { windowOf } from '../../../../ts/dht/provider-lifetime.ts'
import { SummaryView } from '../../../../ts/dht/provider-view.ts'
import {
  getProviders,
  getSummary,
  giveReceipts,
  type GetSummaryRequest,
} from '../../../../ts/dht/provider-wire.ts'
import { hash } from '../../../../ts/native/hash.ts'
import { StubSigner } from '../../../../ts/sim/crypto.ts'
import { FakeNetwork, FakeNode, networkOf, stopAll } from '../fake-network.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const ROOT = hash(Uint8Array.of(1))
const idsOf = (count: number, from = 0): Uint8Array[] =>
  Array.from({ length: count }, (_, at) => hash(Uint8Array.of((from + at) >> 8, (from + at) & 255, 3)))

describe('an announcement', () => {
  test('is one record on the nodes nearest to the root, whatever the number of ids', async () => {
    const { network, nodes } = await networkOf(24, { k: 8 })
    const provider = nodes[5]!
    const key = keyOfRecord(provider.env.crypto, { kind: 'PROVIDER', subject: ROOT, owner: provider.id })
    const before = requests(network)

    const { accepted, epoch } = await provider.dht.providers.announce(ROOT, idsOf(5_000))

    expect(accepted).toEqual(network.oracle(key, 8))
    expect(requests(network) - before).toBeLessThan(40)
    const holder = nodes.find(({ id }) => id === accepted.find((other) => other !== provider.id))!
    const { body } = (await kept(nodes[0]!, holder))[0]!
    expect(decodeProvider(body)).toMatchObject({ epoch, provider: provider.id, shape: { count: 5_000 } })
    expect(body.expiresUnixMs - body.issuedUnixMs).toBe(2 * HOUR_MS)
    await stopAll(nodes)
  })

  test('of up to 64 ids more costs no request; of 65 or of fewer it is issued anew', async () => {
    const { network, nodes } = await networkOf(8)
    const [provider, reader] = nodes as [FakeNode, FakeNode]
    const announce = (ids: Uint8Array[]) => provider.dht.providers.announce(ROOT, ids)
    const first = await announce(idsOf(100))
    const before = requests(network)

    expect(await announce(idsOf(100).toReversed())).toEqual(first)
    expect(await announce([...idsOf(100), ...idsOf(1)])).toEqual(first)
    expect(await announce(idsOf(164))).toEqual(first)
    expect(requests(network)).toBe(before)
    const answer = await ask(reader, provider, { epoch: first.epoch, addedFrom: 60 })
    expect(answer).toMatchObject({ kind: 'summary', added: idsOf(4, 160) })

    const second = await announce(idsOf(165))
    expect(second.epoch).toBeGreaterThan(first.epoch)
    expect(await ask(reader, provider, { epoch: first.epoch })).toMatchObject({ kind: 'moved' })
    const third = await announce(idsOf(164))
    expect(third.epoch).toBeGreaterThan(second.epoch)
    const [record] = await kept(reader, nodes[2]!)
    expect(decodeProvider(record!.body)).toMatchObject({ epoch: third.epoch, shape: { count: 164 } })
    await stopAll(nodes)
  })

  test('is there again after a restart: the same summary, offered again, and epochs only go up', async () => {
    const { network, nodes } = await networkOf(8)
    const [provider, reader] = nodes as [FakeNode, FakeNode]
    const { epoch } = await provider.dht.providers.announce(ROOT, idsOf(9_000))
    await provider.dht.providers.announce(ROOT, idsOf(9_010))
    await provider.dht.stop()
    // They lose it while the provider is away.
    await network.world.run(3 * HOUR_MS)
    expect(nodes.slice(1).map(({ dht }) => dht.providers.keptCount)).toEqual([0, 0, 0, 0, 0, 0, 0])

    const again = await restart(network, provider)
    await network.world.run(2 * MINUTE_MS)

    expect((await kept(reader, nodes[2]!)).map(({ body }) => decodeProvider(body).epoch)).toEqual([epoch])
    const view = await fetched(reader, again)
    for (const id of idsOf(9_010)) expect(view.has(id).kind).toBe('yes')
    expect((await again.dht.providers.announce(ROOT, idsOf(9_010))).epoch).toBe(epoch)
    expect((await again.dht.providers.announce(ROOT, idsOf(9_000))).epoch).toBeGreaterThan(epoch)
    expect((await fetched(reader, again)).added).toBe(0)
    await stopAll([again, ...nodes.slice(1)])
  })

  test('whose segments on disk were damaged is left out, and the others are not', async () => {
    const { network, nodes } = await networkOf(4)
    const provider = nodes[0]!
    const other = hash(Uint8Array.of(2))
    await provider.dht.providers.announce(ROOT, idsOf(5_000))
    await provider.dht.providers.announce(other, idsOf(5_000))
    await provider.dht.stop()
    const rows = await provider.store.scan('records', { from: Uint8Array.of(6, ...ROOT), limit: 1 })
    const value = Uint8Array.from(rows[0]!.value)
    value[100]! ^= 1
    await provider.store.write([{ table: 'records', key: rows[0]!.key, value }])

    const again = await restart(network, provider)

    expect(again.dht.providers.announcedCount).toBe(1)
    expect((await ask(nodes[1]!, again, { epoch: 0 })).kind).toBe('none')
    expect((await ask(nodes[1]!, again, { root: other, epoch: 0 })).kind).toBe('moved')
    expect((await again.dht.providers.announce(ROOT, idsOf(10))).accepted.length).toBe(4)
    await stopAll([again, ...nodes.slice(1)])
  })

  test('whose counter cannot be read stops the start rather than use an epoch twice', async () => {
    const { network, nodes } = await networkOf(2)
    await nodes[0]!.dht.providers.announce(ROOT, idsOf(10))
    await nodes[0]!.dht.stop()
    const [row] = await nodes[0]!.store.scan('meta', { limit: 1 })
    await nodes[0]!.store.write([{ table: 'meta', key: row!.key, value: Uint8Array.of(255) }])

    expect(await codeOf(restart(network, nodes[0]!))).toBe('STORAGE_CORRUPT')
    await nodes[1]!.dht.stop()
  })

  test('is renewed before it expires, under the same epoch, and never lapses while its provider runs', async () => {
    const { network, nodes } = await networkOf(6)
    const [provider, reader] = nodes as [FakeNode, FakeNode]
    const { epoch } = await provider.dht.providers.announce(ROOT, idsOf(10))
    const sequences = new Set<number>()

    for (let minutes = 0; minutes < 8 * 60; minutes += 10) {
      const [record] = await kept(reader, nodes[3]!)
      sequences.add(record!.body.sequence)
      expect(decodeProvider(record!.body).epoch).toBe(epoch)
      expect(record!.body.expiresUnixMs).toBeGreaterThan(network.world.clock.unixMs())
      await network.world.run(10 * MINUTE_MS)
    }

    // A life of two hours, the last half hour of which is not waited for.
    expect([...sequences]).toEqual([...sequences].sort((a, b) => a - b))
    expect(sequences.size).toBe(6)
    await stopAll(nodes)
  })

  test('lives half an hour longer for each who asked, once, and ten minutes for a window with receipts', async () => {
    const { network, nodes } = await networkOf(6)
    const [provider, reader] = nodes as [FakeNode, FakeNode]
    const { epoch } = await provider.dht.providers.announce(ROOT, idsOf(10))
    for (const node of nodes.slice(1, 4)) {
      for (let times = 0; times < 2; times += 1) await ask(node, provider, { epoch })
    }
    await ask(nodes[4]!, provider, { epoch: epoch - 1 })
    const now = network.world.clock.unixMs()
    // Of the window in which it will be renewed, of one of its clock's future, and of another epoch.
    const given = [
      { root: ROOT, epoch, window: windowOf(now), chunks: 3 },
      { root: ROOT, epoch, window: windowOf(now) + 5, chunks: 3 },
      { root: ROOT, epoch: epoch + 1, window: windowOf(now), chunks: 3 },
      { root: hash(ROOT), epoch, window: windowOf(now), chunks: 3 },
    ]
    expect(await give(reader, provider, given)).toEqual({ kind: 'taken', count: 1 })
    expect(await give(reader, provider, given)).toEqual({ kind: 'taken', count: 0 })

    await network.world.run(95 * MINUTE_MS)

    const { body } = (await kept(reader, nodes[3]!))[0]!
    expect(body.expiresUnixMs - body.issuedUnixMs).toBe((2 + 1.5) * HOUR_MS + 10 * MINUTE_MS)
    await stopAll(nodes)
  })

  test('is gone from everywhere when it is withdrawn, and may come back', async () => {
    const { network, nodes } = await networkOf(6)
    const [provider, reader] = nodes as [FakeNode, FakeNode]
    const first = await provider.dht.providers.announce(ROOT, idsOf(10))

    expect(await provider.dht.providers.withdraw(ROOT)).toBe(true)
    expect(await provider.dht.providers.withdraw(ROOT)).toBe(false)

    expect(await kept(reader, nodes[3]!)).toEqual([])
    expect(nodes.map(({ dht }) => dht.providers.keptCount)).toEqual(nodes.map(() => 0))
    expect((await ask(reader, provider, { epoch: first.epoch })).kind).toBe('none')
    const rows = await provider.store.scan('records', { from: Uint8Array.of(3), limit: 10 })
    expect(rows).toEqual([])
    await provider.dht.stop()
    const again = await restart(network, provider)
    expect(again.dht.providers.announcedCount).toBe(0)
    const second = await again.dht.providers.announce(ROOT, idsOf(10))
    expect(second.epoch).toBeGreaterThan(first.epoch)
    expect((await kept(reader, nodes[3]!)).length).toBe(1)
    await stopAll([again, ...nodes.slice(1)])
  })

  test('tells of new addresses soon after a node has moved', async () => {
    let port = 1
    const network = new FakeNetwork('moved')
    const ownAddresses = () => [{ host: '192.0.2.1', port }]
    const [provider, reader] = [new FakeNode(network, { ownAddresses }), new FakeNode(network)]
    for (const node of [provider, reader]) await node.dht.start()
    await reader.dht.bootstrap([provider.peer])
    await provider.dht.providers.announce(ROOT, idsOf(10))
    const told = async () => decodeProvider((await kept(reader, reader))[0]!.body).addresses
    expect(await told()).toEqual([{ host: '192.0.2.1', port: 1 }])
    port = 2

    await network.world.run(MINUTE_MS)

    expect(await told()).toEqual([{ host: '192.0.2.1', port: 2 }])
    await stopAll([provider, reader])
  })

  test('that nobody takes is QUORUM_FAILED, and is offered again by itself', async () => {
    const { network, nodes } = await networkOf(3)
    const [provider, reader] = nodes as [FakeNode, FakeNode]
    for (const node of nodes.slice(1)) node.port.isUp = false

    expect(await codeOf(provider.dht.providers.announce(ROOT, idsOf(10)))).toBe('QUORUM_FAILED')
    for (const node of nodes.slice(1)) node.port.isUp = true
    await network.world.run(3 * MINUTE_MS)

    expect((await kept(reader, nodes[2]!)).length).toBe(1)
    await stopAll(nodes)
  })

  test('of a lonely node is kept by itself; a client makes none', async () => {
    const network = new FakeNetwork('lonely')
    const [lonely, client] = [new FakeNode(network), new FakeNode(network, { serves: false })]
    for (const node of [lonely, client]) await node.dht.start()

    expect((await lonely.dht.providers.announce(ROOT, idsOf(10))).accepted).toEqual([lonely.id])
    expect(await codeOf(client.dht.providers.announce(ROOT, idsOf(10)))).toBe('UNSUPPORTED')
    await stopAll([lonely, client])
  })

  test('has ids of 32 bytes, at least one, of at most 2,048 roots', { timeout: 300_000 }, async () => {
    const network = new FakeNetwork('limits')
    const node = new FakeNode(network, { crypto: new StubSigner(network.world.rng.split('key')) })
    await node.dht.start()
    const announce = (ids: readonly unknown[], root: unknown = ROOT) =>
      codeOf(node.dht.providers.announce(root as Uint8Array, ids as Uint8Array[]))

    expect(await announce([])).toBe('INVALID_ARGUMENT')
    expect(await announce([new Uint8Array(31)])).toBe('INVALID_ARGUMENT')
    expect(await announce(['an id'])).toBe('INVALID_ARGUMENT')
    expect(await announce(idsOf(1), new Uint8Array(33))).toBe('INVALID_ARGUMENT')
    expect(node.dht.providers.announcedCount).toBe(0)
    for (let root = 0; root < 2_048; root += 1) {
      expect(await announce(idsOf(1), hash(Uint8Array.of(root >> 8, root & 255)))).toBeUndefined()
    }
    expect(await announce(idsOf(1))).toBe('LIMIT_EXCEEDED')
    expect(await announce(idsOf(2), hash(Uint8Array.of(0, 0)))).toBeUndefined()
    await node.dht.stop()
  })

  test('that its disk refuses is not made, and the one before still stands', async () => {
    const { nodes } = await networkOf(3)
    const [provider, reader] = nodes as [FakeNode, FakeNode]
    const { epoch } = await provider.dht.providers.announce(ROOT, idsOf(10))
    const write = provider.store.write.bind(provider.store)
    provider.store.write = () => Promise.reject(new EspalierError('STORAGE_FULL', 'the disk is full'))

    expect(await codeOf(provider.dht.providers.announce(ROOT, idsOf(9)))).toBe('STORAGE_FULL')
    expect(await codeOf(provider.dht.providers.withdraw(ROOT))).toBe('STORAGE_FULL')
    provider.store.write = write

    const view = await fetched(reader, provider)
    expect(view.name.epoch).toBe(epoch)
    expect(view.has(idsOf(10)[9]!).kind).toBe('yes')
    expect((await provider.dht.providers.announce(ROOT, idsOf(9))).epoch).toBeGreaterThan(epoch)
    await stopAll(nodes)
  })
})

describe('a provider that is asked', () => {
  test('gives the parts that are wanted, and refuses a segment that is not there', async () => {
    const { nodes } = await networkOf(2)
    const [provider, reader] = nodes as [FakeNode, FakeNode]
    const { epoch } = await provider.dht.providers.announce(ROOT, idsOf(9_000))
    const parts = async (segments: { from: number; count: number }, wants = {}) => {
      const answer = await ask(reader, provider, { epoch, segments, ...wants })
      if (answer.kind !== 'summary') throw new Error(answer.kind)
      return [answer.segments.length, answer.index?.byteLength, answer.record?.body.owner]
    }

    expect(await parts({ from: 0, count: 3 })).toEqual([3, undefined, undefined])
    expect(await parts({ from: 2, count: 1 }, { wantsIndex: true })).toEqual([1, 3 * 36, undefined])
    expect(await parts({ from: 0, count: 0 }, { wantsRecord: true })).toEqual([0, undefined, provider.id])
    expect(await codeOf(parts({ from: 2, count: 2 }))).toBe('PROTOCOL_VIOLATION')
    expect(await codeOf(parts({ from: 255, count: 1 }))).toBe('PROTOCOL_VIOLATION')
    await stopAll(nodes)
  })

  test('refuses one who asks too often, and goes on with others', async () => {
    const { network, nodes } = await networkOf(3)
    const [provider, flood, reader] = nodes as [FakeNode, FakeNode, FakeNode]
    const { epoch } = await provider.dht.providers.announce(ROOT, idsOf(10))

    const codes = await Promise.all(
      Array.from({ length: 300 }, () => codeOf(ask(flood, provider, { epoch }))),
    )

    expect(codes.filter((code) => code === 'RATE_LIMITED').length).toBe(300 - 256)
    expect((await ask(reader, provider, { epoch })).kind).toBe('summary')
    await network.world.run(1_000)
    expect((await ask(flood, provider, { epoch })).kind).toBe('summary')
    await stopAll(nodes)
  })

  test('takes receipts with the key of their reader, and refuses forged ones', async () => {
    const { network, nodes } = await networkOf(2)
    const [provider, other] = nodes as [FakeNode, FakeNode]
    // A client advertises nothing, so that nobody has its key yet.
    const reader = new FakeNode(network, { serves: false })
    await reader.dht.start()
    await reader.dht.bootstrap([provider.peer])
    const { epoch } = await provider.dht.providers.announce(ROOT, idsOf(10))
    const window = windowOf(network.world.clock.unixMs())
    const given = [{ root: ROOT, epoch, window, chunks: 1 }]
    const counts = () =>
      provider.env.metrics.counters('receipts').map(({ labels, value }) => [labels['outcome'], value.value])

    expect(await give(reader, provider, given, { publicKey: undefined })).toEqual({ kind: 'keyWanted' })
    expect(await codeOf(give(reader, provider, given, { signer: other }))).toBe('RECORD_INVALID')
    const key = { publicKey: other.env.crypto.publicKey }
    expect(await codeOf(give(reader, provider, given, { signer: other, ...key }))).toBe('RECORD_INVALID')
    expect(await give(reader, provider, given)).toEqual({ kind: 'taken', count: 1 })
    expect(Object.fromEntries(counts())).toEqual({ RECORD_INVALID: 2, counted: 1, useless: 0 })
    await stopAll([...nodes, reader])
  })
})

function requests({ counts }: FakeNetwork): number {
  return [...counts.values()].reduce((sum, count) => sum + count, 0)
}

/** What `holder` keeps for the root. */
async function kept(from: FakeNode, holder: FakeNode) {
  const key = keyOfRecord(from.env.crypto, { kind: 'PROVIDER', subject: ROOT, owner: from.id })
  const sender = { serves: true, addresses: [from.port.address] }
  const { records } = await from.port.request(holder.peer, getProviders, { sender, key, after: undefined })
  return records
}

function ask(from: FakeNode, provider: FakeNode, request: Partial<GetSummaryRequest>) {
  return from.port.request(provider.peer, getSummary, {
    root: ROOT,
    epoch: 0,
    wantsIndex: false,
    segments: { from: 0, count: 0 },
    addedFrom: 0,
    wantsRecord: false,
    ...request,
  })
}

/** The whole summary, checked against the record that the provider shows. */
async function fetched(from: FakeNode, provider: FakeNode): Promise<SummaryView> {
  const moved = await ask(from, provider, {})
  if (moved.kind !== 'moved') throw new Error(moved.kind)
  const { epoch, shape, hash: stated } = decodeProvider(moved.record.body)
  const segments = { from: 0, count: Math.ceil(shape.count / 4_096) }
  const answer = await ask(from, provider, { epoch, segments })
  if (answer.kind !== 'summary') throw new Error(answer.kind)
  const name = { root: ROOT, provider: provider.id, epoch }
  const view = new SummaryView(from.env.crypto, { name, shape, hash: stated })
  view.setAll(answer.segments)
  view.addDelta(0, answer.added)
  return view
}

function give(
  reader: FakeNode,
  provider: FakeNode,
  receipts: ReceiptBatch['receipts'],
  options: { readonly signer?: FakeNode; readonly publicKey?: Uint8Array | undefined } = {},
) {
  const batch = { reader: reader.id, provider: provider.id, receipts }
  const proof = signReceipts((options.signer ?? reader).env.crypto, batch)
  const publicKey = 'publicKey' in options ? options.publicKey : reader.env.crypto.publicKey
  return reader.port.request(provider.peer, giveReceipts, { receipts, proof, publicKey })
}

async function restart(network: FakeNetwork, node: FakeNode): Promise<FakeNode> {
  const again = new FakeNode(network, { crypto: node.env.crypto, store: node.store, port: node.port })
  await again.dht.start()
  return again
}

async function codeOf(work: Promise<unknown>): Promise<string | undefined> {
  try {
    await work
    return undefined
  } catch (thrown) {
    return thrown instanceof EspalierError ? thrown.code : String(thrown)
  }
}
