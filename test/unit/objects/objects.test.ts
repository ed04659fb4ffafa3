import { randomBytes } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { MAX_SEGMENT_BYTES } from '../../../ts/native/segment.ts'
import { FakeNetwork } from './fake-network.ts'

let directory = ''
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'espalier-objects-'))
})
afterEach(() => rm(directory, { recursive: true }))

describe('an object of any size comes back byte for byte', () => {
  const sizes = [
    ['nothing', 0],
    ['one byte', 1],
    ['one byte less than a segment', MAX_SEGMENT_BYTES - 1],
    ['a segment', MAX_SEGMENT_BYTES],
    ['one byte more than a segment', MAX_SEGMENT_BYTES + 1],
    ['three segments', 3 * MAX_SEGMENT_BYTES],
    ['20 MiB', 20 * 1024 * 1024],
  ] as const
  test.each(sizes)('%s', async (_, sizeBytes) => {
    const network = await FakeNetwork.start(12)
    const writer = await network.client()
    const reader = await network.client()
    const data = patterned(sizeBytes)

    const result = await writer.objects.put(data)
    const back = await reader.objects.getBytes(result.ref)

    expect(result.sizeBytes).toBe(sizeBytes)
    expect(result.layout).toEqual({ dataShards: 8, parityShards: 4 })
    expect(result.reduced).toBeUndefined()
    expect(Buffer.compare(back, data)).toBe(0)
    const segments = Math.max(1, Math.ceil(sizeBytes / MAX_SEGMENT_BYTES))
    expect(result.holders.map((holder) => holder.shardIndex)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])
    expect(new Set(result.holders.map((holder) => holder.nodeId)).size).toBe(12)
    expect(result.holders.map((holder) => holder.shards)).toEqual(Array(12).fill(segments))
    for (const { nodeId, bytes } of result.holders) {
      const kept = [...network.holder(nodeId).shards!.kept.values()]
      const total = kept.reduce((sum, shard) => sum + shard.bytes.byteLength, 0)
      // The manifest, equal everywhere, is the rest.
      expect(total - bytes).toBeGreaterThan(5000)
      expect(total - bytes).toBeLessThan(65_536)
    }
  })
})

describe('an object whose shard ids do not fit its manifest', () => {
  const segmentBytes = 4096
  test.each([
    ['in one table', 200],
    ['in a full one', 1024],
    ['in two', 1025],
  ])('keeps them %s', async (_, segments) => {
    const network = await FakeNetwork.start(12)
    const client = await network.client({ segmentBytes })
    const data = patterned(segments * segmentBytes - 1)

    const { ref, holders } = await client.objects.put(data)
    network.kill(holders.slice(0, 4).map(({ nodeId }) => nodeId))
    const back = await client.objects.getBytes(ref)
    const last = await client.objects.getBytes(ref, { range: { start: data.byteLength - 5 } })

    expect(Buffer.compare(back, data)).toBe(0)
    expect(Buffer.compare(last, data.subarray(-5))).toBe(0)
    // Shards of the segments, table chunks and the manifest.
    const chunks = Math.ceil(segments / 1024)
    expect(network.holder(holders[5]!.nodeId).shards!.kept.size).toBe(segments + chunks + 1)
  })
})

test('holders never see the plaintext', async () => {
  const network = await FakeNetwork.start(3)
  const client = await network.client()
  const secret = Buffer.from('a sentence that must not be found anywhere', 'utf8')

  await client.objects.put(Buffer.concat(Array(2000).fill(secret)))

  const found = [...network.nodes.values()].some((node) =>
    [...node.shards!.kept.values()].some(({ bytes }) => Buffer.from(bytes).includes(secret.subarray(0, 12))),
  )
  expect(found).toBe(false)
})

