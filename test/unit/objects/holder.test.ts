import { describe, expect, test } from 'vitest'
import { concatBytes } from '../../../ts/base/bytes.ts'
import { hash } from '../../../ts/native/hash.ts'
import type { ByteStream } from '../../../ts/net/transport.ts'
import { MAX_LEASE_MS } from '../../../ts/objects/options.ts'
import * as wire from '../../../ts/objects/wire.ts'
import { FakeNetwork, type FakeNode } from './fake-network.ts'

const SKEW_MS = 5 * 60_000

describe('a holder that is sent shards', () => {
  test('answers each one in order, and a wrong one does not spoil the next', async () => {
    const { holder, stream } = await opened(wire.PUT_SHARDS)
    const first = new Uint8Array(10_000).fill(1)
    const third = new Uint8Array(700_000).fill(3)

    await stream.write(put({ bytes: first }))
    await stream.write(put({ bytes: new Uint8Array(5000).fill(2), id: hash(first) }))
    void stream.write(put({ bytes: third }))

    expect(await answers(stream, 3)).toEqual([undefined, 'INVALID_ARGUMENT', undefined])
    expect(await holder.shards!.has(hash(first))).toBe(true)
    expect(await holder.shards!.has(hash(third))).toBe(true)
    expect(holder.shards!.kept.size).toBe(2)
  })

  test('refuses over its quota, takes the bytes off the stream and goes on', async () => {
    const { holder, stream } = await opened(wire.PUT_SHARDS)
    holder.shards!.quotaBytes = 1000

    void stream.write(put({ bytes: new Uint8Array(1001) }))
    void stream.write(put({ bytes: new Uint8Array(1000) }))

    expect(await answers(stream, 2)).toEqual(['STORAGE_FULL', undefined])
  })

  test.each([
    ['now', 0, 'INVALID_ARGUMENT'],
    ['in a minute', 60_000, undefined],
    ['in thirty days', MAX_LEASE_MS, undefined],
    ['in more than thirty days and the skew of clocks', MAX_LEASE_MS + SKEW_MS + 60_000, 'INVALID_ARGUMENT'],
  ])('with an expiry %s', async (_, inMs, code) => {
    const { holder, stream } = await opened(wire.PUT_SHARDS)

    await stream.write(put({ bytes: new Uint8Array(5), inMs }))

    expect(await answers(stream, 1)).toEqual([code])
    expect(holder.shards!.kept.size).toBe(code === undefined ? 1 : 0)
  })

  test('a shard of no bytes is a shard', async () => {
    const { stream } = await opened(wire.PUT_SHARDS)

    await stream.write(put({ bytes: new Uint8Array(0) }))

    expect(await answers(stream, 1)).toEqual([undefined])
  })

  test.each([
    ['a shard over 4 MiB', frameOf(header(4_194_305))],
    ['a frame that is too long', Uint8Array.of(2, 1, ...new Uint8Array(513))],
    ['garbage', Uint8Array.of(0, 3, 255, 255, 255)],
    ['trailing bytes', frameOf(concatBytes([header(5), Uint8Array.of(0)]))],
  ])('%s resets the stream', async (_, bytes) => {
    const { holder, stream } = await opened(wire.PUT_SHARDS)

    await stream.write(bytes)

    await expect(answers(stream, 1)).rejects.toMatchObject({ code: 'STREAM_RESET' })
    expect(holder.shards!.kept.size).toBe(0)
  })

  test('a stream that ends in the middle of a shard stores nothing', async () => {
    const { holder, stream } = await opened(wire.PUT_SHARDS)

    await stream.write(put({ bytes: new Uint8Array(1000) }).subarray(0, 500))
    await stream.closeWrite()

    await expect(answers(stream, 1)).rejects.toMatchObject({ code: 'STREAM_RESET' })
    expect(holder.shards!.kept.size).toBe(0)
  })
})

describe('a holder that is asked for shards', () => {
  test('gives what it has, says what it lacks, and never more than was asked for', async () => {
    const { holder, stream } = await opened(wire.GET_SHARDS)
    const bytes = new Uint8Array(100).fill(7)
    const expiresUnixMs = Date.now() + 60_000
    await holder.shards!.put({ id: hash(bytes), sizeBytes: 100, expiresUnixMs }, source(bytes))

    await stream.write(wire.encodeGetRequest({ id: hash(bytes), maxBytes: 99 }))
    await stream.write(wire.encodeGetRequest({ id: hash(new Uint8Array(3)), maxBytes: 100 }))
    await stream.write(wire.encodeGetRequest({ id: hash(bytes), maxBytes: 100 }))
    await stream.closeWrite()

    expect(wire.decodeGetAnswer(await readFrame(stream))).toEqual({ code: 'VALUE_TOO_LARGE' })
    expect(wire.decodeGetAnswer(await readFrame(stream))).toEqual({ code: 'NOT_FOUND' })
    expect(wire.decodeGetAnswer(await readFrame(stream))).toEqual({ sizeBytes: 100 })
    expect(await readExactly(stream, 100)).toEqual(bytes)
    expect(await stream.readInto(new Uint8Array(1))).toBe(0)
  })
})

