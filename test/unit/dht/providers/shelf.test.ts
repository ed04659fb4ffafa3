import { describe, expect, test } from 'vitest'
import { EspalierError } from '../../../../ts/base/error.ts'
import { keyOfNode, type NodeId } from '../../../../ts/base/identity.ts'
import {
  MAX_SKEW_MS,
  keyOfRecord,
  signRecords,
  type RecordBody,
  type SignedRecord,
} from '../../../../ts/base/record.ts'
import { encodeProvider } from '../../../../ts/dht/provider-record.ts'
import {
  MAX_PROVIDERS_ANSWERED,
  getProviders,
  putProvider,
  removeProvider,
  type PutProviderOutcome,
} from '../../../../ts/dht/provider-wire.ts'
import { getKey } from '../../../../ts/dht/wire.ts'
import { FakeNetwork, FakeNode, stopAll } from '../fake-network.ts'

const HOUR_MS = 3_600_000
const SENDER = { serves: false, addresses: [] }
const ROOT = new Uint8Array(32).fill(7)

describe('a node that keeps announcements', () => {
  test('takes a valid one of its owner and gives it to readers, with the key', async () => {
    const { keeper, authors, sign, put, list, stop } = await world(2)
    const [author, stranger] = authors as [FakeNode, FakeNode]
    const record = sign(author, {})

    expect(await put(author, record, undefined)).toBe('keyWanted')
    expect(await put(author, record)).toBe('stored')
    expect(await put(author, record)).toBe('stored')
    expect(await put(author, sign(author, { sequence: 2 }), undefined)).toBe('stored')

    const { records, hasMore } = await list(stranger)
    expect(records.map(({ body }) => [body.owner, body.sequence])).toEqual([[author.id, 2]])
    expect(hasMore).toBe(false)
    expect(await stranger.port.request(keeper.peer, getKey, author.id)).toEqual(author.env.crypto.publicKey)
    expect(keeper.dht.providers.keptCount).toBe(1)
    await stop()
  })

  test('refuses what another brings, what is forged, expired, of the future or no announcement', async () => {
    const { keeper, authors, sign, put, outcomes, stop } = await world(2)
    const [author, stranger] = authors as [FakeNode, FakeNode]
    const now = keeper.env.clock.unixMs()
    const { publicKey } = author.env.crypto
    const good = sign(author, {})
    const expired = { issuedUnixMs: now - 2 * HOUR_MS, expiresUnixMs: now - MAX_SKEW_MS - 1 }
    const future = { issuedUnixMs: now + MAX_SKEW_MS + 1, expiresUnixMs: now + HOUR_MS }

    for (const [from, record, key] of [
      [stranger, good, publicKey],
      [author, { ...good, signature: new Uint8Array(3_309) }, publicKey],
      [author, good, stranger.env.crypto.publicKey],
      [author, sign(author, expired), publicKey],
      [author, sign(author, future), publicKey],
      [author, sign(author, { expiresUnixMs: now + 16 * HOUR_MS + 1 }), publicKey],
      [author, sign(author, { payload: Uint8Array.of(0x80) }), publicKey],
      [author, sign(author, { kind: 'DATA_POINTER' }), publicKey],
    ] as const) {
      expect(await codeOf(put(from, record, key))).toBe('RECORD_INVALID')
    }

    expect(keeper.dht.providers.keptCount).toBe(0)
    expect(outcomes()).toEqual({ RECORD_INVALID: 8 })
    expect(await put(author, good)).toBe('stored')
    await stop()
  })

  test('keeps the higher sequence, and of one sequence the same body that every node keeps', async () => {
    const { authors, sign, put, list, outcomes, stop } = await world(1)
    const author = authors[0]!
    const twins = [1, 2].map((count) => sign(author, { sequence: 3, payload: payloadOf(count) }))
    for (const record of [...twins, ...twins.toReversed()]) await put(author, record)
    const { records } = await list(author)

    expect(records.length).toBe(1)
    const stale = await put(author, sign(author, { sequence: 2 }))

    expect(stale).toBe('stale')
    expect((await list(author)).records).toEqual(records)
    expect(outcomes()['stale']).toBeGreaterThanOrEqual(2)
    await stop()
  })

  test('forgets one when its provider says so, and nobody else', async () => {
    const { keeper, authors, sign, put, remove, list, stop } = await world(2)
    const [author, stranger] = authors as [FakeNode, FakeNode]
    await put(author, sign(author, {}))

    expect(await remove(stranger)).toBe(false)
    expect((await list(stranger)).records.length).toBe(1)
    expect(await remove(author)).toBe(true)
    expect(await remove(author)).toBe(false)
    expect((await list(stranger)).records).toEqual([])
    expect(await keeper.store.count('publicKeys')).toBe(0)
    await stop()
  })

  test('answers a page at a time, every provider once', async () => {
    const { authors, sign, put, list, stop } = await world(MAX_PROVIDERS_ANSWERED + 3)
    for (const author of authors) await put(author, sign(author, {}))
    const pages: (readonly SignedRecord[])[] = []
    let after: NodeId | undefined
    for (;;) {
      const { records, hasMore } = await list(authors[0]!, after)
      pages.push(records)
      after = records.at(-1)?.body.owner
      if (!hasMore) break
    }

    expect(pages.map((page) => page.length)).toEqual([MAX_PROVIDERS_ANSWERED, 3])
    expect(pages.flat().map(({ body }) => body.owner)).toEqual(authors.map(({ id }) => id).sort())
    await stop()
  })

  test('has them again after a restart, without those that expired or were damaged', async () => {
    const { network, keeper, authors, sign, put, list } = await world(3)
    const now = keeper.env.clock.unixMs()
    const [lasting, brief, damaged] = authors as [FakeNode, FakeNode, FakeNode]
    await put(lasting, sign(lasting, { expiresUnixMs: now + 9 * HOUR_MS }))
    await put(brief, sign(brief, {}))
    await put(damaged, sign(damaged, { expiresUnixMs: now + 9 * HOUR_MS }))
    await keeper.dht.stop()
    const rows = await keeper.store.scan('records', { limit: 10 })
    const row = rows.find(({ value }) => Buffer.from(value).includes(Buffer.from(keyOfNode(damaged.id))))!
    const value = Uint8Array.from(row.value)
    value[1_000]! ^= 1
    await keeper.store.write([{ table: 'records', key: row.key, value }])
    await network.world.run(4 * HOUR_MS)

    const again = new FakeNode(network, { crypto: keeper.env.crypto, store: keeper.store, port: keeper.port })
    await again.dht.start()

    expect(again.dht.providers.keptCount).toBe(1)
    expect((await list(lasting)).records.map(({ body }) => body.owner)).toEqual([lasting.id])
    await stopAll([again, ...authors])
  })

  test('forgets expired ones with the keys of their providers, but not the keys of those who have another', async () => {
    const { network, keeper, authors, sign, put, stop } = await world(2)
    const [author, other] = authors as [FakeNode, FakeNode]
    const expiresUnixMs = keeper.env.clock.unixMs() + 9 * HOUR_MS
    await put(author, sign(author, {}))
    await put(author, sign(author, { subject: new Uint8Array(32), expiresUnixMs }))
    await put(other, sign(other, {}))
    expect(await keeper.store.count('publicKeys')).toBe(2)

    await network.world.run(4 * HOUR_MS)

    expect(keeper.dht.providers.keptCount).toBe(1)
    expect(await keeper.store.count('publicKeys')).toBe(1)
    await stop()
  })

  test('does not acknowledge what its disk refused, and goes on with what it had', async () => {
    const { keeper, authors, sign, put, list, stop } = await world(1)
    const author = authors[0]!
    await put(author, sign(author, {}))
    const write = keeper.store.write.bind(keeper.store)
    keeper.store.write = () => Promise.reject(new EspalierError('STORAGE_FULL', 'the disk is full'))

    expect(await codeOf(put(author, sign(author, { sequence: 2 })))).toBe('STORAGE_FULL')
    keeper.store.write = write

    expect((await list(author)).records.map(({ body }) => body.sequence)).toEqual([1])
    expect(await put(author, sign(author, { sequence: 2 }))).toBe('stored')
    await stop()
  })

  test('has room for 128 providers of one root; more are refused and counted', async () => {
    const { authors, sign, put, outcomes, stop } = await world(129)
    for (const author of authors.slice(0, 128)) expect(await put(author, sign(author, {}))).toBe('stored')

    expect(await put(authors[128]!, sign(authors[128]!, {}))).toBe('full')
    expect(outcomes()).toMatchObject({ stored: 128, full: 1 })
    await stop()
  })

  test('takes so many offers of one peer and refuses more until time has passed, others as before', async () => {
    const { network, keeper, authors, sign, put, stop } = await world(2)
    const [flood, other] = authors as [FakeNode, FakeNode]
    const record = sign(flood, {})
    const outcomes = await Promise.all(Array.from({ length: 600 }, () => codeOf(put(flood, record))))

    expect(outcomes.filter((code) => code === 'RATE_LIMITED').length).toBe(600 - 512)
    expect(keeper.env.metrics.counter('refusals', { reason: 'providers' }).value).toBe(88)
    expect(await put(other, sign(other, {}))).toBe('stored')
    await network.world.run(1_000)
    expect(await codeOf(put(flood, record))).toBeUndefined()
    await stop()
  })
})

