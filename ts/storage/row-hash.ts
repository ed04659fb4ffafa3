import { encodeUtf8 } from '../base/bytes.ts'
import { hash } from '../native/hash.ts'
import { TABLE_NAMES } from './checks.ts'
import type { Row, TableName } from './store.ts'

/** Bytes of a row's hash on disk: against chance, not against an attacker who can write the file. */
export const ROW_HASH_BYTES = 16

const LABEL = encodeUtf8('espalier row v1')
const HEAD_BYTES = LABEL.byteLength + 1 + 1 + 8 + 1

/**
 * The hash that stands beside a row: BLAKE3, cut to 16 bytes, of label, table number, whether it expires, expiry
 * (u64, big-endian), length of the key, key, value. It covers all that `get` answers and where the row belongs.
 */
export function rowHash(table: TableName, row: Row): Uint8Array {
  const message = new Uint8Array(HEAD_BYTES + row.key.byteLength + row.value.byteLength)
  const view = new DataView(message.buffer)
  message.set(LABEL)
  let at = LABEL.byteLength
  view.setUint8(at, TABLE_NAMES.indexOf(table))
  view.setUint8(at + 1, row.expiresUnixMs === undefined ? 0 : 1)
  view.setBigUint64(at + 2, BigInt(row.expiresUnixMs ?? 0))
  view.setUint8(at + 10, row.key.byteLength)
  at = HEAD_BYTES
  message.set(row.key, at)
  message.set(row.value, at + row.key.byteLength)
  return hash(message).subarray(0, ROW_HASH_BYTES)
}