describe('sources', () => {
  test.each([
    ['a Buffer', (data: Uint8Array) => Buffer.from(data)],
    ['a Blob', (data: Uint8Array) => new Blob([data.slice()])],
    ['a web stream', (data: Uint8Array) => new Blob([data.slice()]).stream()],
    ['a Node stream', (data: Uint8Array) => Readable.from(pieces(data, 70_001))],
    ['an async iterable of odd pieces', (data: Uint8Array) => toAsync(pieces(data, 999_983))],
  ])('%s', async (_, make) => {
    const network = await FakeNetwork.start(4)
    const client = await network.client()
    const data = patterned(MAX_SEGMENT_BYTES + 12_345)

    const { ref, sizeBytes } = await client.objects.put(make(data))

    expect(sizeBytes).toBe(data.byteLength)
    expect(Buffer.compare(await client.objects.getBytes(ref), data)).toBe(0)
  })

  test('a file is read and written whole, with progress', async () => {
    const network = await FakeNetwork.start(12)
    const client = await network.client()
    const data = patterned(2 * MAX_SEGMENT_BYTES + 7)
    const from = join(directory, 'from')
    const to = join(directory, 'to')
    await writeFile(from, data)
    await writeFile(to, 'an older file')
    const stored: unknown[] = []
    const read: unknown[] = []

    const { ref } = await client.objects.putFile(from, { onProgress: (step) => stored.push(step) })
    const { sizeBytes } = await client.objects.getToFile(ref, to, { onProgress: (step) => read.push(step) })

    const totalBytes = data.byteLength
    expect(sizeBytes).toBe(totalBytes)
    expect(Buffer.compare(await readFile(to), data)).toBe(0)
    expect(stored).toHaveLength(3)
    expect(stored.at(-1)).toEqual({ doneBytes: totalBytes, totalBytes })
    expect(read).toEqual([
      { doneBytes: MAX_SEGMENT_BYTES, totalBytes },
      { doneBytes: 2 * MAX_SEGMENT_BYTES, totalBytes },
      { doneBytes: totalBytes, totalBytes },
    ])
    expect((await readdir(directory)).sort()).toEqual(['from', 'to'])
  })

  test('bytes that change while they are stored do not change the object', async () => {
    const network = await FakeNetwork.start(2)
    const client = await network.client()
    const data = patterned(MAX_SEGMENT_BYTES + 10)
    const before = data.slice()

    const storing = client.objects.put(data)
    data.fill(0)

    expect(Buffer.compare(await client.objects.getBytes((await storing).ref), before)).toBe(0)
  })

  test('a stream that fails rejects with its error and nothing is published', async () => {
    const network = await FakeNetwork.start(12)
    const client = await network.client()
    const failure = new Error('the disk went away')
    // eslint-disable-next-line @typescript-eslint/require-await
    async function* source(): AsyncGenerator<Uint8Array> {
      yield patterned(MAX_SEGMENT_BYTES + 1)
      throw failure
    }

    await expect(client.objects.put(source())).rejects.toBe(failure)

    expect(network.publishes).toBe(0)
  })

  test.each([
    ['text', 'text'],
    ['nothing', undefined],
    ['a stream of text', Readable.from(['text'])],
  ])('%s is no source', async (_, data) => {
    const network = await FakeNetwork.start(1)
    const client = await network.client()

    const storing = client.objects.put(data as unknown as Uint8Array)

    await expect(storing).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    expect(network.publishes).toBe(0)
  })

  test('a missing file and a directory are refused', async () => {
    const network = await FakeNetwork.start(1)
    const client = await network.client()

    const missing = client.objects.putFile(join(directory, 'missing'))
    await expect(missing).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    await expect(client.objects.putFile(directory)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
  })
})

describe('small networks', () => {
  test.each([
    [1, { dataShards: 1, parityShards: 0 }],
    [2, { dataShards: 1, parityShards: 1 }],
    [3, { dataShards: 2, parityShards: 1 }],
    [11, { dataShards: 7, parityShards: 4 }],
  ])('of %d nodes take the largest layout that fits and say so', async (count, layout) => {
    const network = await FakeNetwork.start(count)
    const client = await network.client()
    const data = patterned(MAX_SEGMENT_BYTES + 100)

    const result = await client.objects.put(data)
    network.kill(result.holders.slice(0, layout.parityShards).map(({ nodeId }) => nodeId))

    expect(result.layout).toEqual(layout)
    expect(result.reduced).toEqual(expect.any(String))
    expect(Buffer.compare(await client.objects.getBytes(result.ref), data)).toBe(0)
  })

  test('a network without nodes cannot keep anything', async () => {
    const network = await FakeNetwork.start(0)
    const client = await network.client()

    await expect(client.objects.put(patterned(1))).rejects.toMatchObject({ code: 'PLACEMENT_IMPOSSIBLE' })
  })

  test('a node keeps its own share without the network', async () => {
    const network = await FakeNetwork.start(1)
    const [node] = network.nodes.values()
    const data = patterned(1000)

    const { ref, holders } = await node!.objects.put(data)

    expect(holders).toMatchObject([{ nodeId: node!.id, shardIndex: 0, shards: 1 }])
    expect(Buffer.compare(await node!.objects.getBytes(ref), data)).toBe(0)
    expect(node!.opened).toEqual([])
  })
})

describe('reading a part', () => {
  test.each([
    ['from the start', 0, 10],
    ['across two segments', MAX_SEGMENT_BYTES - 5, 10],
    ['the last byte', 3 * MAX_SEGMENT_BYTES - 1, 1],
    ['up to the end and beyond', 2 * MAX_SEGMENT_BYTES + 3, 99_999_999],
    ['nothing', 17, 0],
    ['nothing at the end', 3 * MAX_SEGMENT_BYTES, 5],
  ])('%s', async (_, start, length) => {
    const network = await FakeNetwork.start(2)
    const client = await network.client()
    const data = patterned(3 * MAX_SEGMENT_BYTES)
    const { ref } = await client.objects.put(data)

    const back = await client.objects.getBytes(ref, { range: { start, length } })

    expect(Buffer.compare(back, data.subarray(start, start + length))).toBe(0)
  })

  test('only the segments of the range are fetched', async () => {
    const network = await FakeNetwork.start(1)
    const client = await network.client()
    const { ref } = await client.objects.put(patterned(5 * MAX_SEGMENT_BYTES))
    const [holder] = network.nodes.values()
    holder!.shards!.reads = 0

    await client.objects.getBytes(ref, { range: { start: 2 * MAX_SEGMENT_BYTES, length: 1 } })

    // The manifest and one shard.
    expect(holder!.shards!.reads).toBe(2)
  })

  test('a range that starts beyond the end is refused', async () => {
    const network = await FakeNetwork.start(1)
    const client = await network.client()
    const { ref } = await client.objects.put(patterned(10))

    const reading = client.objects.getBytes(ref, { range: { start: 11 } })

    await expect(reading).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
  })
})

describe('reading as a stream', () => {
  test('a pipeline takes it', async () => {
    const network = await FakeNetwork.start(3)
    const client = await network.client()
    const data = patterned(2 * MAX_SEGMENT_BYTES)
    const { ref } = await client.objects.put(data)
    const parts: Buffer[] = []

    await pipeline(await client.objects.get(ref), async (chunks) => {
      for await (const chunk of chunks) parts.push(Buffer.from(chunk))
    })

    expect(Buffer.compare(Buffer.concat(parts), data)).toBe(0)
  })

  test('a reader that takes nothing more lets at most three segments be fetched', async () => {
    const network = await FakeNetwork.start(1)
    const client = await network.client()
    const { ref } = await client.objects.put(patterned(8 * MAX_SEGMENT_BYTES))
    const [holder] = network.nodes.values()
    holder!.shards!.reads = 0

    const iterator = (await client.objects.get(ref))[Symbol.asyncIterator]()
    await iterator.next()
    await settle()

    // The manifest and three shards.
    expect(holder!.shards!.reads).toBe(4)
    await iterator.return!()
  })
})

test('bytes beyond the caller’s limit are not read', async () => {
  const network = await FakeNetwork.start(1)
  const client = await network.client()
  const { ref } = await client.objects.put(patterned(1001))

  expect(await client.objects.getBytes(ref, { maxBytes: 1001 })).toHaveLength(1001)
  const reading = client.objects.getBytes(ref, { maxBytes: 1000 })
  await expect(reading).rejects.toMatchObject({ code: 'VALUE_TOO_LARGE' })
})

test('nothing works before the start and after the stop', async () => {
  const network = await FakeNetwork.start(1)
  const client = await network.client()
  await client.objects.stop()

  await expect(client.objects.put(patterned(1))).rejects.toMatchObject({ code: 'CLOSED' })
  await expect(client.objects.get('espalier:x:y')).rejects.toMatchObject({ code: 'CLOSED' })
})

test.each([{ timeoutMs: 0 }, { timeoutMs: 1.5 }, { signal: 1 }, { onProgress: 1 }, { retries: 1 }, 7])(
  'the options %o are refused',
  async (options) => {
    const network = await FakeNetwork.start(1)
    const client = await network.client()

    const storing = client.objects.put(patterned(1), options as object)

    await expect(storing).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
  },
)

test('an option that is unknown is refused with the one that was meant', async () => {
  const network = await FakeNetwork.start(1)

  const starting = network.client({ leaseMS: 60_000 } as object)

  await expect(starting).rejects.toMatchObject({ code: 'INVALID_ARGUMENT', details: { nearest: 'leaseMs' } })
})

function patterned(sizeBytes: number): Uint8Array {
  return new Uint8Array(randomBytes(sizeBytes))
}

function* pieces(data: Uint8Array, sizeBytes: number): Generator<Uint8Array> {
  for (let at = 0; at < data.byteLength; at += sizeBytes) yield data.subarray(at, at + sizeBytes)
}

// eslint-disable-next-line @typescript-eslint/require-await
async function* toAsync(parts: Iterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield* parts
}

/** Lets everything happen that can happen without further input. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 200; turn += 1) await new Promise((resolve) => setImmediate(resolve))
}
