import { describe, expect, test } from 'vitest'
import { EspalierError } from '../../../ts/base/error.ts'
import {
  MAX_SKEW_MS,
  keyOfRecord,
  signRecords,
  type RecordBody,
  type SignedRecord,
} from '../../../ts/base/record.ts'
import { encodePointer } from '../../../ts/dht/pointer.ts'
import { getRecord, putRecord, type PutOutcome } from '../../../ts/dht/wire.ts'
import { hash } from '../../../ts/native/hash.ts'
import type { MessageType } from '../../../ts/net/message.ts'
import { FakeNetwork, FakeNode, networkOf, realCrypto, stopAll } from './fake-network.ts'

const DAY_MS = 86_400_000
const SENDER = { serves: false, addresses: [] }

describe('a storing node', () => {
  test('keeps a valid record and refuses forged, foreign, expired and future ones', async () => {
    const { keeper, author, put, body, stop } = await pair()
    const now = author.network.world.clock.unixMs()
    const stranger = realCrypto()
    const sign = (change: Partial<RecordBody>) => signRecords(author.env.crypto, [body(change)])[0]!
    const good = sign({})
    const forged = { ...good, signature: new Uint8Array(3_309) }
    const foreign = sign({ sequence: 9 })

    expect((await put(good)).kind).toBe('stored')
    expect(await codeOf(put(forged))).toBe('RECORD_INVALID')
    expect(await codeOf(put(foreign, stranger.publicKey))).toBe('RECORD_INVALID')
    const expired = { issuedUnixMs: now - DAY_MS, expiresUnixMs: now - MAX_SKEW_MS - 1, subject: other(1) }
    expect(await codeOf(put(sign(expired)))).toBe('RECORD_INVALID')
    const late = { issuedUnixMs: now - DAY_MS, expiresUnixMs: now - MAX_SKEW_MS + 1_000, subject: other(2) }
    expect((await put(sign(late))).kind).toBe('stored')
    const future = { issuedUnixMs: now + MAX_SKEW_MS + 1, expiresUnixMs: now + DAY_MS, subject: other(3) }
    expect(await codeOf(put(sign(future)))).toBe('RECORD_INVALID')
    expect(keeper.dht.recordCount).toBe(2)
    await stop()
  })

  test('refuses an oversize, a cut and a padded message before it looks inside', async () => {
    const { keeper, author, body, stop } = await pair()
    const [record] = signRecords(author.env.crypto, [body({})])
    const { publicKey } = author.env.crypto
    const message = putRecord.encodeRequest({ sender: SENDER, record: record!, publicKey })
    const raw = (bytes: Uint8Array): MessageType<Uint8Array, PutOutcome> => ({
      ...putRecord,
      maxRequestBytes: Infinity,
      encodeRequest: () => bytes,
      decodeRequest: () => bytes,
    })
    const send = (bytes: Uint8Array) => codeOf(author.port.request(keeper.peer, raw(bytes), bytes))

    expect(await send(new Uint8Array(putRecord.maxRequestBytes + 1))).toBe('PROTOCOL_VIOLATION')
    expect(await send(message.subarray(0, -1))).toBe('PROTOCOL_VIOLATION')
    expect(await send(Uint8Array.from([...message, 0]))).toBe('PROTOCOL_VIOLATION')
    expect(await send(new Uint8Array(0))).toBe('PROTOCOL_VIOLATION')
    expect(keeper.dht.recordCount).toBe(0)
    expect(await send(message)).toBeUndefined()
    expect(keeper.dht.recordCount).toBe(1)
    await stop()
  })

  test('asks for the public key once, and answers it to readers', async () => {
    const { author, put, body, stop } = await pair()
    const sign = (subject: Uint8Array) => signRecords(author.env.crypto, [body({ subject })])[0]!

    expect((await put(sign(other(1)), undefined)).kind).toBe('keyWanted')
    expect((await put(sign(other(1)))).kind).toBe('stored')
    expect((await put(sign(other(2)), undefined)).kind).toBe('stored')
    await stop()
  })

  test('keeps the higher sequence; a lower one is stale and gets the current record back', async () => {
    const { author, put, body, stop } = await pair()
    const sign = (sequence: number) => signRecords(author.env.crypto, [body({ sequence })])[0]!
    const [five, six, seven] = [sign(5), sign(6), sign(7)]

    expect((await put(six)).kind).toBe('stored')
    expect((await put(six)).kind).toBe('stored')
    const stale = await put(five)
    expect(stale).toMatchObject({ kind: 'stale', current: { body: { sequence: 6 } } })
    expect((await put(seven)).kind).toBe('stored')
    expect(await put(six)).toMatchObject({ kind: 'stale', current: { body: { sequence: 7 } } })
    await stop()
  })

  test.each([
    [0, 1],
    [1, 0],
  ])(
    'of two records of one sequence keeps the one with the lower hash, in the order %i, %i too',
    async (...order) => {
      const { author, put, get, body, stop } = await pair()
      const records = [1, 2].map((value) => {
        const payload = encodePointer({ root: other(0), holders: [], expiresUnixMs: value })
        const expiresUnixMs = author.network.world.clock.unixMs() + DAY_MS + value
        return signRecords(author.env.crypto, [body({ payload, expiresUnixMs })])[0]!
      })
      const lower = records.toSorted((a, b) => Buffer.compare(hash(a.bodyBytes), hash(b.bodyBytes)))[0]!

      for (const at of order) await put(records[at]!)

      const kept = (await get(records[0]!)).record
      expect(kept?.body).toEqual(lower.body)
      await stop()
    },
  )

  test('stops at its quotas: in all, for one owner, for one bringer; a newer record still fits', async () => {
    const { author, put, body, stop } = await pair({ maxRecords: 3, maxPerOwner: 2 })
    const second = realCrypto()
    const third = realCrypto()
    const sign = (crypto: typeof second, subject: number, sequence = 1) => {
      const owner = new FakeNode(new FakeNetwork('id'), { crypto }).id
      return signRecords(crypto, [body({ owner, subject: other(subject), sequence })])[0]!
    }
    const mine = author.env.crypto

    expect((await put(sign(mine, 1))).kind).toBe('stored')
    expect((await put(sign(mine, 2))).kind).toBe('stored')
    expect((await put(sign(mine, 3))).kind).toBe('full')
    expect((await put(sign(mine, 2, 2))).kind).toBe('stored')
    expect((await put(sign(second, 1), second.publicKey)).kind).toBe('stored')
    expect((await put(sign(third, 1), third.publicKey)).kind).toBe('full')
    await stop()

    const bringer = await pair({ maxPerSource: 1 })
    const place = (subject: number) =>
      bringer.put(signRecords(bringer.author.env.crypto, [bringer.body({ subject: other(subject) })])[0]!)
    expect((await place(1)).kind).toBe('stored')
    expect((await place(2)).kind).toBe('full')
    await bringer.stop()
  })

  test('has its records again after a restart, and drops those that expired or were damaged', async () => {
    const { network, keeper, author, put, get, body } = await pair()
    const sign = (change: Partial<RecordBody>) => signRecords(author.env.crypto, [body(change)])[0]!
    const now = network.world.clock.unixMs()
    const lasting = sign({ subject: other(1), expiresUnixMs: now + 30 * DAY_MS })
    const brief = sign({ subject: other(2), expiresUnixMs: now + 60_000 })
    const damaged = sign({ subject: other(3), expiresUnixMs: now + 30 * DAY_MS })
    for (const record of [lasting, brief, damaged]) await put(record)
    await keeper.dht.stop()
    const rows = await keeper.store.scan('records', { limit: 10 })
    const row = rows.find(
      ({ key }) => Buffer.compare(key.subarray(2), keyOfRecord(author.env.crypto, damaged.body)) === 0,
    )!
    const value = Uint8Array.from(row.value)
    value[1_000]! ^= 1
    await keeper.store.write([{ table: 'records', key: row.key, value }])
    await network.world.run(DAY_MS)

    const again = new FakeNode(network, { crypto: keeper.env.crypto, store: keeper.store, port: keeper.port })
    await again.dht.start()

    expect(again.id).toBe(keeper.id)
    expect(again.dht.recordCount).toBe(1)
    expect((await get(lasting)).record?.body).toEqual(lasting.body)
    expect((await get(brief)).record).toBeUndefined()
    expect((await get(damaged)).record).toBeUndefined()
    await stopAll([again, author])
  })

  test('forgets expired records with the keys of their owners', async () => {
    const { network, keeper, author, put, body, stop } = await pair()
    const expiresUnixMs = network.world.clock.unixMs() + 3_600_000
    await put(signRecords(author.env.crypto, [body({ expiresUnixMs })])[0]!)
    expect(await keeper.store.count('publicKeys')).toBe(1)

    await network.world.run(2 * 3_600_000)

    expect(keeper.dht.recordCount).toBe(0)
    expect(await keeper.store.count('publicKeys')).toBe(0)
    await stop()
  })

  test('does not acknowledge what its disk refused, and goes on with what it had', async () => {
    const { keeper, author, put, get, body, stop } = await pair()
    const sign = (sequence: number) => signRecords(author.env.crypto, [body({ sequence })])[0]!
    await put(sign(1))
    const write = keeper.store.write.bind(keeper.store)
    keeper.store.write = () => Promise.reject(new EspalierError('STORAGE_FULL', 'the disk is full'))

    expect(await codeOf(put(sign(2)))).toBe('STORAGE_FULL')
    keeper.store.write = write

    expect((await get(sign(1))).record?.body.sequence).toBe(1)
    expect((await put(sign(2))).kind).toBe('stored')
    await stop()
  })
})

