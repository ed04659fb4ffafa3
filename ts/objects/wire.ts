import { CborReader, CborWriter } from '../base/codec.ts'
import { EspalierError, isErrorCode, type ErrorCode } from '../base/error.ts'
import type { StreamType } from '../net/message.ts'
import type { ShardHeader } from '../storage/store.ts'
import { ID_BYTES } from './segment-table.ts'

// Both kinds of stream carry any number of exchanges, answered in the order in which they were asked. A frame
// is its length (two bytes, big-endian) and one CBOR array; the bytes of a shard follow their frame raw.

/** The opener sends header and bytes of each shard, the holder answers each one after it is on disk. */
export const PUT_SHARDS: StreamType = { name: 'objects.putShards', protocol: 0x0200, trafficClass: 'bulk' }
/** The opener names shards, the holder answers each with size and bytes, or with a code. */
export const GET_SHARDS: StreamType = { name: 'objects.getShards', protocol: 0x0201, trafficClass: 'bulk' }

/** The largest shard, table chunk or manifest: 4 MiB. */
export const MAX_SHARD_BYTES = 4_194_304
/** The largest frame without its length. */
export const MAX_FRAME_BYTES = 512
/** Bytes of the length before a frame. */
export const FRAME_LENGTH_BYTES = 2
/** Codes of the reset of a stream. */
export const RESET = { done: 0, violation: 1, busy: 2, stalled: 3 } as const

const MAX_CODE_BYTES = 32

/** What a reader asks for. */
export interface ShardRequest {
  readonly id: Uint8Array
  /** A longer shard is answered `VALUE_TOO_LARGE`, so that a reader never has to take more than it asked for. */
  readonly maxBytes: number
}

/** What a holder answers: the size of the bytes that follow, or why there are none. */
export type ShardAnswer = { readonly sizeBytes: number } | { readonly code: ErrorCode }

export function encodePutHeader(header: ShardHeader): Uint8Array {
  return frame(
    new CborWriter()
      .array(4)
      .bytes(header.id)
      .uint(header.sizeBytes)
      .uint(header.expiresUnixMs)
      .extensions()
      .finish(),
  )
}

/** Throws `PROTOCOL_VIOLATION`. */
export function decodePutHeader(bytes: Uint8Array): ShardHeader {
  const reader = new CborReader(bytes, { maxBytes: MAX_FRAME_BYTES, what: PUT_SHARDS.name })
  reader.array(4)
  const id = reader.bytes(ID_BYTES)
  const sizeBytes = reader.uint(MAX_SHARD_BYTES)
  const expiresUnixMs = reader.uint()
  reader.extensions()
  reader.end()
  return { id, sizeBytes, expiresUnixMs }
}

/** The answer to one shard; without a code it is stored. */
export function encodePutAnswer(code?: ErrorCode): Uint8Array {
  return frame(
    new CborWriter()
      .array(2)
      .text(code ?? '')
      .extensions()
      .finish(),
  )
}

/** The code of a refusal, nothing for a stored shard. Throws `PROTOCOL_VIOLATION`. */
export function decodePutAnswer(bytes: Uint8Array): ErrorCode | undefined {
  const reader = new CborReader(bytes, { maxBytes: MAX_FRAME_BYTES, what: PUT_SHARDS.name })
  reader.array(2)
  const code = reader.text(MAX_CODE_BYTES)
  reader.extensions()
  reader.end()
  return code === '' ? undefined : knownCode(code)
}

export function encodeGetRequest(request: ShardRequest): Uint8Array {
  return frame(new CborWriter().array(3).bytes(request.id).uint(request.maxBytes).extensions().finish())
}

/** Throws `PROTOCOL_VIOLATION`. */
export function decodeGetRequest(bytes: Uint8Array): ShardRequest {
  const reader = new CborReader(bytes, { maxBytes: MAX_FRAME_BYTES, what: GET_SHARDS.name })
  reader.array(3)
  const id = reader.bytes(ID_BYTES)
  const maxBytes = reader.uint(MAX_SHARD_BYTES)
  reader.extensions()
  reader.end()
  return { id, maxBytes }
}

export function encodeGetAnswer(answer: ShardAnswer): Uint8Array {
  const [code, sizeBytes] = 'code' in answer ? [answer.code, 0] : ['', answer.sizeBytes]
  return frame(new CborWriter().array(3).text(code).uint(sizeBytes).extensions().finish())
}

/** Throws `PROTOCOL_VIOLATION`. */
export function decodeGetAnswer(bytes: Uint8Array): ShardAnswer {
  const reader = new CborReader(bytes, { maxBytes: MAX_FRAME_BYTES, what: GET_SHARDS.name })
  reader.array(3)
  const code = reader.text(MAX_CODE_BYTES)
  const sizeBytes = reader.uint(MAX_SHARD_BYTES)
  reader.extensions()
  reader.end()
  if (code === '') return { sizeBytes }
  if (sizeBytes !== 0) throw new EspalierError('PROTOCOL_VIOLATION', 'a refusal with bytes behind it')
  return { code: knownCode(code) }
}

function knownCode(code: string): ErrorCode {
  // A later version may know more codes; the refusal stands all the same.
  return isErrorCode(code) ? code : 'PEER_REFUSED'
}

function frame(body: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(FRAME_LENGTH_BYTES + body.byteLength)
  bytes[0] = body.byteLength >>> 8
  bytes[1] = body.byteLength & 255
  bytes.set(body, FRAME_LENGTH_BYTES)
  return bytes
}
