import { concatBytes, encodeUtf8 } from '../base/bytes.ts'
import { CborReader, CborWriter } from '../base/codec.ts'
import type { NodeCrypto } from '../base/env.ts'
import { EspalierError } from '../base/error.ts'
import { keyOfNode, nodeIdFromBytes, type NodeId } from '../base/identity.ts'
import { nodeIdOf } from '../base/record.ts'
import { totalShards, type ShardLayout } from '../placement/layout.ts'
import { ID_BYTES, SEGMENTS_PER_CHUNK } from './segment-table.ts'

/** Which node keeps which shard of every segment. */
export interface PlacedHolder {
  readonly nodeId: NodeId
  readonly shardIndex: number
}

/** All that is needed to find, check and put together an object; whoever lacks the read key still cannot read it. */
export interface Manifest {
  /** The random id that the holders were drawn by, 32 bytes. */
  readonly objectId: Uint8Array
  readonly owner: NodeId
  readonly sizeBytes: number
  /** Plaintext of every segment but the last. */
  readonly segmentBytes: number
  readonly layout: ShardLayout
  readonly expiresUnixMs: number
  /** More than one holder for an index when the first one failed in the middle of the write. */
  readonly holders: readonly PlacedHolder[]
  /** Shard ids of all segments when they are few, else the ids of the table chunks. */
  readonly table:
    | { readonly kind: 'inline'; readonly ids: Uint8Array }
    | { readonly kind: 'chunks'; readonly ids: readonly Uint8Array[] }
}

/** The most bytes of a manifest. */
export const MAX_MANIFEST_BYTES = 65_536
/** Up to here shard ids stand in the manifest itself; leaves room for key, signature and holders. */
export const MAX_INLINE_IDS_BYTES = 49_152
/** Most table chunks that a manifest names: about 5.5 TiB of object. */
export const MAX_CHUNKS = 1400
/** Every holder of the widest layout may be replaced once. */
export const MAX_HOLDERS = 64

/** The least plaintext of a full segment. */
export const MIN_SEGMENT_BYTES = 4096

const VERSION = 1
const LABEL = encodeUtf8('espalier object manifest v1\0')
const MAX_SHARDS = 32
/** As `MAX_SEGMENT_BYTES` of the native coder; a decoder must not ask the addon for a constant. */
const SEAL_BYTES = 16
const MAX_SEGMENT_BYTES = 4_194_304 - SEAL_BYTES
/** All shards of one segment; as in the native coder. */
const MAX_ENCODED_BYTES = 67_108_864
// ML-DSA-65 (FIPS 204 table 2): 1,952 and 3,309 bytes; the simulator's stub signer has shorter ones.
const MAX_PUBLIC_KEY_BYTES = 1952
const MAX_SIGNATURE_BYTES = 3309

/** Number of segments; an empty object has one, so that it lives and dies with its holders like any other. */
export function segmentCount(object: Pick<Manifest, 'sizeBytes' | 'segmentBytes'>): number {
  return Math.max(1, Math.ceil(object.sizeBytes / object.segmentBytes))
}

/** Plaintext bytes of one segment. */
export function segmentSize(object: Pick<Manifest, 'sizeBytes' | 'segmentBytes'>, index: number): number {
  return Math.min(object.segmentBytes, object.sizeBytes - index * object.segmentBytes)
}

/** The signed bytes whose hash is the object's root. Throws `VALUE_TOO_LARGE`. */
export function encodeManifest(manifest: Manifest, crypto: NodeCrypto): Uint8Array {
  if (manifest.table.kind === 'chunks' && manifest.table.ids.length > MAX_CHUNKS) throw tooManySegments()
  const body = encodeBody(manifest, crypto.publicKey)
  const signature = crypto.sign(concatBytes([LABEL, body]))
  const bytes = new CborWriter().array(3).bytes(body).bytes(signature).extensions().finish()
  if (bytes.byteLength > MAX_MANIFEST_BYTES) throw tooManySegments()
  return bytes
}

/**
 * Decodes bytes whose hash was already compared with the root, and checks that `owner` signed them.
 * Throws `RECORD_INVALID` for a manifest that is malformed or another owner's, `SIGNATURE_INVALID`.
 */
export function decodeManifest(
  bytes: Uint8Array,
  expected: { readonly owner: NodeId; readonly crypto: NodeCrypto },
): Manifest {
  const { body, signature } = readEnvelope(bytes)
  const { manifest, publicKey } = readBody(body)
  if (manifest.owner !== expected.owner) throw invalid('it names another owner than the reference')
  const signer = nodeIdOf(expected.crypto, publicKey)
  if (signer !== manifest.owner) throw invalid('its public key is not its owner’s')
  if (!expected.crypto.verify(publicKey, concatBytes([LABEL, body]), signature)) {
    throw new EspalierError('SIGNATURE_INVALID', 'the manifest is not signed by its owner')
  }
  return manifest
}

/** `VALUE_TOO_LARGE` of an object beyond {@link MAX_CHUNKS}. */
export function tooManySegments(): EspalierError {
  return new EspalierError('VALUE_TOO_LARGE', 'the object has more segments than a manifest can name', {
    details: { maxSegments: MAX_CHUNKS * SEGMENTS_PER_CHUNK },
  })
}

