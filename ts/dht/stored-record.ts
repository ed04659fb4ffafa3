import { CborReader, CborWriter } from '../base/codec.ts'
import { keyOfNode, nodeIdFromBytes, type NodeId } from '../base/identity.ts'
import { MAX_RECORD_BYTES, decodeRecord, encodeRecord, type SignedRecord } from '../base/record.ts'

/** A record on disk, with the peer that brought it. */
export interface StoredRecord {
  readonly record: SignedRecord
  readonly source: NodeId
}

export function encodeStored({ record, source }: StoredRecord): Uint8Array {
  return new CborWriter().array(3).bytes(encodeRecord(record)).bytes(keyOfNode(source)).extensions().finish()
}

/** Nothing for a row that another version wrote. */
export function decodeStored(value: Uint8Array): StoredRecord | undefined {
  try {
    const reader = new CborReader(value, { maxBytes: MAX_RECORD_BYTES + 64, what: 'stored record' })
    reader.array(3)
    const record = decodeRecord(reader.bytesUpTo(MAX_RECORD_BYTES))
    const source = nodeIdFromBytes(reader.bytes(32))
    reader.extensions()
    reader.end()
    return { record, source }
  } catch {
    return undefined
  }
}
