import { compareBytes, encodeUtf8 } from '../base/bytes.ts'
import { CborReader, CborWriter } from '../base/codec.ts'
import type { NodeCrypto } from '../base/env.ts'
import { EspalierError } from '../base/error.ts'
import { MAX_BODY_BYTES, type RecordBody, type SignedRecord } from '../base/record.ts'

/** Longest value that fits into a register. */
export const MAX_VALUE_BYTES = 256
/** Longest name of a register, in UTF-8. */
export const MAX_NAME_BYTES = 256

/**
 * One version of a named value.
 *
 * @category Named values
 */
export interface RegisterVersion {
  /** At most 256 bytes. */
  readonly value: Uint8Array
  /** Counts up with every change. */
  readonly sequence: number
  /** When the owner wrote it, by its own clock. */
  readonly issuedUnixMs: number
}

const NAME_CONTEXT = 'espalier register name v1'

/** The subject of a register: its name, hashed. Throws `INVALID_ARGUMENT` for an empty or overlong name. */
export function subjectOfName(crypto: Pick<NodeCrypto, 'deriveKey'>, name: string): Uint8Array {
  const encoded = encodeUtf8(name)
  if (encoded.byteLength < 1 || encoded.byteLength > MAX_NAME_BYTES) {
    throw new EspalierError(
      'INVALID_ARGUMENT',
      `a register's name has 1 to ${MAX_NAME_BYTES} bytes of UTF-8, not ${encoded.byteLength}`,
    )
  }
  return crypto.deriveKey(NAME_CONTEXT, encoded)
}

/** The payload of a `REGISTER_POINTER`. Throws `VALUE_TOO_LARGE`. */
export function encodeRegister(value: Uint8Array): Uint8Array {
  if (value.byteLength > MAX_VALUE_BYTES) {
    throw new EspalierError(
      'VALUE_TOO_LARGE',
      `a register holds at most ${MAX_VALUE_BYTES} bytes, not ${value.byteLength}; put an object and store its reference`,
    )
  }
  return new CborWriter().array(2).bytes(value).extensions().finish()
}

/** The value in a verified body. Throws `PROTOCOL_VIOLATION`. */
export function decodeRegister(body: RecordBody): Uint8Array {
  const reader = new CborReader(body.payload, { maxBytes: MAX_BODY_BYTES, what: 'register' })
  reader.array(2)
  const value = reader.bytesUpTo(MAX_VALUE_BYTES)
  reader.extensions()
  reader.end()
  return value
}

/** What a verified record says. Throws `PROTOCOL_VIOLATION`. */
export function versionOf({ body }: SignedRecord): RegisterVersion {
  return { value: decodeRegister(body), sequence: body.sequence, issuedUnixMs: body.issuedUnixMs }
}

/**
 * Orders records of one register, the one that wins first: the higher sequence, and of one sequence the lower hash of
 * the body. 0 for the same body.
 */
export function compareVersions(crypto: Pick<NodeCrypto, 'hash'>, a: SignedRecord, b: SignedRecord): number {
  if (a.body.sequence !== b.body.sequence) return b.body.sequence - a.body.sequence
  return compareBytes(crypto.hash(a.bodyBytes), crypto.hash(b.bodyBytes))
}