describe('a register', () => {
  test('takes 256 bytes and refuses one more; names have 1 to 256 bytes', async () => {
    const { nodes } = await networkOf(2)
    const put = (name: string, bytes: number) => codeOf(nodes[0]!.dht.putValue(name, new Uint8Array(bytes)))

    expect(await put('n', 256)).toBeUndefined()
    expect(await put('n', 257)).toBe('VALUE_TOO_LARGE')
    expect(await put('n'.repeat(256), 0)).toBeUndefined()
    expect(await put('n'.repeat(257), 0)).toBe('INVALID_ARGUMENT')
    expect(await put('', 0)).toBe('INVALID_ARGUMENT')
    await stopAll(nodes)
  })

  test('is written under the expected sequence only', async () => {
    const { nodes } = await networkOf(3)
    const { dht } = nodes[1]!
    const put = (expectSequence: number) => dht.putValue('counter', Uint8Array.of(1), { expectSequence })

    await expect(put(1)).rejects.toMatchObject({ code: 'RECORD_STALE', details: { sequence: 0 } })
    expect((await put(0)).sequence).toBe(1)
    await expect(put(0)).rejects.toMatchObject({ code: 'RECORD_STALE', details: { sequence: 1 } })
    expect((await put(1)).sequence).toBe(2)
    await stopAll(nodes)
  })

  test('that is written twice at once gets two sequences, one after the other', async () => {
    const { nodes } = await networkOf(3)

    const written = await Promise.all(
      [1, 2, 3].map((value) => nodes[0]!.dht.putValue('busy', Uint8Array.of(value))),
    )

    expect(written.map(({ sequence }) => sequence)).toEqual([1, 2, 3])
    const read = await nodes[2]!.dht.getValue('busy', { owner: nodes[0]!.id })
    expect(read).toMatchObject({ value: Uint8Array.of(3), sequence: 3 })
    await stopAll(nodes)
  })

  test('keeps its place in the queue only as long as its caller waits', async () => {
    const { network, nodes } = await networkOf(3)
    const { dht } = nodes[0]!
    for (const silent of nodes.slice(1))
      silent.port.handleRaw(getRecord.protocol, () => new Promise(() => undefined))
    const controller = new AbortController()

    const first = dht.putValue('queue', Uint8Array.of(1))
    const impatient = dht.putValue('queue', Uint8Array.of(2), { timeoutMs: 100 })
    const gone = dht.putValue('queue', Uint8Array.of(3), { signal: controller.signal })
    const last = dht.putValue('queue', Uint8Array.of(4))
    controller.abort()

    expect(await codeOf(gone)).toBe('ABORTED')
    expect(await codeOf(network.world.runUntil(impatient))).toBe('TIMEOUT')
    expect((await network.world.runUntil(first)).sequence).toBe(1)
    expect((await network.world.runUntil(last)).sequence).toBe(2)
    await stopAll(nodes)
  })

  test('is believed after three holders, so that one with an old value does not decide', async () => {
    const { network, nodes } = await networkOf(8)
    const owner = nodes[0]!
    const held = nodes[1]!
    await owner.dht.putValue('profile', Uint8Array.of(1))
    // It misses the second write.
    held.port.isUp = false
    await owner.dht.putValue('profile', Uint8Array.of(2))
    held.port.isUp = true
    const reader = new FakeNode(network, { serves: false })
    await reader.dht.start()
    await reader.dht.bootstrap([held.peer])

    expect((await reader.dht.getValue('profile', { owner: owner.id }))?.value).toEqual(Uint8Array.of(2))
    await stopAll([...nodes, reader])
  })

  test('written by a node that lost its memory continues the sequence that the network has', async () => {
    const { network, nodes } = await networkOf(4)
    const owner = nodes[0]!
    await owner.dht.putValue('profile', Uint8Array.of(1))
    await owner.dht.stop()
    const again = new FakeNode(network, { crypto: owner.env.crypto, port: owner.port })
    await again.dht.start()
    await again.dht.bootstrap([nodes[1]!.peer])

    expect((await again.dht.putValue('profile', Uint8Array.of(2))).sequence).toBe(2)
    await stopAll([again, ...nodes.slice(1)])
  })
})

