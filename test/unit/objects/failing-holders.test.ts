import { randomBytes } from 'node:crypto'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { concatBytes } from '../../../ts/base/bytes.ts'
import { MAX_SEGMENT_BYTES } from '../../../ts/native/segment.ts'
import type { ByteStream } from '../../../ts/net/transport.ts'
import { encodeGetAnswer, GET_SHARDS, PUT_SHARDS } from '../../../ts/objects/wire.ts'
import { FakeNetwork } from './fake-network.ts'

const SIZE_BYTES = 2 * MAX_SEGMENT_BYTES + 1001

let directory = ''
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'espalier-objects-'))
})
afterEach(() => rm(directory, { recursive: true }))

describe('reading with holders gone', () => {
  test('any four of twelve may be gone', async () => {
    const { network, data, ref, holders } = await stored()
    for (const gone of subsetsOfFour()) {
      const ids = gone.map((index) => holders[index]!)
      const reader = await network.client()

      network.kill(ids)
      const back = await reader.objects.getBytes(ref)
      network.revive(ids)

      expect(Buffer.compare(back, data), gone.join()).toBe(0)
    }
  })

  test('with five gone the reader is told how many are left and nothing is written', async () => {
    const { network, ref, holders } = await stored()
    const reader = await network.client()
    network.kill(holders.slice(3, 8))

    const reading = reader.objects.getToFile(ref, join(directory, 'target'))

    await expect(reading).rejects.toMatchObject({ code: 'SHARDS_MISSING', details: { found: 7, needed: 8 } })
    expect(await readdir(directory)).toEqual([])
    network.revive(holders.slice(3, 4))
    const again = await (await network.client()).objects.getToFile(ref, join(directory, 'target'))
    expect(again.sizeBytes).toBe(SIZE_BYTES)
    expect(await readdir(directory)).toEqual(['target'])
  })

  test('an object of nothing dies with its holders as any other', async () => {
    const network = await FakeNetwork.start(12)
    const client = await network.client()
    const { ref, holders } = await client.objects.put(new Uint8Array(0))
    const ids = holders.map((holder) => holder.nodeId)

    network.kill(ids.slice(0, 4))
    expect(await client.objects.getBytes(ref)).toHaveLength(0)
    network.kill(ids.slice(4, 5))
    const reading = client.objects.getBytes(ref)
    await expect(reading).rejects.toMatchObject({ code: 'SHARDS_MISSING', details: { found: 7, needed: 8 } })
  })

  test('a holder that does not even refuse delays nobody', async () => {
    const { network, data, ref, holders } = await stored()
    const reader = await network.client({ dialTimeoutMs: 3_600_000 })
    for (const id of holders.slice(0, 4)) network.holder(id).isSilent = true
    network.kill(holders.slice(0, 4))

    // Without an answer to its dial this would take an hour.
    expect(Buffer.compare(await reader.objects.getBytes(ref), data)).toBe(0)
  })

  test('five that do not even refuse are given up after the time for dialling', async () => {
    const { network, ref, holders } = await stored()
    const reader = await network.client({ dialTimeoutMs: 100 })
    for (const id of holders.slice(0, 5)) network.holder(id).isSilent = true
    network.kill(holders.slice(0, 5))

    const reading = reader.objects.getBytes(ref)

    await expect(reading).rejects.toMatchObject({ code: 'SHARDS_MISSING', details: { found: 7, needed: 8 } })
  })

  test('a connection that ends under the opening is tried once more', async () => {
    const { network, data, ref, holders } = await stored()
    const reader = await network.client()
    network.kill(holders.slice(0, 4))
    for (const id of holders.slice(4)) network.holder(id).brokenDials = 1

    expect(Buffer.compare(await reader.objects.getBytes(ref), data)).toBe(0)

    network.holder(holders[4]!).brokenDials = 2
    const reading = (await network.client()).objects.getBytes(ref)
    await expect(reading).rejects.toMatchObject({ code: 'SHARDS_MISSING', details: { found: 7, needed: 8 } })
  })

  test('without any holder there is no manifest', async () => {
    const { network, ref, holders } = await stored()
    const reader = await network.client()
    network.kill(holders)

    await expect(reader.objects.getBytes(ref)).rejects.toMatchObject({ code: 'NOT_FOUND' })
  })

  test('holders that vanish in the middle are replaced by those that are left', async () => {
    const { network, data, ref, holders } = await stored()
    const reader = await network.client()
    const parts: Uint8Array[] = []

    for await (const part of await reader.objects.get(ref)) {
      parts.push(part)
      network.kill(holders.slice(0, 4))
    }

    expect(Buffer.compare(concatBytes(parts), data)).toBe(0)
  })
})

