import { encodeBase32 } from '../base/base32.ts'
import { CborWriter } from '../base/codec.ts'
import { EspalierError, toEspalierError } from '../base/error.ts'
import { keyOfNode, type NodeId } from '../base/identity.ts'
import { shardBytesOf, type EncodedSegment } from '../native/segment.ts'
import { layoutFor } from '../placement/layout.ts'
import { rankNodes } from '../placement/rendezvous.ts'
import { formatReference } from './capability.ts'
import type { CheckedPut } from './check-options.ts'
import { writeLink, type WriteLink } from './links.ts'
import {
  encodeManifest,
  MAX_CHUNKS,
  MAX_INLINE_IDS_BYTES,
  tooManySegments,
  type Manifest,
  type PlacedHolder,
} from './manifest.ts'
import { Operation } from './operation.ts'
import type { CheckedOptions, ObjectsDeps, PutResult, StoredOn } from './options.ts'
import type { SegmentSource } from './source.ts'
import { TableBuilder } from './segment-table.ts'
import { WritePlan } from './write-plan.ts'

/** Segments that are in memory at once: one is read and coded while two wait for their holders. */
export const MAX_SEGMENTS_IN_FLIGHT = 3

type Coder = Required<ObjectsDeps>['coder']

/** Stores one object. */
export class ObjectWriter {
  readonly #deps: ObjectsDeps & { readonly coder: Coder }
  readonly #options: CheckedOptions
  readonly #source: SegmentSource
  readonly #call: CheckedPut
  readonly #onStored: (bytes: number) => void
  readonly operation: Operation

  readonly #objectId: Uint8Array
  readonly #readKey: Uint8Array
  readonly #expiresUnixMs: number
  readonly #plan: WritePlan
  readonly #reduced: string | undefined
  /** Bounded by the holders of the plan. */
  readonly #links = new Map<NodeId, WriteLink>()
  readonly #table = new TableBuilder()
  /** One for 4 GiB of object; bounded by MAX_CHUNKS through the size of the manifest. */
  readonly #chunks: { readonly id: Uint8Array; readonly keptBy: Set<NodeId> }[] = []
  /** Bounded by MAX_SEGMENTS_IN_FLIGHT. */
  readonly #inFlight: Promise<void>[] = []
  #sizeBytes = 0
  #doneBytes = 0
  #lastSegmentBytes = 0

