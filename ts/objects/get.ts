import { EspalierError, toEspalierError } from '../base/error.ts'
import type { NodeId } from '../base/identity.ts'
import { shardBytesOf } from '../native/segment.ts'
import type { Capability } from './capability.ts'
import type { CheckedGet } from './check-options.ts'
import { readLink, type ExpectedSize, type ReadLink } from './links.ts'
import { decodeManifest, MAX_MANIFEST_BYTES, segmentCount, segmentSize, type Manifest } from './manifest.ts'
import { Operation } from './operation.ts'
import type { CheckedOptions, ObjectsDeps } from './options.ts'
import { ReadPlan } from './read-plan.ts'
import { readSegmentShards } from './read-segment.ts'
import { decodeChunk, maxChunkBytes, SEGMENTS_PER_CHUNK, ShardIds } from './segment-table.ts'

/** Segments that are in memory at once: one is handed out while two arrive. */
export const MAX_SEGMENTS_IN_FLIGHT = 3
/** The directory's list may not send a reader to more nodes than this. */
const MAX_POINTER_HOLDERS = 12
/** Another holder is asked for the manifest or a table after so long. */
const ASK_NEXT_MS = 500

type Coder = Required<ObjectsDeps>['coder']

/** Reads one object. */
export class ObjectReader {
  readonly operation: Operation
  readonly #deps: ObjectsDeps & { readonly coder: Coder }
  readonly #options: CheckedOptions
  readonly #capability: Required<Capability>
  readonly #call: CheckedGet
  readonly #onRead: (bytes: number) => void
  /** Bounded by MAX_POINTER_HOLDERS and the holders of the manifest. */
  readonly #links = new Map<
    NodeId,
    { readonly link: ReadLink; readonly opened: Promise<number | undefined> }
  >()
  /** The last two table chunks that were asked for. */
  readonly #chunks = new Map<number, Promise<ShardIds>>()
  /** Woken when a holder opens or dies. Bounded by MAX_SEGMENTS_IN_FLIGHT. */
  readonly #onChange = new Set<() => void>()