describe('reading with holders that have other bytes', () => {
  test('a flipped byte costs one shard and never the data', async () => {
    const { network, data, ref, holders } = await stored()
    const reader = await network.client()

    for (const id of holders.slice(0, 4)) flipShards(network, id)
    expect(Buffer.compare(await reader.objects.getBytes(ref), data)).toBe(0)

    flipShards(network, holders[4]!)
    const reading = reader.objects.getBytes(ref)
    await expect(reading).rejects.toMatchObject({ code: 'SHARDS_MISSING', details: { found: 7, needed: 8 } })
  })

  test.each([
    ['sends other bytes', (stream: ByteStream) => answer(stream, { sizeBytes: 4, bytes: 4 })],
    [
      'says a size and sends nothing',
      (stream: ByteStream) => answer(stream, { sizeBytes: 524_288, bytes: 0 }),
    ],
    [
      'sends more than was asked for',
      (stream: ByteStream) => answer(stream, { sizeBytes: 4_194_304, bytes: 0 }),
    ],
    ['sends garbage', (stream: ByteStream) => stream.write(new Uint8Array(100).fill(255))],
    ['ends at once', (stream: ByteStream) => stream.closeWrite()],
    ['never answers', () => new Promise<void>(() => undefined)],
    ['resets', reset],
  ])('a holder that %s is passed over', async (_, hostile) => {
    const { network, data, ref, holders } = await stored()
    const reader = await network.client({ stallTimeoutMs: 300, hedgeMs: 50 })
    for (const id of holders.slice(0, 4)) network.holder(id).hostile = (_protocol, stream) => hostile(stream)

    expect(Buffer.compare(await reader.objects.getBytes(ref), data)).toBe(0)

    network.holder(holders[4]!).hostile = (_protocol, stream) => hostile(stream)
    const reading = reader.objects.getBytes(ref)
    await expect(reading).rejects.toMatchObject({ code: 'SHARDS_MISSING', details: { found: 7, needed: 8 } })
  })

  test('memory is taken for what was asked for, not for what a holder claims', async () => {
    const { network, ref, holders } = await stored()
    const reader = await network.client()
    for (const id of holders) {
      network.holder(id).hostile = (_protocol, stream) => answer(stream, { sizeBytes: 4_194_304, bytes: 1 })
    }

    await expect(reader.objects.getBytes(ref)).rejects.toMatchObject({ code: 'NOT_FOUND' })
  })
})

