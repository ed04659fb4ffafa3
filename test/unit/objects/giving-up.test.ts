import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { MAX_SEGMENT_BYTES } from '../../../ts/native/segment.ts'
import { FakeNetwork } from './fake-network.ts'

let directory = ''
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'espalier-objects-'))
})
afterEach(() => rm(directory, { recursive: true }))

describe('memory', () => {
  test('a holder that is slow to its disk lets at most three segments be read from the source', async () => {
    const network = await FakeNetwork.start(12)
    const client = await network.client()
    const [slow] = network.nodes.values()
    let open: () => void = () => undefined
    slow!.shards!.gate = new Promise((resolve) => (open = resolve))
    let pulled = 0
    // eslint-disable-next-line @typescript-eslint/require-await
    async function* source(): AsyncGenerator<Uint8Array> {
      for (; pulled < 8; pulled += 1) yield new Uint8Array(MAX_SEGMENT_BYTES).fill(pulled)
    }

    const storing = client.objects.put(source())
    await settle()
    expect(pulled).toBeLessThanOrEqual(3)
    open()
    const { ref } = await storing

    expect(pulled).toBe(8)
    expect(await client.objects.getBytes(ref)).toHaveLength(8 * MAX_SEGMENT_BYTES)
  })

  test('coded segments that live at the same time never exceed three', async () => {
    const network = await FakeNetwork.start(12)
    const { encodeSegment, decodeSegment } = await import('../../../ts/native/segment.ts')
    let coded = 0
    let stored = 0
    let most = 0
    const coder = {
      decode: decodeSegment,
      encode: (input: Parameters<typeof encodeSegment>[0]) => {
        coded += 1
        most = Math.max(most, coded - stored)
        return encodeSegment(input)
      },
    }
    const client = await network.client({}, { coder })

    await client.objects.put(new Uint8Array(12 * MAX_SEGMENT_BYTES), { onProgress: () => (stored += 1) })

    expect(most).toBeGreaterThan(1)
    expect(most).toBeLessThanOrEqual(3)
  })
})

describe('a caller that gives up', () => {
  test('before a put starts', async () => {
    const { network, client } = await small()

    const storing = client.objects.put(new Uint8Array(1), { signal: AbortSignal.abort() })

    await expect(storing).rejects.toMatchObject({ code: 'ABORTED' })
    expect(network.publishes).toBe(0)
  })

  test('in the middle of a put: the source is closed and nothing is published', async () => {
    const { network, client } = await small()
    const abort = new AbortController()
    let isClosed = false
    // eslint-disable-next-line @typescript-eslint/require-await
    async function* endless(): AsyncGenerator<Uint8Array> {
      try {
        for (;;) yield new Uint8Array(MAX_SEGMENT_BYTES)
      } finally {
        isClosed = true
      }
    }

    const storing = client.objects.put(endless(), {
      signal: abort.signal,
      onProgress: () => abort.abort(new Error('enough')),
    })

    await expect(storing).rejects.toMatchObject({ code: 'ABORTED', cause: { message: 'enough' } })
    await settle()
    expect(isClosed).toBe(true)
    expect(network.publishes).toBe(0)
  })

  test('while the source itself never answers', async () => {
    const { client } = await small()
    const abort = new AbortController()
    const silent = { [Symbol.asyncIterator]: () => ({ next: () => new Promise<never>(() => undefined) }) }

    const storing = client.objects.put(silent, { signal: abort.signal })
    abort.abort()

    await expect(storing).rejects.toMatchObject({ code: 'ABORTED' })
  })

  test('in the middle of a read into a file: the old file stays and nothing else is left', async () => {
    const { client, ref } = await small()
    const target = join(directory, 'target')
    await writeFile(target, 'older')
    const abort = new AbortController()

    const reading = client.objects.getToFile(ref, target, {
      signal: abort.signal,
      onProgress: () => abort.abort(),
    })

    await expect(reading).rejects.toMatchObject({ code: 'ABORTED' })
    expect(await readdir(directory)).toEqual(['target'])
    expect(await readFile(target, 'utf8')).toBe('older')
  })

  test('by leaving the loop', async () => {
    const { network, client, ref } = await small()
    const [holder] = network.nodes.values()

    let parts = 0
    for await (const part of await client.objects.get(ref)) {
      parts += part.byteLength > 0 ? 1 : 0
      break
    }
    await settle()
    const readsThen = holder!.shards!.reads
    await settle()

    expect(parts).toBe(1)
    expect(holder!.shards!.reads).toBe(readsThen)
    expect(readsThen).toBeLessThanOrEqual(4)
  })

  test('a progress callback that throws ends the transfer with its error', async () => {
    const { network, client, ref } = await small()
    const failure = new Error('from the callback')
    const onProgress = (): never => {
      throw failure
    }
    const published = network.publishes

    await expect(client.objects.put(new Uint8Array(1), { onProgress })).rejects.toBe(failure)
    await expect(client.objects.getBytes(ref, { onProgress })).rejects.toBe(failure)

    expect(network.publishes).toBe(published)
  })

  test('a node that stops ends its transfers with CLOSED', async () => {
    const { client, ref } = await small()
    const silent = { [Symbol.asyncIterator]: () => ({ next: () => new Promise<never>(() => undefined) }) }

    const storing = client.objects.put(silent)
    const chunks = (await client.objects.get(ref))[Symbol.asyncIterator]()
    await chunks.next()
    await client.objects.stop()

    await expect(storing).rejects.toMatchObject({ code: 'CLOSED' })
    await expect(chunks.next()).rejects.toMatchObject({ code: 'CLOSED' })
  })
})

describe('the idle time-out', () => {
  test('ends a put whose source has stopped', async () => {
    const { network, client } = await small()
    const published = network.publishes
    const silent = { [Symbol.asyncIterator]: () => ({ next: () => new Promise<never>(() => undefined) }) }

    const storing = client.objects.put(silent, { timeoutMs: 20 })

    await expect(storing).rejects.toMatchObject({ code: 'TIMEOUT' })
    expect(network.publishes).toBe(published)
  })

  test('ends a read whose holders have stopped', async () => {
    const { network, client, ref } = await small()
    for (const node of network.nodes.values()) node.hostile = () => new Promise(() => undefined)

    await expect(client.objects.getBytes(ref, { timeoutMs: 20 })).rejects.toMatchObject({ code: 'TIMEOUT' })
  })

  test('does not run while the reader of the stream is busy', async () => {
    const { client, ref } = await small()
    let sizeBytes = 0

    for await (const part of await client.objects.get(ref, { timeoutMs: 2000 })) {
      const untilMs = performance.now() + 2500
      while (sizeBytes === 0 && performance.now() < untilMs) await new Promise((wake) => setTimeout(wake, 50))
      sizeBytes += part.byteLength
    }

    expect(sizeBytes).toBe(5 * MAX_SEGMENT_BYTES)
  })
})

/** An object of five segments on one holder. */
async function small() {
  const network = await FakeNetwork.start(1)
  const client = await network.client()
  const { ref } = await client.objects.put(new Uint8Array(5 * MAX_SEGMENT_BYTES))
  network.publishes = 0
  return { network, client, ref }
}

/** Lets everything happen that can happen without further input. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 300; turn += 1) await new Promise((resolve) => setImmediate(resolve))
}