  constructor(
    deps: ObjectsDeps & { readonly coder: Coder },
    from: {
      readonly options: CheckedOptions
      readonly capability: Required<Capability>
      readonly call: CheckedGet
      /** Called with the bytes of each part that is handed out. */
      readonly onRead: (bytes: number) => void
    },
  ) {
    this.#deps = deps
    this.#options = from.options
    this.#capability = from.capability
    this.#call = from.call
    this.#onRead = from.onRead
    this.operation = new Operation(deps.env.clock, {
      ...from.call,
      onEnd: (error) => {
        for (const { link } of this.#links.values()) link.end(error)
      },
    })
  }

  /** Finds and checks the manifest; nothing is read of the object itself. */
  async open(): Promise<OpenObject> {
    try {
      const manifest = await this.operation.race(this.#findManifest())
      const range = rangeOf(manifest, this.#call.range)
      return { manifest, range, chunks: this.#endingEarly(this.#read(manifest, range)) }
    } catch (error) {
      this.operation.fail(error)
      this.operation.throwIfFailed()
      throw error
    }
  }

  async #findManifest(): Promise<Manifest> {
    const { root, owner } = this.#capability
    const { env, shards, find } = this.#deps
    // A damaged copy of our own is one copy less, and no reason to fail.
    const own = await shards?.read(root).catch(() => undefined)
    const bytes = own ?? (await this.#fetchManifest(await find({ root, owner }, this.#findOptions())))
    return decodeManifest(bytes, { owner, crypto: env.crypto })
  }

  #findOptions(): { readonly signal?: AbortSignal } {
    const { signal } = this.#call
    return signal === undefined ? {} : { signal }
  }

  async #fetchManifest(pointer: Awaited<ReturnType<ObjectsDeps['find']>>): Promise<Uint8Array> {
    if (pointer === undefined) {
      throw new EspalierError('NOT_FOUND', 'nobody that was asked knows where the object is kept')
    }
    const holders = [...new Set(pointer.holders)].slice(0, MAX_POINTER_HOLDERS)
    const found = await this.#fetchFromAny(holders, this.#capability.root, { maxBytes: MAX_MANIFEST_BYTES })
    if (found !== undefined) return found
    throw new EspalierError('NOT_FOUND', 'no holder that can be reached has the manifest', {
      details: { holders: holders.length },
    })
  }

  /** Plaintext in order, from at most MAX_SEGMENTS_IN_FLIGHT segments that are read ahead. */
  async *#read(manifest: Manifest, range: ByteRange): AsyncGenerator<Uint8Array, void, undefined> {
    const plan = this.#planFor(manifest)
    /** Bounded by MAX_SEGMENTS_IN_FLIGHT. */
    const ahead: Promise<Uint8Array>[] = []
    const { first, end } = segmentsOf(manifest, range)
    let doneBytes = 0
    try {
      let next = first
      for (let index = first; index < end; index += 1) {
        while (next < end && next < index + MAX_SEGMENTS_IN_FLIGHT)
          ahead.push(this.#start(next++, manifest, plan))
        const plaintext = await this.operation.race(ahead.shift() ?? Promise.resolve(new Uint8Array(0)))
        const part = cut(plaintext, { at: index * manifest.segmentBytes, range })
        doneBytes += part.byteLength
        this.#onRead(part.byteLength)
        this.operation.touch()
        this.#call.onProgress?.({ doneBytes, totalBytes: range.length })
        // While the consumer is busy the object stands still for its sake.
        this.operation.pause()
        if (part.byteLength > 0) yield part
        this.operation.resume()
        this.operation.throwIfFailed()
      }
    } catch (error) {
      this.operation.fail(error)
      this.operation.throwIfFailed()
      throw error
    } finally {
      this.operation.finish()
    }
  }

  /** A generator that was never asked for anything would not run its `finally`. */
  #endingEarly(
    chunks: AsyncGenerator<Uint8Array, void, undefined>,
  ): AsyncIterableIterator<Uint8Array, void, undefined> {
    const { operation } = this
    return {
      next: () => chunks.next(),
      return: () => {
        operation.finish()
        return chunks.return()
      },
      [Symbol.asyncIterator]() {
        return this
      },
    }
  }

  #planFor(manifest: Manifest): ReadPlan {
    const plan = new ReadPlan({ layout: manifest.layout, holders: manifest.holders })
    for (const nodeId of new Set(manifest.holders.map((holder) => holder.nodeId))) {
      void this.#linkTo(nodeId).opened.then((tookMs) => {
        if (tookMs === undefined) plan.onDead(nodeId)
        else plan.onOpened(nodeId, tookMs)
        for (const wake of this.#onChange) wake()
      })
    }
    return plan
  }

  #start(index: number, manifest: Manifest, plan: ReadPlan): Promise<Uint8Array> {
    const segment = this.#readSegment(index, manifest, plan)
    // It is awaited in its turn; until then its failure ends the operation.
    segment.catch((error: unknown) => this.operation.fail(error))
    return segment
  }

  async #readSegment(index: number, manifest: Manifest, plan: ReadPlan): Promise<Uint8Array> {
    const plaintextBytes = segmentSize(manifest, index)
    const shardBytes = shardBytesOf(manifest.layout, plaintextBytes)
    const ids = await this.#idsOf(index, manifest)
    const shards = await readSegmentShards({
      plan,
      clock: this.#deps.env.clock,
      hedgeMs: this.#options.hedgeMs,
      onChange: this.#onChange,
      get: ({ nodeId, shardIndex }) => this.#getShard(nodeId, ids[shardIndex], shardBytes),
      isLost: (nodeId) => this.#links.get(nodeId)?.link.isLost ?? true,
    })
    const { readKey: key } = this.#capability
    return this.#deps.coder.decode({ key, index, layout: manifest.layout, plaintextBytes, shards })
  }

  #getShard(nodeId: NodeId, id: Uint8Array | undefined, exactBytes: number): Promise<Uint8Array> {
    if (id === undefined) throw new EspalierError('RECORD_INVALID', 'the segment table lacks a shard')
    return this.#linkTo(nodeId).link.get(id, { exactBytes })
  }

  async #idsOf(index: number, manifest: Manifest): Promise<Uint8Array[]> {
    if (manifest.table.kind === 'inline') return new ShardIds(manifest.table.ids, manifest.layout).of(index)
    const chunkIndex = Math.floor(index / SEGMENTS_PER_CHUNK)
    let chunk = this.#chunks.get(chunkIndex)
    if (chunk === undefined) {
      const oldest = this.#chunks.keys().next().value
      if (this.#chunks.size >= 2 && oldest !== undefined) this.#chunks.delete(oldest)
      chunk = this.#fetchChunk(chunkIndex, manifest, manifest.table.ids[chunkIndex])
      this.#chunks.set(chunkIndex, chunk)
    }
    return (await chunk).of(index % SEGMENTS_PER_CHUNK)
  }

  async #fetchChunk(chunkIndex: number, manifest: Manifest, id: Uint8Array | undefined): Promise<ShardIds> {
    if (id === undefined) throw new EspalierError('RECORD_INVALID', 'the manifest lacks a segment table')
    const { layout } = manifest
    const holders = [...new Set(manifest.holders.map(({ nodeId }) => nodeId))]
    const bytes = await this.#fetchFromAny(holders, id, { maxBytes: maxChunkBytes(layout) })
    if (bytes === undefined) {
      throw new EspalierError('SHARDS_MISSING', 'no holder that can be reached has the segment table', {
        details: { found: 0, needed: layout.dataShards },
      })
    }
    const segments = Math.min(SEGMENTS_PER_CHUNK, segmentCount(manifest) - chunkIndex * SEGMENTS_PER_CHUNK)
    return decodeChunk(bytes, { layout, segments })
  }

  /** One content-addressed blob that several nodes keep: whoever answers first, one more asked every while. */
  #fetchFromAny(
    holders: readonly NodeId[],
    id: Uint8Array,
    size: ExpectedSize,
  ): Promise<Uint8Array | undefined> {
    const { clock } = this.#deps.env
    return new Promise((resolve) => {
      const links = holders.map((nodeId) => this.#linkTo(nodeId))
      /** Open and not asked yet. Bounded by `holders`. */
      const ready: ReadLink[] = []
      let unsettled = links.length
      let isAsking = false
      let isOver = false
      let timer = clock.setTimer(0, () => undefined)
      const finish = (bytes: Uint8Array | undefined): void => {
        isOver = true
        timer.cancel()
        resolve(bytes)
      }
      const giveUp = (): void => {
        unsettled -= 1
        if (unsettled === 0) finish(undefined)
      }
      const ask = (): void => {
        if (isOver) return
        const link = ready.shift()
        isAsking = link !== undefined
        if (link === undefined) return
        timer.cancel()
        timer = clock.setTimer(ASK_NEXT_MS, ask)
        link.get(id, size).then(finish, () => {
          giveUp()
          ask()
        })
      }
      if (links.length === 0) finish(undefined)
      for (const { link, opened } of links) {
        void opened.then((tookMs) => {
          if (tookMs === undefined) {
            giveUp()
            return
          }
          ready.push(link)
          if (!isAsking) ask()
        })
      }
    })
  }

  #linkTo(nodeId: NodeId): { readonly link: ReadLink; readonly opened: Promise<number | undefined> } {
    const known = this.#links.get(nodeId)
    if (known !== undefined) return known
    const { clock, log } = this.#deps.env
    const link = readLink(this.#deps, this.#options, nodeId)
    const startedAtMs = clock.nowMs()
    const opened = link.open().then(
      () => clock.nowMs() - startedAtMs,
      (error: unknown) => {
        const { code, message } = toEspalierError(error, 'PEER_UNREACHABLE', 'a holder cannot be reached')
        log.debug('a holder is left out of a read', { nodeId, code, message })
        return undefined
      },
    )
    const entry = { link, opened }
    this.#links.set(nodeId, entry)
    return entry
  }
}