describe('writing with holders that fail', () => {
  test('a full holder is replaced by the next node', async () => {
    const network = await FakeNetwork.start(13)
    const client = await network.client()
    const [full] = network.nodes.values()
    full!.shards!.quotaBytes = 100_000
    const data = bytes(SIZE_BYTES)

    const { ref, holders } = await client.objects.put(data)

    expect(holders.map(({ shardIndex }) => shardIndex)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])
    expect(holders.map(({ nodeId }) => nodeId)).not.toContain(full!.id)
    network.kill(holders.slice(0, 4).map(({ nodeId }) => nodeId))
    expect(Buffer.compare(await client.objects.getBytes(ref), data)).toBe(0)
  })

  test('a holder that fills up in the middle keeps what it has, and both are asked', async () => {
    const network = await FakeNetwork.start(13)
    const client = await network.client()
    const data = bytes(6 * MAX_SEGMENT_BYTES)
    let isFull = false

    const { ref, holders } = await client.objects.put(data, {
      onProgress: () => {
        if (isFull) return
        isFull = true
        const drawn = [...network.nodes.values()].find((node) => node.shards!.kept.size > 0)
        drawn!.shards!.quotaBytes = drawn!.shards!.usage().usedBytes
      },
    })

    const parts = holders.filter(({ shards }) => shards < 6)
    expect(holders).toHaveLength(13)
    expect(parts).toHaveLength(2)
    expect(parts[0]!.shardIndex).toBe(parts[1]!.shardIndex)
    expect(parts[0]!.shards + parts[1]!.shards).toBe(6)
    const others = holders.filter(({ shards }) => shards === 6).slice(0, 4)
    network.kill(others.map(({ nodeId }) => nodeId))
    expect(Buffer.compare(await client.objects.getBytes(ref), data)).toBe(0)
  })

  test('two of twelve may be full, with three the write fails and nothing is published', async () => {
    const network = await FakeNetwork.start(12)
    const client = await network.client()
    const nodes = [...network.nodes.values()]
    const data = bytes(SIZE_BYTES)

    for (const node of nodes.slice(0, 2)) node.shards!.quotaBytes = 0
    const { ref, holders } = await client.objects.put(data)
    expect(holders).toHaveLength(10)
    expect(Buffer.compare(await client.objects.getBytes(ref), data)).toBe(0)

    nodes[2]!.shards!.quotaBytes = 0
    const writing = client.objects.put(data)
    await expect(writing).rejects.toMatchObject({ code: 'QUORUM_FAILED', details: { stored: 9, needed: 10 } })
    expect(network.publishes).toBe(1)
  })

  test.each([
    ['is gone', true],
    ['never answers a dial', false],
  ])('a holder that %s is replaced', async (_, refuses) => {
    const network = await FakeNetwork.start(14)
    const client = await network.client({ dialTimeoutMs: 50 })
    const gone = [...network.nodes.keys()].slice(0, 2)
    for (const id of gone) network.holder(id).isSilent = !refuses
    network.kill(gone)

    const { holders } = await client.objects.put(bytes(SIZE_BYTES))

    const ids = holders.map(({ nodeId }) => nodeId)
    expect(ids).toHaveLength(12)
    expect(ids.filter((id) => gone.includes(id))).toEqual([])
  })

  test('a holder that takes bytes and acknowledges nothing is replaced', async () => {
    const network = await FakeNetwork.start(13)
    const client = await network.client({ stallTimeoutMs: 100 })
    const [mute] = network.nodes.values()
    mute!.hostile = async (_protocol, stream) => {
      const sink = new Uint8Array(65_536)
      while ((await stream.readInto(sink)) > 0) await Promise.resolve()
    }

    const { holders } = await client.objects.put(bytes(SIZE_BYTES))

    expect(holders).toHaveLength(12)
    expect(holders.map(({ nodeId }) => nodeId)).not.toContain(mute!.id)
  })

  test('what a holder acknowledged before it vanished does not count', async () => {
    const network = await FakeNetwork.start(12)
    const client = await network.client()
    const doomed = [...network.nodes.keys()].slice(0, 3)

    const writing = client.objects.put(bytes(4 * MAX_SEGMENT_BYTES), {
      onProgress: () => network.kill(doomed),
    })

    await expect(writing).rejects.toMatchObject({ code: 'QUORUM_FAILED', details: { stored: 9, needed: 10 } })
    expect(network.publishes).toBe(0)
  })

  test('a connection that breaks once is opened again', async () => {
    const network = await FakeNetwork.start(1)
    const client = await network.client()
    const [holder] = network.nodes.values()
    let wasBroken = false
    const data = bytes(4 * MAX_SEGMENT_BYTES)

    const { ref } = await client.objects.put(data, {
      onProgress: () => {
        if (wasBroken) return
        wasBroken = true
        holder!.kill()
        holder!.isDead = false
      },
    })

    expect(holder!.opened.filter((protocol) => protocol === PUT_SHARDS.protocol)).toHaveLength(2)
    expect(Buffer.compare(await client.objects.getBytes(ref), data)).toBe(0)
    expect(holder!.opened.at(-1)).toBe(GET_SHARDS.protocol)
  })
})

/** An object on twelve holders, by shard index. */
async function stored() {
  const network = await FakeNetwork.start(12)
  const client = await network.client()
  const data = bytes(SIZE_BYTES)
  const { ref, holders } = await client.objects.put(data)
  return { network, data, ref, holders: holders.map(({ nodeId }) => nodeId as string) }
}

/** Fifteen subsets that together use every holder in every kind of place. */
function subsetsOfFour(): number[][] {
  const fixed = [
    [0, 1, 2, 3],
    [4, 5, 6, 7],
    [8, 9, 10, 11],
    [0, 4, 8, 11],
    [7, 8, 9, 10],
  ]
  const random = Array.from({ length: 10 }, (_, seed) => {
    const order = Array.from({ length: 12 }, (__, index) => index)
    return order.sort((a, b) => (((a + 3) * (seed + 7)) % 13) - (((b + 3) * (seed + 7)) % 13)).slice(0, 4)
  })
  return [...fixed, ...random]
}

/** Flips a byte in every shard but the manifest. */
function flipShards(network: FakeNetwork, id: string): void {
  const { kept } = network.holder(id).shards!
  for (const [name, shard] of kept) {
    const isManifest = [...network.pointers.keys()].includes(name)
    if (isManifest) continue
    const flipped = shard.bytes.slice()
    const middle = flipped.byteLength >> 1
    flipped[middle] = flipped[middle]! ^ 1
    kept.set(name, { ...shard, bytes: flipped })
  }
}

async function answer(
  stream: ByteStream,
  lie: { readonly sizeBytes: number; readonly bytes: number },
): Promise<void> {
  for await (const request of stream) {
    if (request.byteLength === 0) return
    await stream.write(encodeGetAnswer({ sizeBytes: lie.sizeBytes }))
    if (lie.bytes > 0) await stream.write(new Uint8Array(lie.bytes))
  }
}

function reset(stream: ByteStream): Promise<void> {
  stream.reset(0)
  return Promise.resolve()
}

function bytes(sizeBytes: number): Uint8Array {
  return new Uint8Array(randomBytes(sizeBytes))
}
