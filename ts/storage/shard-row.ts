import { encodeBase32 } from '../base/base32.ts'
import { checkInstant, invalid } from './checks.ts'
import type { Change, Row, ShardHeader } from './store.ts'

/** Bytes of a shard's id. */
export const SHARD_ID_BYTES = 32
/** The largest shard: one segment. */
export const MAX_SHARD_BYTES = 4 * 1024 * 1024

// Version, size (u32) and expiry (u64), both big-endian. The expiry is a value, not the row's own: a row that
// hid itself would leave its file behind.
const VALUE_BYTES = 1 + 4 + 8
const VERSION = 1

/** The name of a shard's file: its id in base32. */
export function shardName(id: Uint8Array): string {
  if (!(id instanceof Uint8Array) || id.byteLength !== SHARD_ID_BYTES) {
    throw invalid(`a shard id has ${SHARD_ID_BYTES} bytes`)
  }
  return encodeBase32(id)
}

/** Throws `INVALID_ARGUMENT` unless id, size and expiry are within their bounds. */
export function checkHeader({ sizeBytes, expiresUnixMs }: ShardHeader): void {
  if (!Number.isSafeInteger(sizeBytes) || sizeBytes < 0 || sizeBytes > MAX_SHARD_BYTES) {
    throw invalid(`a shard has 0 to ${MAX_SHARD_BYTES} bytes, not ${sizeBytes}`)
  }
  checkInstant(expiresUnixMs)
}

/** The change that makes a shard one of ours. */
export function shardChange({ id, sizeBytes, expiresUnixMs }: ShardHeader): Change {
  const value = new Uint8Array(VALUE_BYTES)
  const view = new DataView(value.buffer)
  view.setUint8(0, VERSION)
  view.setUint32(1, sizeBytes)
  view.setBigUint64(5, BigInt(expiresUnixMs))
  return { table: 'shards', key: id, value }
}

/** What a row says, or `undefined` when this release can't read it. */
export function readShardRow({ key, value }: Row): ShardHeader | undefined {
  if (key.byteLength !== SHARD_ID_BYTES || value.byteLength !== VALUE_BYTES) return undefined
  const view = new DataView(value.buffer, value.byteOffset, value.byteLength)
  const sizeBytes = view.getUint32(1)
  const expiresUnixMs = Number(view.getBigUint64(5))
  if (view.getUint8(0) !== VERSION || sizeBytes > MAX_SHARD_BYTES) return undefined
  return { id: key, sizeBytes, expiresUnixMs }
}
