import { CborReader, CborWriter } from '../base/codec.ts'
import { concatBytes } from '../base/bytes.ts'
import { EspalierError } from '../base/error.ts'
import { totalShards, type ShardLayout } from '../placement/layout.ts'

/** Bytes in the name of a shard, a table chunk or a manifest: BLAKE3. */
export const ID_BYTES = 32
/** Segments whose shard ids share one table chunk: 384 KiB for 8 + 4, fetched once for 4 GiB of object. */
export const SEGMENTS_PER_CHUNK = 1024

const VERSION = 1
/** Version, lengths and the empty extension map around the ids. */
const OVERHEAD_BYTES = 64

/** The most bytes of an encoded chunk. */
export function maxChunkBytes(layout: ShardLayout): number {
  return SEGMENTS_PER_CHUNK * totalShards(layout) * ID_BYTES + OVERHEAD_BYTES
}

/** A content-addressed run of shard ids, all shards of a segment before those of the next. */
export function encodeChunk(ids: Uint8Array): Uint8Array {
  return new CborWriter().array(3).uint(VERSION).bytes(ids).extensions().finish()
}

/** Throws `RECORD_INVALID` unless the chunk holds exactly the ids of `segments` segments. */
export function decodeChunk(
  bytes: Uint8Array,
  expected: { readonly layout: ShardLayout; readonly segments: number },
): ShardIds {
  try {
    const reader = new CborReader(bytes, { maxBytes: maxChunkBytes(expected.layout), what: 'segment table' })
    reader.array(3)
    if (reader.uint() !== VERSION) throw new EspalierError('RECORD_INVALID', 'its version is not known')
    const ids = reader.bytes(expected.segments * totalShards(expected.layout) * ID_BYTES)
    reader.extensions()
    reader.end()
    return new ShardIds(ids, expected.layout)
  } catch (error) {
    throw new EspalierError('RECORD_INVALID', 'the segment table is not well formed', { cause: error })
  }
}

/** The shard ids of consecutive segments. */
export class ShardIds {
  readonly #ids: Uint8Array
  readonly #shards: number

  constructor(ids: Uint8Array, layout: ShardLayout) {
    this.#ids = ids
    this.#shards = totalShards(layout)
  }

  /** The id of each shard of the segment at `position` in this run. */
  of(position: number): Uint8Array[] {
    const start = position * this.#shards * ID_BYTES
    return Array.from({ length: this.#shards }, (_, shard) =>
      this.#ids.subarray(start + shard * ID_BYTES, start + (shard + 1) * ID_BYTES),
    )
  }
}

/** Collects shard ids in segment order and says when a chunk is full. */
export class TableBuilder {
  /** Bounded by SEGMENTS_PER_CHUNK. */
  #pending: Uint8Array[] = []

  /** Adds the ids of the next segment; answers the encoded chunk that this one filled, if it did. */
  add(ids: readonly Uint8Array[]): Uint8Array | undefined {
    this.#pending.push(concatBytes(ids))
    return this.#pending.length === SEGMENTS_PER_CHUNK ? this.takeChunk() : undefined
  }

  /** The ids that are in no chunk yet. */
  rest(): Uint8Array {
    return concatBytes(this.#pending)
  }

  /** Encodes what is pending as a chunk and starts the next one. */
  takeChunk(): Uint8Array {
    const chunk = encodeChunk(this.rest())
    this.#pending = []
    return chunk
  }
}
