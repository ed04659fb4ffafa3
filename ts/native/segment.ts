import { checkBytes, checkInteger, checkOptions, checkSize, invalid } from './check.ts'
import { checkEnough, checkLayout, checkShards, MAX_SHARD_BYTES, type ShardLayout } from './erasure.ts'
import { DIGEST_BYTES } from './hash.ts'
import { addon } from './load.ts'
import { runJob } from './queue.ts'
import { SEAL_KEY_BYTES, TAG_BYTES } from './seal.ts'

/** The largest plaintext of a segment: sealed it has exactly 4 MiB. */
export const MAX_SEGMENT_BYTES = MAX_SHARD_BYTES - TAG_BYTES
/** The most that all shards of one segment may take, in bytes. */
export const MAX_ENCODED_BYTES = 64 * 1024 * 1024

/** What {@link encodeSegment} gives. */
export interface EncodedSegment {
  /** Data shards before parity shards. They share one buffer. */
  readonly shards: Uint8Array[]
  /** BLAKE3 of each shard, 32 bytes. */
  readonly ids: Uint8Array[]
  /** The size of every shard. */
  readonly shardBytes: number
}

/** What {@link encodeSegment} takes. */
export interface SegmentPlaintext {
  /** 32 bytes. The same key must never seal two different plaintexts under one index. */
  readonly key: Uint8Array
  /** Position in the object, a safe integer from 0. */
  readonly index: number
  /** 0 bytes to {@link MAX_SEGMENT_BYTES}. */
  readonly plaintext: Uint8Array
  readonly layout: ShardLayout
}

/** What {@link decodeSegment} takes. */
export interface SegmentShards {
  readonly key: Uint8Array
  readonly index: number
  readonly layout: ShardLayout
  /** The size of the plaintext. */
  readonly plaintextBytes: number
  /** One place for each shard, absent ones `undefined`. Compare each with its id before. */
  readonly shards: readonly (Uint8Array | undefined)[]
}

/** The size of every shard of a segment of `plaintextBytes`. Throws `INVALID_ARGUMENT`. */
export function shardBytesOf(layout: ShardLayout, plaintextBytes: number): number {
  const { dataShards, parityShards } = checkLayout(layout)
  checkInteger('plaintextBytes', plaintextBytes, 0, MAX_SEGMENT_BYTES)
  const size = Math.ceil((plaintextBytes + TAG_BYTES) / dataShards)
  const encoded = size * (dataShards + parityShards)
  if (encoded > MAX_ENCODED_BYTES) {
    throw invalid('layout', `one that takes ${encoded} bytes`, `at most ${MAX_ENCODED_BYTES} are allowed`)
  }
  return size
}

/**
 * Seals, cuts, protects and hashes one segment on the native pool. The input is copied before this returns.
 * Rejects with `INVALID_ARGUMENT`.
 */
export async function encodeSegment(input: SegmentPlaintext): Promise<EncodedSegment> {
  const given = checkOptions('input', input, ['key', 'index', 'plaintext', 'layout'])
  const checkedKey = checkBytes('key', given.key, SEAL_KEY_BYTES)
  const checkedIndex = checkInteger('index', given.index, 0, Number.MAX_SAFE_INTEGER)
  const plaintext = checkBytes('plaintext', given.plaintext, { min: 0, max: MAX_SEGMENT_BYTES })
  const layout = checkLayout(given.layout)
  const { dataShards, parityShards } = layout
  const shardBytes = shardBytesOf(layout, plaintext.byteLength)
  const all = await runJob((job) =>
    addon().encodeSegment(job, checkedKey, checkedIndex, plaintext, dataShards, parityShards),
  )
  const total = dataShards + parityShards
  return {
    shards: split(all, 0, total, shardBytes),
    ids: split(all, total * shardBytes, total, DIGEST_BYTES),
    shardBytes,
  }
}

/**
 * The plaintext from any `dataShards` shards. The input is copied before this returns. Rejects with
 * `SHARDS_MISSING` (details: found, needed), `DECRYPT_FAILED` when the key, the index or a shard is wrong,
 * `INVALID_ARGUMENT` for sizes that don't fit.
 */
export async function decodeSegment(input: SegmentShards): Promise<Uint8Array> {
  const given = checkOptions('input', input, ['key', 'index', 'layout', 'plaintextBytes', 'shards'])
  const checkedKey = checkBytes('key', given.key, SEAL_KEY_BYTES)
  const checkedIndex = checkInteger('index', given.index, 0, Number.MAX_SAFE_INTEGER)
  const layout = checkLayout(given.layout)
  const plaintextBytes = checkInteger('plaintextBytes', given.plaintextBytes, 0, MAX_SEGMENT_BYTES)
  const shardBytes = shardBytesOf(layout, plaintextBytes)
  const shards = checkShards(layout, given.shards)
  shards.forEach((shard, place) => {
    if (shard !== undefined) checkSize(`shards[${place}]`, shard.byteLength, shardBytes)
  })
  checkEnough(layout, shards.filter((shard) => shard !== undefined).length)
  const { dataShards, parityShards } = layout
  return runJob((job) =>
    addon().decodeSegment(job, checkedKey, checkedIndex, plaintextBytes, dataShards, parityShards, shards),
  )
}

function split(all: Uint8Array, from: number, count: number, size: number): Uint8Array[] {
  return Array.from({ length: count }, (_, index) =>
    all.subarray(from + index * size, from + (index + 1) * size),
  )
}