function encodeBody(manifest: Manifest, publicKey: Uint8Array): Uint8Array {
  const writer = new CborWriter()
    .array(13)
    .uint(VERSION)
    .bytes(manifest.objectId)
    .bytes(keyOfNode(manifest.owner))
    .bytes(publicKey)
    .uint(manifest.sizeBytes)
    .uint(manifest.segmentBytes)
    .uint(manifest.layout.dataShards)
    .uint(manifest.layout.parityShards)
    .uint(manifest.expiresUnixMs)
    .array(manifest.holders.length)
  for (const holder of manifest.holders) {
    writer.array(2).bytes(keyOfNode(holder.nodeId)).uint(holder.shardIndex)
  }
  writer.bytes(manifest.table.kind === 'inline' ? manifest.table.ids : new Uint8Array(0))
  const chunks = manifest.table.kind === 'chunks' ? manifest.table.ids : []
  writer.array(chunks.length)
  for (const id of chunks) writer.bytes(id)
  return writer.extensions().finish()
}

function readEnvelope(bytes: Uint8Array): { readonly body: Uint8Array; readonly signature: Uint8Array } {
  return wellFormed(() => {
    const reader = new CborReader(bytes, { maxBytes: MAX_MANIFEST_BYTES, what: 'manifest' })
    reader.array(3)
    const body = reader.bytesUpTo(MAX_MANIFEST_BYTES)
    const signature = reader.bytesUpTo(MAX_SIGNATURE_BYTES)
    reader.extensions()
    reader.end()
    return { body, signature }
  })
}

function readBody(body: Uint8Array): { readonly manifest: Manifest; readonly publicKey: Uint8Array } {
  const fields = wellFormed(() => {
    const reader = new CborReader(body, { maxBytes: MAX_MANIFEST_BYTES, what: 'manifest body' })
    reader.array(13)
    if (reader.uint() !== VERSION) throw invalid('its version is not known')
    const objectId = reader.bytes(ID_BYTES)
    const owner = nodeIdFromBytes(reader.bytes(ID_BYTES))
    const publicKey = reader.bytesUpTo(MAX_PUBLIC_KEY_BYTES)
    const sizeBytes = reader.uint()
    const segmentBytes = reader.uint(MAX_SEGMENT_BYTES)
    const layout = { dataShards: reader.uint(MAX_SHARDS), parityShards: reader.uint(MAX_SHARDS) }
    const expiresUnixMs = reader.uint()
    const holders = Array.from({ length: reader.arrayUpTo(MAX_HOLDERS) }, () => readHolder(reader))
    const inline = reader.bytesUpTo(MAX_INLINE_IDS_BYTES)
    const chunks = Array.from({ length: reader.arrayUpTo(MAX_CHUNKS) }, () => reader.bytes(ID_BYTES))
    reader.extensions()
    reader.end()
    const table: Manifest['table'] =
      chunks.length > 0 ? { kind: 'chunks', ids: chunks } : { kind: 'inline', ids: inline }
    if (chunks.length > 0 && inline.byteLength > 0) throw invalid('it has two segment tables')
    const manifest = { objectId, owner, sizeBytes, segmentBytes, layout, expiresUnixMs, holders, table }
    return { manifest, publicKey }
  })
  checkSizes(fields.manifest)
  return fields
}

function readHolder(reader: CborReader): PlacedHolder {
  reader.array(2)
  return { nodeId: nodeIdFromBytes(reader.bytes(ID_BYTES)), shardIndex: reader.uint(MAX_SHARDS - 1) }
}

/** Sizes must fit each other: everything that is allocated later follows from them. */
function checkSizes(manifest: Manifest): void {
  const { layout, table, segmentBytes, holders } = manifest
  const shards = totalShards(layout)
  if (layout.dataShards < 1 || shards > MAX_SHARDS) throw invalid('its layout is out of range')
  // Tiny segments would let a small manifest ask for millions of shards.
  if (segmentBytes < MIN_SEGMENT_BYTES) throw invalid('its segments are too small')
  if (shards * Math.ceil((segmentBytes + SEAL_BYTES) / layout.dataShards) > MAX_ENCODED_BYTES) {
    throw invalid('its segments are too large for its layout')
  }
  const segments = segmentCount(manifest)
  const fits =
    table.kind === 'inline'
      ? table.ids.byteLength === segments * shards * ID_BYTES
      : table.ids.length === Math.ceil(segments / SEGMENTS_PER_CHUNK)
  if (!fits) throw invalid('its segment table does not fit its size')
  const places = new Set(holders.map(({ nodeId, shardIndex }) => `${nodeId} ${shardIndex}`))
  if (places.size !== holders.length || holders.some(({ shardIndex }) => shardIndex >= shards)) {
    throw invalid('its holders do not fit its layout')
  }
}

function wellFormed<Result>(read: () => Result): Result {
  try {
    return read()
  } catch (error) {
    if (error instanceof EspalierError && error.code === 'RECORD_INVALID') throw error
    throw new EspalierError('RECORD_INVALID', 'the manifest is not well formed', { cause: error })
  }
}

function invalid(why: string): EspalierError {
  return new EspalierError('RECORD_INVALID', `the manifest is not valid: ${why}`)
}