/** A checked object: what it is, and its bytes when they are asked for. */
export interface OpenObject {
  readonly manifest: Manifest
  readonly range: ByteRange
  readonly chunks: AsyncIterableIterator<Uint8Array, void, undefined>
}

/** Bytes of an object. */
export interface ByteRange {
  readonly start: number
  readonly length: number
}

function rangeOf(manifest: Manifest, range: CheckedGet['range']): ByteRange {
  const { sizeBytes } = manifest
  const start = range?.start ?? 0
  if (start > sizeBytes) {
    throw new EspalierError(
      'INVALID_ARGUMENT',
      `the range starts at ${start}, the object has ${sizeBytes} bytes`,
    )
  }
  return { start, length: Math.min(range?.length ?? sizeBytes, sizeBytes - start) }
}

function segmentsOf(manifest: Manifest, range: ByteRange): { readonly first: number; readonly end: number } {
  // The one segment of an empty object is read too: it proves that the object is still there.
  const last = Math.min(segmentCount(manifest) - 1, Math.floor(range.start / manifest.segmentBytes))
  if (range.length === 0) return { first: last, end: manifest.sizeBytes === 0 ? last + 1 : last }
  return { first: last, end: Math.ceil((range.start + range.length) / manifest.segmentBytes) }
}

function cut(plaintext: Uint8Array, from: { readonly at: number; readonly range: ByteRange }): Uint8Array {
  const start = Math.max(0, from.range.start - from.at)
  const end = Math.min(plaintext.byteLength, from.range.start + from.range.length - from.at)
  return start === 0 && end === plaintext.byteLength ? plaintext : plaintext.subarray(start, end)
}
