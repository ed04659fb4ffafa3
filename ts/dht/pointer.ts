import { CborReader, CborWriter } from '../base/codec.ts'
import { concatBytes } from '../base/bytes.ts'
import { EspalierError } from '../base/error.ts'
import { keyOfNode, nodeIdFromBytes, type NodeId } from '../base/identity.ts'
import { MAX_BODY_BYTES, type RecordBody } from '../base/record.ts'

/** Holders that fit into one record: the shards of the widest layout, 8 + 4. */
export const MAX_HOLDERS = 12

/** Where an object's shards are. */
export interface ObjectPointer {
  /** BLAKE3 root of the object's manifest, 32 bytes. */
  readonly root: Uint8Array
  /** At most {@link MAX_HOLDERS}, by shard index. */
  readonly holders: readonly NodeId[]
  readonly expiresUnixMs: number
}

/** The payload of a `DATA_POINTER`. Throws `INVALID_ARGUMENT` for more holders than fit. */
export function encodePointer(pointer: ObjectPointer): Uint8Array {
  if (pointer.holders.length > MAX_HOLDERS) {
    throw new EspalierError(
      'INVALID_ARGUMENT',
      `a pointer names at most ${MAX_HOLDERS} holders, not ${pointer.holders.length}`,
    )
  }
  // One byte string and no list: twelve ids have to fit into 512 bytes with everything else.
  return new CborWriter()
    .array(2)
    .bytes(concatBytes(pointer.holders.map(keyOfNode)))
    .extensions()
    .finish()
}

/** The pointer in a verified body. Throws `PROTOCOL_VIOLATION`. */
export function decodePointer(body: RecordBody): ObjectPointer {
  const reader = new CborReader(body.payload, { maxBytes: MAX_BODY_BYTES, what: 'pointer' })
  reader.array(2)
  const joined = reader.bytesUpTo(MAX_HOLDERS * 32)
  reader.extensions()
  reader.end()
  if (joined.byteLength % 32 !== 0) {
    throw new EspalierError('PROTOCOL_VIOLATION', 'pointer: not a whole number of holders')
  }
  const holders = Array.from({ length: joined.byteLength / 32 }, (_, at) =>
    nodeIdFromBytes(joined.subarray(at * 32, at * 32 + 32)),
  )
  return { root: body.subject, holders, expiresUnixMs: body.expiresUnixMs }
}