/** A keeper, and authors that speak to it by hand. */
async function world(count: number) {
  const network = new FakeNetwork('announcements')
  const keeper = new FakeNode(network)
  const authors = Array.from({ length: count }, () => new FakeNode(network, { serves: false }))
  for (const node of [keeper, ...authors]) await node.dht.start()
  const now = network.world.clock.unixMs()
  const sign = (author: FakeNode, change: Partial<RecordBody>): SignedRecord => {
    const body: RecordBody = {
      kind: 'PROVIDER',
      subject: ROOT,
      owner: author.id,
      sequence: 1,
      issuedUnixMs: now,
      expiresUnixMs: now + 2 * HOUR_MS,
      payload: payloadOf(1),
      ...change,
    }
    return signRecords(author.env.crypto, [body])[0]!
  }
  const put = (
    author: FakeNode,
    record: SignedRecord,
    ...keys: (Uint8Array | undefined)[]
  ): Promise<PutProviderOutcome> => {
    const publicKey = keys.length === 0 ? author.env.crypto.publicKey : keys[0]
    return author.port.request(keeper.peer, putProvider, { sender: SENDER, record, publicKey })
  }
  const key = keyOfRecord(keeper.env.crypto, { kind: 'PROVIDER', subject: ROOT, owner: keeper.id })
  const list = (from: FakeNode, after?: NodeId) =>
    from.port.request(keeper.peer, getProviders, { sender: SENDER, key, after })
  const remove = (from: FakeNode) => from.port.request(keeper.peer, removeProvider, { sender: SENDER, key })
  const outcomes = (): Readonly<Record<string, number>> => {
    const samples = keeper.env.metrics.counters('announcements')
    return Object.fromEntries(samples.map(({ labels, value }) => [labels['outcome'] ?? '', value.value]))
  }
  const stop = () => stopAll([keeper, ...authors])
  return { network, keeper, authors, sign, put, list, remove, outcomes, stop }
}

function payloadOf(count: number): Uint8Array {
  const shape = { count, parameter: 11 }
  return encodeProvider({ epoch: 1, shape, hash: new Uint8Array(32).fill(9), addresses: [] })
}

async function codeOf(work: Promise<unknown>): Promise<string | undefined> {
  try {
    await work
    return undefined
  } catch (thrown) {
    return thrown instanceof EspalierError ? thrown.code : String(thrown)
  }
}
