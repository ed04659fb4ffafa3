import { concatBytes, equalBytes } from '../base/bytes.ts'
import type { NodeCrypto } from '../base/env.ts'
import { EspalierError } from '../base/error.ts'
import { keyOfNode, type NodeId } from '../base/identity.ts'
import { decodeRun, encodeRun } from './rice.ts'
import { sipHash, sipKey, type SipKey } from './siphash.ts'

/** Bytes of a root and of the id of one of its children. */
export const ID_BYTES = 32
/** Ids in every segment but the last. */
export const SEGMENT_IDS = 4_096
/** Most ids of one summary: 256 segments, about 1.6 MB. */
export const MAX_SUMMARY_IDS = 1_048_576
/** Longest segment: more than twice what chance makes of 4,096 ids under the largest parameter. */
export const MAX_SEGMENT_BYTES = 16_384
/** False positives of 2⁻¹¹ for each question. */
export const DEFAULT_PARAMETER = 11
export const MIN_PARAMETER = 4
export const MAX_PARAMETER = 12
/** What the index says of one segment: its first value and its hash. */
export const INDEX_ENTRY_BYTES = 36

const KEY_CONTEXT = 'espalier provider summary key v1'
const HASH_CONTEXT = 'espalier provider summary v1'

/** Whose summary it is: every set hashes its ids under a key of its own. */
export interface SummaryName {
  /** 32 bytes. */
  readonly root: Uint8Array
  readonly provider: NodeId
  readonly epoch: number
}

/** What has to be known before a byte of a summary can be read. */
export interface SummaryShape {
  /** Ids in the set, 1 to {@link MAX_SUMMARY_IDS}. */
  readonly count: number
  /** One false positive in 2^parameter questions. */
  readonly parameter: number
}

/** A set of ids as it is stored and handed out. */
export interface EncodedSummary {
  readonly shape: SummaryShape
  readonly segments: readonly Uint8Array[]
  /** {@link INDEX_ENTRY_BYTES} for each segment. */
  readonly index: Uint8Array
  /** Hash of the index: what the record of the provider states. */
  readonly hash: Uint8Array
}

/** How many segments a summary of `count` ids has. */
export function segmentsOf(count: number): number {
  return Math.ceil(count / SEGMENT_IDS)
}

/** Ids in the segment at `position`. */
export function idsInSegment({ count }: SummaryShape, position: number): number {
  return Math.min(SEGMENT_IDS, count - position * SEGMENT_IDS)
}

/** The key under which one summary hashes ids. */
export function summaryKey(crypto: Pick<NodeCrypto, 'deriveKey'>, name: SummaryName): SipKey {
  const epoch = new Uint8Array(8)
  new DataView(epoch.buffer).setBigUint64(0, BigInt(name.epoch))
  return sipKey(crypto.deriveKey(KEY_CONTEXT, concatBytes([name.root, epoch, keyOfNode(name.provider)])))
}

const scratch = new Uint32Array(2)

/** The number from 0 to count·2^parameter − 1 that stands for an id of 32 bytes in a set. */
export function valueOf(id: Uint8Array, key: SipKey, shape: SummaryShape): number {
  sipHash(key, id, scratch)
  return valueOfHash(scratch, shape)
}

/** The same, of both halves of the hash. */
export function valueOfHash(hash: Uint32Array, { count, parameter }: SummaryShape): number {
  // The upper half says which of `count` stretches, the lower one the place in it: every product is exact.
  const stretch = Math.floor(((hash[0] ?? 0) * count) / 0x1_0000_0000)
  return stretch * 2 ** parameter + ((hash[1] ?? 0) >>> (32 - parameter))
}

/**
 * The coded set of `ids`, which has to be free of duplicates. Throws `INVALID_ARGUMENT` for none, for too many
 * and for an id of another length than 32 bytes.
 */
