import { checkBytes, checkInteger, checkOptions } from './check.ts'
import { native } from './error.ts'
import { DIGEST_BYTES } from './hash.ts'
import { addon } from './load.ts'

/**
 * What a slice can be proved with, beside the bytes themselves.
 *
 * @category Verified streaming
 */
export interface Outboard {
  /** BLAKE3 of the bytes, 32 bytes. */
  readonly root: Uint8Array
  /** The inner nodes of the hash tree down to 16 KiB, 64 bytes each, pre-order; empty up to 16 KiB. */
  readonly nodes: Uint8Array
}

/**
 * A part of some bytes.
 *
 * @category Verified streaming
 */
export interface SliceRange {
  readonly start: number
  /** At least 1, unless there are no bytes at all. */
  readonly length: number
}

/**
 * Hashes `data`, on several threads from 1 MiB on, and keeps the inner nodes. Throws `INVALID_ARGUMENT`.
 *
 * @example
 * ```ts
 * import { extractSlice, outboard, verifySlice } from 'espalier/crypto'
 *
 * const data = Buffer.alloc(100_000, 'an apple tree. ')
 * const { root, nodes } = outboard(data)
 *
 * // Whoever has the root trusts a part of the bytes without the rest.
 * const range = { start: 90_000, length: 13 }
 * const slice = extractSlice(data, nodes, range)
 * const part = verifySlice(root, { ...range, totalBytes: data.byteLength, slice })
 * console.log(Buffer.from(part).toString()) // an apple tree
 * ```
 *
 * @category Verified streaming
 */
export function outboard(data: Uint8Array): Outboard {
  checkBytes('data', data)
  const root = new Uint8Array(DIGEST_BYTES)
  const nodes = new Uint8Array(NODE_BYTES * Math.max(0, Math.ceil(data.byteLength / GROUP_BYTES) - 1))
  native(() => addon().outboard(data, root, nodes))
  return { root, nodes }
}

/**
 * The bytes `start` to `start + length` of `data` with the proof that {@link verifySlice} needs. Throws
 * `INVALID_ARGUMENT` for a range outside `data`, `SIGNATURE_INVALID` when data and nodes don't belong together.
 *
 * @category Verified streaming
 */
export function extractSlice(data: Uint8Array, nodes: Uint8Array, range: SliceRange): Uint8Array {
  // First: a getter of the caller's could take the memory of what was checked away.
  const { start, length } = checkRange(checkOptions('range', range, ['start', 'length']))
  checkBytes('data', data)
  checkBytes('nodes', nodes)
  return native(() => addon().extractSlice(data, nodes, start, length))
}

/**
 * What {@link verifySlice} checks.
 *
 * @category Verified streaming
 */
export interface SliceClaim extends SliceRange {
  /** The size of all the bytes that the root stands for. Only a slice with the last chunk proves it: take it from a trusted place. */
  readonly totalBytes: number
  /** What {@link extractSlice} gave. */
  readonly slice: Uint8Array
}

/**
 * Checks a slice against the root of the whole and returns the bytes of the range. Throws `SIGNATURE_INVALID`
 * for every slice that {@link extractSlice} would not have made, `INVALID_ARGUMENT` for an impossible range.
 *
 * @category Verified streaming
 */
export function verifySlice(root: Uint8Array, claim: SliceClaim): Uint8Array {
  const given = checkOptions('range', claim, ['start', 'length', 'totalBytes', 'slice'])
  checkBytes('root', root, DIGEST_BYTES)
  const { start, length } = checkRange(given)
  const totalBytes = checkInteger('totalBytes', given.totalBytes, 0, Number.MAX_SAFE_INTEGER)
  const slice = checkBytes('slice', given.slice)
  return native(() => addon().verifySlice(root, totalBytes, start, length, slice))
}

function checkRange({ start, length }: Partial<SliceRange>): SliceRange {
  return {
    start: checkInteger('start', start, 0, Number.MAX_SAFE_INTEGER),
    length: checkInteger('length', length, 0, Number.MAX_SAFE_INTEGER),
  }
}

const GROUP_BYTES = 16 * 1024
const NODE_BYTES = 64