test('a peer has 256 streams, the next one is refused and ended ones make room', async () => {
  const network = await FakeNetwork.start(1)
  const [holder] = network.nodes.values()
  const [stranger, other] = [await network.client(), await network.client()]
  const open = (peer: FakeNode): ByteStream => holder!.accept(wire.GET_SHARDS, peer.id)
  const streams = Array.from({ length: 256 }, () => open(stranger))

  await expect(readFrame(open(stranger))).rejects.toMatchObject({ code: 'STREAM_RESET' })
  expect(await isServed(open(other))).toBe(true)
  streams[0]!.reset(0)
  await new Promise((resolve) => setImmediate(resolve))
  expect(await isServed(open(stranger))).toBe(true)
})

test('a peer that takes nothing of what it asked for keeps no other peer waiting', async () => {
  const network = await FakeNetwork.start(1)
  const [holder] = network.nodes.values()
  const [stranger, other] = [await network.client(), await network.client()]
  const bytes = new Uint8Array(wire.MAX_SHARD_BYTES)
  const expiresUnixMs = Date.now() + 60_000
  await holder!.shards!.put({ id: hash(bytes), sizeBytes: bytes.byteLength, expiresUnixMs }, source(bytes))
  const request = wire.encodeGetRequest({ id: hash(bytes), maxBytes: bytes.byteLength })

  const stalled = Array.from({ length: 64 }, () => holder!.accept(wire.GET_SHARDS, stranger.id))
  for (const stream of stalled) await stream.write(request)
  await new Promise((resolve) => setTimeout(resolve, 50))

  // Two of its shards are in memory; the others wait for its own sake.
  expect(holder!.shards!.reads).toBe(2)
  expect(await isServed(holder!.accept(wire.GET_SHARDS, other.id))).toBe(true)
  for (const stream of stalled) stream.reset(0)
})

test('a node that keeps nothing for others serves no streams', async () => {
  const network = await FakeNetwork.start(0)
  const client = await network.client()

  expect([...client.handlers.keys()]).toEqual([])
})

async function opened(type: typeof wire.PUT_SHARDS) {
  const network = await FakeNetwork.start(1)
  const client = await network.client()
  const [holder] = network.nodes.values()
  return { holder: holder!, stream: holder!.accept(type, client.id) }
}

function put(shard: {
  readonly bytes: Uint8Array
  readonly id?: Uint8Array
  readonly inMs?: number
}): Uint8Array {
  const header = wire.encodePutHeader({
    id: shard.id ?? hash(shard.bytes),
    sizeBytes: shard.bytes.byteLength,
    expiresUnixMs: Date.now() + (shard.inMs ?? 60_000),
  })
  return concatBytes([header, shard.bytes])
}

/** A header without its length, of a shard of any size. */
function header(sizeBytes: number): Uint8Array {
  return wire
    .encodePutHeader({ id: new Uint8Array(32), sizeBytes, expiresUnixMs: Date.now() + 60_000 })
    .subarray(2)
}

function frameOf(body: Uint8Array): Uint8Array {
  return concatBytes([Uint8Array.of(body.byteLength >> 8, body.byteLength & 255), body])
}

async function answers(stream: ByteStream, count: number): Promise<(string | undefined)[]> {
  const codes: (string | undefined)[] = []
  while (codes.length < count) codes.push(wire.decodePutAnswer(await readFrame(stream)))
  return codes
}

async function readFrame(stream: ByteStream): Promise<Uint8Array> {
  const [high = 0, low = 0] = await readExactly(stream, 2)
  return readExactly(stream, (high << 8) | low)
}

async function readExactly(stream: ByteStream, count: number): Promise<Uint8Array> {
  const target = new Uint8Array(count)
  for (let at = 0; at < count;) {
    const read = await stream.readInto(target.subarray(at))
    if (read === 0) throw new Error('the stream ended')
    at += read
  }
  return target
}

async function isServed(stream: ByteStream): Promise<boolean> {
  await stream.write(wire.encodeGetRequest({ id: new Uint8Array(32), maxBytes: 1 }))
  return 'code' in wire.decodeGetAnswer(await readFrame(stream))
}

// eslint-disable-next-line @typescript-eslint/require-await
async function* source(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}