export function encodeSummary(
  crypto: Pick<NodeCrypto, 'deriveKey' | 'hash'>,
  ids: readonly Uint8Array[],
  options: SummaryName & { readonly parameter?: number },
): EncodedSummary {
  const { parameter = DEFAULT_PARAMETER } = options
  const shape = { count: ids.length, parameter }
  if (!isShape(shape)) {
    throw new EspalierError(
      'INVALID_ARGUMENT',
      `a summary has 1 to ${MAX_SUMMARY_IDS} ids, not ${ids.length}`,
    )
  }
  const key = summaryKey(crypto, options)
  const values = new Uint32Array(ids.length)
  for (const [at, id] of ids.entries()) {
    if (id.byteLength !== ID_BYTES) {
      throw new EspalierError('INVALID_ARGUMENT', `an id has ${ID_BYTES} bytes, not ${id.byteLength}`)
    }
    values[at] = valueOf(id, key, shape)
  }
  values.sort()
  const segments = Array.from({ length: segmentsOf(ids.length) }, (_, position) => {
    const start = position * SEGMENT_IDS
    const end = start + idsInSegment(shape, position)
    return encodeRun(values, { start, end, lowBits: parameter - 1 })
  })
  // Chance never does this; ids that somebody made for it get another key with the next epoch.
  if (segments.some(({ byteLength }) => byteLength > MAX_SEGMENT_BYTES)) {
    throw new EspalierError('INVALID_STATE', 'the ids lie so unevenly that a segment is too long')
  }
  const index = indexOf(crypto, segments)
  return { shape, segments, index, hash: hashOfIndex(crypto, index) }
}

/** Whether numbers that somebody stated can be those of a summary. */
export function isShape({ count, parameter }: SummaryShape): boolean {
  return (
    Number.isSafeInteger(count) &&
    count >= 1 &&
    count <= MAX_SUMMARY_IDS &&
    Number.isSafeInteger(parameter) &&
    parameter >= MIN_PARAMETER &&
    parameter <= MAX_PARAMETER
  )
}

/** The values of one segment, ascending. Throws `PROTOCOL_VIOLATION` unless the bytes are their one encoding. */
export function decodeSegment(bytes: Uint8Array, shape: SummaryShape, position: number): Uint32Array {
  const count = idsInSegment(shape, position)
  if (!isShape(shape) || count < 1 || bytes.byteLength > MAX_SEGMENT_BYTES) {
    throw new EspalierError('PROTOCOL_VIOLATION', 'coded set: a segment that cannot be')
  }
  // A gap has a mean of 2^parameter; one low bit less than that is the shortest Rice code for it.
  const lowBits = shape.parameter - 1
  return decodeRun(bytes, { count, lowBits, limit: shape.count * 2 ** shape.parameter })
}

/** First value and hash of every segment. */
export function indexOf(crypto: Pick<NodeCrypto, 'hash'>, segments: readonly Uint8Array[]): Uint8Array {
  return concatBytes(segments.flatMap((segment) => [segment.subarray(0, 4), crypto.hash(segment)]))
}

/** What a record states about its summary. */
export function hashOfIndex(crypto: Pick<NodeCrypto, 'deriveKey'>, index: Uint8Array): Uint8Array {
  return crypto.deriveKey(HASH_CONTEXT, index)
}

/** Whether `segment` is the one that the index has at `position`. */
export function fitsIndex(
  crypto: Pick<NodeCrypto, 'hash'>,
  index: Uint8Array,
  { segment, position }: { readonly segment: Uint8Array; readonly position: number },
): boolean {
  const at = position * INDEX_ENTRY_BYTES
  const entry = index.subarray(at, at + INDEX_ENTRY_BYTES)
  return equalBytes(entry, concatBytes([segment.subarray(0, 4), crypto.hash(segment)]))
}

/** The first value of a segment as the index tells it. */
export function firstValueOf(index: Uint8Array, position: number): number {
  return new DataView(index.buffer, index.byteOffset, index.byteLength).getUint32(
    position * INDEX_ENTRY_BYTES,
  )
}
