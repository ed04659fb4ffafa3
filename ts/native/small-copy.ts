import { markAsUntransferable } from 'node:worker_threads'

/** The longest copy that shares a buffer with others, in bytes. */
const MAX_SHARED_BYTES = 512
/** As long as `Buffer.poolSize`: the most memory that one kept copy can hold back. */
const POOL_BYTES = 8192

let pool = freshPool()
let used = 0

/**
 * The bytes from `start` to `end` in memory of the caller's own. Short ones share a buffer, as those of
 * `Buffer.allocUnsafe` do: a buffer for each would take longer to make than the request that brought it.
 */
export function smallCopy(bytes: Uint8Array, start: number, end: number): Uint8Array {
  const length = end - start
  if (length > MAX_SHARED_BYTES) return bytes.slice(start, end)
  if (used + length > POOL_BYTES) {
    pool = freshPool()
    used = 0
  }
  const copy = new Uint8Array(pool, used, length)
  used += length
  copy.set(bytes.subarray(start, end))
  return copy
}

/** Whoever transferred it to another thread would take the bytes of others along. */
function freshPool(): ArrayBuffer {
  const fresh = new ArrayBuffer(POOL_BYTES)
  markAsUntransferable(fresh)
  return fresh
}