/** A keeper, and an author that offers it records by hand. */
async function pair(limits: ConstructorParameters<typeof FakeNode>[1] = {}) {
  const network = new FakeNetwork('pair')
  const keeper = new FakeNode(network, limits)
  const author = new FakeNode(network, { serves: false })
  await keeper.dht.start()
  await author.dht.start()
  const now = network.world.clock.unixMs()
  const body = (change: Partial<RecordBody>): RecordBody => ({
    kind: 'DATA_POINTER',
    subject: other(0),
    owner: author.id,
    sequence: 5,
    issuedUnixMs: now,
    expiresUnixMs: now + DAY_MS,
    payload: encodePointer({ root: other(0), holders: [], expiresUnixMs: 0 }),
    ...change,
  })
  const put = (record: SignedRecord, ...keys: (Uint8Array | undefined)[]): Promise<PutOutcome> =>
    author.port.request(keeper.peer, putRecord, {
      sender: SENDER,
      record,
      publicKey: keys.length === 0 ? author.env.crypto.publicKey : keys[0],
    })
  const get = (record: SignedRecord) =>
    author.port.request(keeper.peer, getRecord, {
      sender: SENDER,
      kind: record.body.kind,
      key: keyOfRecord(author.env.crypto, record.body),
    })
  const stop = () => stopAll([keeper, author])
  return { network, keeper, author, body, put, get, stop }
}

function other(value: number): Uint8Array {
  return new Uint8Array(32).fill(value)
}

async function codeOf(work: Promise<unknown>): Promise<string | undefined> {
  try {
    await work
    return undefined
  } catch (thrown) {
    return thrown instanceof EspalierError ? thrown.code : String(thrown)
  }
}