  /** Throws `PLACEMENT_IMPOSSIBLE` when no node is known. */
  constructor(
    deps: ObjectsDeps & { readonly coder: Coder },
    from: {
      readonly options: CheckedOptions
      readonly source: SegmentSource
      readonly call: CheckedPut
      /** Called with the bytes of each segment that is stored. */
      readonly onStored: (bytes: number) => void
    },
  ) {
    this.#deps = deps
    this.#options = from.options
    this.#source = from.source
    this.#call = from.call
    this.#onStored = from.onStored
    this.#objectId = deps.env.rng.bytes(32)
    this.#readKey = deps.env.rng.bytes(32)
    this.#expiresUnixMs = deps.env.clock.unixMs() + from.options.leaseMs
    const draw = { key: this.#objectId, hash: (material: Uint8Array) => deps.env.crypto.hash(material) }
    const ranked = rankNodes(this.#eligible(), draw)
    const { layout, reduced } = layoutFor(ranked.length)
    this.#plan = new WritePlan({ layout, ranked })
    this.#reduced = reduced
    this.operation = new Operation(deps.env.clock, {
      ...from.call,
      onEnd: (error) => {
        for (const link of this.#links.values()) link.end(error)
        void this.#source.close()
      },
    })
  }

  /** Rejects with what the source threw, or `QUORUM_FAILED`, `ABORTED`, `TIMEOUT`, and what `publish` says. */
  async run(): Promise<PutResult> {
    try {
      await this.#storeSegments()
      const result = await this.#publish()
      this.operation.finish()
      return result
    } catch (error) {
      // Whatever came first is the reason; the rest are its consequences.
      this.operation.fail(error)
      this.operation.throwIfFailed()
      throw error
    }
  }

  #eligible(): NodeId[] {
    const { eligible, rpc, shards } = this.#deps
    return eligible().filter((id) => id !== rpc.localId || shards !== undefined)
  }

  async #storeSegments(): Promise<void> {
    for (let index = 0; ; index += 1) {
      if (this.#inFlight.length >= MAX_SEGMENTS_IN_FLIGHT) {
        await this.operation.race(this.#inFlight.shift() ?? Promise.resolve())
      }
      const plaintext = await this.operation.race(this.#source.next())
      // An empty object has one empty segment, so that it is as durable as any other.
      if (plaintext === undefined && index > 0) break
      await this.#startSegment(index, plaintext ?? new Uint8Array(0))
    }
    for (const settled of this.#inFlight.splice(0)) await this.operation.race(settled)
  }

  async #startSegment(index: number, plaintext: Uint8Array): Promise<void> {
    const { layout } = this.#plan
    const bytes = plaintext.byteLength
    const encoding = this.#deps.coder.encode({ key: this.#readKey, index, plaintext, layout })
    const encoded = await this.operation.race(encoding)
    this.#sizeBytes += bytes
    this.#lastSegmentBytes = bytes
    const chunk = this.#table.add(encoded.ids)
    const storing = this.#storeSegment(index, encoded).then(async () => {
      if (chunk !== undefined) await this.#storeChunk(chunk)
      this.#doneBytes += bytes
      this.#onStored(bytes)
      this.operation.touch()
      const { totalBytes } = this.#source
      this.#call.onProgress?.({
        doneBytes: this.#doneBytes,
        ...(totalBytes === undefined ? {} : { totalBytes }),
      })
    })
    storing.catch((error: unknown) => this.operation.fail(error))
    this.#inFlight.push(storing)
  }

  async #storeSegment(index: number, encoded: EncodedSegment): Promise<void> {
    await Promise.all(
      encoded.shards.map((bytes, shardIndex) =>
        this.#storeShard({ bytes, id: encoded.ids[shardIndex] ?? new Uint8Array(0), shardIndex, index }),
      ),
    )
  }

  /** Puts one shard on the holder of its index, or on the next one when that fails. */
  async #storeShard(shard: {
    readonly id: Uint8Array
    readonly bytes: Uint8Array
    readonly shardIndex: number
    readonly index: number
  }): Promise<void> {
    const { shardIndex } = shard
    for (
      let nodeId = this.#plan.holderOf(shardIndex);
      nodeId !== undefined;
      nodeId = this.#plan.holderOf(shardIndex)
    ) {
      const holder = { nodeId, shardIndex }
      if (await this.#tryPut(holder, shard)) {
        this.#plan.onStored(holder, shard.index)
        return
      }
    }
  }

  async #tryPut(
    holder: PlacedHolder,
    blob: { readonly id: Uint8Array; readonly bytes: Uint8Array },
  ): Promise<boolean> {
    const link = this.#linkTo(holder.nodeId)
    try {
      const header = { id: blob.id, sizeBytes: blob.bytes.byteLength, expiresUnixMs: this.#expiresUnixMs }
      await link.put(header, blob.bytes)
      this.operation.touch()
      return true
    } catch (error) {
      this.operation.throwIfFailed()
      this.#plan.onFailed(holder, { keptItsShards: link.isAlive })
      this.#log(holder, error)
      this.#checkThreshold(error)
      return false
    }
  }

  #linkTo(nodeId: NodeId): WriteLink {
    const known = this.#links.get(nodeId)
    if (known !== undefined) return known
    const link = writeLink(this.#deps, this.#options, nodeId)
    this.#links.set(nodeId, link)
    return link
  }

  #checkThreshold(cause: unknown): void {
    const stored = this.#plan.weakest()
    const needed = this.#plan.threshold
    if (stored >= needed) return
    throw new EspalierError(
      'QUORUM_FAILED',
      `a segment would have ${stored} of the ${needed} shards that a write needs`,
      { cause, details: { stored, needed } },
    )
  }

  /** Every present holder keeps the whole table, so that whoever reaches enough shards also finds their names. */
  async #storeChunk(bytes: Uint8Array): Promise<void> {
    if (this.#chunks.length >= MAX_CHUNKS) throw tooManySegments()
    const id = this.#deps.env.crypto.hash(bytes)
    const entry = { id, keptBy: new Set<NodeId>() }
    this.#chunks.push(entry)
    await Promise.all(
      this.#plan.current().map(async (holder) => {
        if (await this.#tryPut(holder, { id, bytes })) entry.keptBy.add(holder.nodeId)
      }),
    )
  }

  async #publish(): Promise<PutResult> {
    const { env, publish, rpc } = this.#deps
    const table = await this.operation.race(this.#finishTable())
    const manifest: Manifest = {
      objectId: this.#objectId,
      owner: rpc.localId,
      sizeBytes: this.#sizeBytes,
      segmentBytes: this.#options.segmentBytes,
      layout: this.#plan.layout,
      expiresUnixMs: this.#expiresUnixMs,
      holders: this.#plan.holders().map(({ nodeId, shardIndex }) => ({ nodeId, shardIndex })),
      table,
    }
    const bytes = encodeManifest(manifest, env.crypto)
    const root = env.crypto.hash(bytes)
    const keepers = await this.operation.race(this.#storeManifest({ id: root, bytes }))
    const pointer = { root, holders: keepers, expiresUnixMs: this.#expiresUnixMs }
    const { signal } = this.#call
    await this.operation.race(publish(pointer, signal === undefined ? {} : { signal }))
    await this.operation.race(this.#remember(pointer))
    return this.#result(root)
  }

  async #finishTable(): Promise<Manifest['table']> {
    const rest = this.#table.rest()
    if (this.#chunks.length === 0 && rest.byteLength <= MAX_INLINE_IDS_BYTES)
      return { kind: 'inline', ids: rest }
    if (rest.byteLength > 0) await this.#storeChunk(this.#table.takeChunk())
    return { kind: 'chunks', ids: this.#chunks.map(({ id }) => id) }
  }

  /** The manifest names its holders: one that fails from here on has no successor. */
  async #storeManifest(blob: { readonly id: Uint8Array; readonly bytes: Uint8Array }): Promise<NodeId[]> {
    const keepers: NodeId[] = []
    const header = { id: blob.id, sizeBytes: blob.bytes.byteLength, expiresUnixMs: this.#expiresUnixMs }
    const outcomes = await Promise.all(
      this.#plan.current().map(async (holder) => {
        const link = this.#linkTo(holder.nodeId)
        try {
          await link.put(header, blob.bytes)
          return holder
        } catch (error) {
          this.operation.throwIfFailed()
          if (!link.isAlive) this.#plan.onVanished(holder)
          this.#log(holder, error)
          return undefined
        }
      }),
    )
    for (const holder of outcomes) if (holder !== undefined) keepers.push(holder.nodeId)
    this.#checkThreshold(undefined)
    this.#checkCopies(keepers)
    return keepers
  }

  /**
   * Manifest and tables must outlive the loss of any `parityShards` holders, as the shards do; the manifest
   * also needs the write threshold.
   */
  #checkCopies(keepers: readonly NodeId[]): void {
    const { layout, threshold } = this.#plan
    const present = new Set(keepers)
    const copies = this.#chunks.map(({ keptBy }) => [...keptBy].filter((id) => present.has(id)).length)
    const fewest = Math.min(keepers.length, ...copies)
    if (keepers.length >= threshold && fewest > layout.parityShards) return
    throw new EspalierError('QUORUM_FAILED', `only ${fewest} holders keep the object's manifest and tables`, {
      details: { stored: fewest, needed: threshold },
    })
  }

  /** What this node has put, so that it can be told again and deleted. Without the read key. */
  async #remember(pointer: {
    readonly root: Uint8Array
    readonly holders: readonly NodeId[]
  }): Promise<void> {
    const writer = new CborWriter().array(5).uint(1).bytes(pointer.root).uint(this.#sizeBytes)
    writer.array(pointer.holders.length)
    for (const id of pointer.holders) writer.bytes(keyOfNode(id))
    const value = writer.extensions().finish()
    await this.#deps.store.write([
      { table: 'objects', key: pointer.root, value, expiresUnixMs: this.#expiresUnixMs },
    ])
  }

  #result(root: Uint8Array): PutResult {
    const { layout } = this.#plan
    return {
      ref: formatReference({ root, owner: this.#deps.rpc.localId, readKey: this.#readKey }),
      root: encodeBase32(root),
      sizeBytes: this.#sizeBytes,
      layout,
      holders: this.#plan.holders().map((holder) => this.#storedOn(holder)),
      expiresUnixMs: this.#expiresUnixMs,
      ...(this.#reduced === undefined ? {} : { reduced: this.#reduced }),
    }
  }

  #storedOn({ nodeId, shardIndex, shards, isPresent }: ReturnType<WritePlan['holders']>[number]): StoredOn {
    const full = shardBytesOf(this.#plan.layout, this.#options.segmentBytes)
    const last = shardBytesOf(this.#plan.layout, this.#lastSegmentBytes)
    // A present holder has the last segment, which may be shorter; one that was replaced has it never.
    const bytes = isPresent && shards > 0 ? (shards - 1) * full + last : shards * full
    return { nodeId, shardIndex, shards, bytes }
  }

  #log({ nodeId, shardIndex }: PlacedHolder, error: unknown): void {
    const { code, message } = toEspalierError(error, 'CONNECTION_LOST', 'a holder failed')
    this.#deps.env.log.info('a holder failed while an object was written', {
      nodeId,
      shardIndex,
      code,
      message,
    })
  }
}
