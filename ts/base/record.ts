import { concatBytes, encodeUtf8, equalBytes } from './bytes.ts'
import { CborReader, CborWriter } from './codec.ts'
import type { NodeCrypto } from './env.ts'
import { EspalierError } from './error.ts'
import { keyFromBytes, keyOfNode, nodeIdFromBytes, type Key, type NodeId } from './identity.ts'
import { MAX_LEAVES, merkleTree, rootOf, type MerklePath } from './merkle.ts'

/** What a record says; the number is on the wire. docs/records.cddl has the layout. */
export const RECORD_KINDS = { NODE_AD: 1, DATA_POINTER: 3, REGISTER_POINTER: 4, PROVIDER: 5 } as const

export type RecordKind = keyof typeof RECORD_KINDS

/** Longest canonical body. */
export const MAX_BODY_BYTES = 512
/** Longest body with its proof, encoded: body, six neighbours, an ML-DSA-65 signature and heads. */
export const MAX_RECORD_BYTES = 4_096
/** FIPS 204, ML-DSA-65. */
export const PUBLIC_KEY_BYTES = 1_952
/** FIPS 204, ML-DSA-65. */
export const SIGNATURE_BYTES = 3_309
/** Clocks may differ by this much when issue and expiry are judged. */
export const MAX_SKEW_MS = 5 * 60_000

const ID_CONTEXT = 'espalier 2026-11 node id v1'
const ROOT_LABEL = 'espalier epoch root v1'
const SUBJECT_BYTES = 32

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

interface KindRule {
  readonly keyContext?: string
  /** Whether the records of all owners lie on one key, which then follows from the subject alone. */
  readonly isShared?: true
  readonly maxLifetimeMs: number
}

/** How each kind finds its place in the key space, and how long it may live. */
const RULES: Readonly<Record<RecordKind, KindRule>> = {
  // A node's own record sits on its id, so it has no subject.
  NODE_AD: { maxLifetimeMs: 2 * DAY_MS },
  DATA_POINTER: { keyContext: 'espalier data pointer key v1', maxLifetimeMs: 400 * DAY_MS },
  REGISTER_POINTER: { keyContext: 'espalier register key v1', maxLifetimeMs: 400 * DAY_MS },
  // Who looks for providers of a root does not know them yet. 2 h, and 14 h of extensions.
  PROVIDER: { keyContext: 'espalier provider key v1', isShared: true, maxLifetimeMs: 16 * HOUR_MS },
}

/** What an owner states. */
export interface RecordBody {
  readonly kind: RecordKind
  /**
   * What the record is about, 32 bytes (an object's root, the hash of a register's name); empty for
   * `NODE_AD`. The key follows from it and from the owner ({@link keyOfRecord}), so that no record
   * can be put on a key that is not its owner's; those of kind `PROVIDER` share the key of their root.
   */
  readonly subject: Uint8Array
  readonly owner: NodeId
  /** The higher one wins. */
  readonly sequence: number
  readonly issuedUnixMs: number
  readonly expiresUnixMs: number
  /** The kind's own canonical encoding. */
  readonly payload: Uint8Array
}

/** A body with what proves it. The public key travels apart, once for all records of an owner. */
export interface SignedRecord {
  readonly body: RecordBody
  /** The canonical encoding that was signed. */
  readonly bodyBytes: Uint8Array
  /** The body's place in the batch that one signature covers. */
  readonly path: MerklePath
  /** ML-DSA-65 over the batch's root. */
  readonly signature: Uint8Array
}

/** Signs 1 to 64 bodies of this node with one signature. Throws `INVALID_ARGUMENT`, `VALUE_TOO_LARGE`. */
export function signRecords(crypto: NodeCrypto, bodies: readonly RecordBody[]): SignedRecord[] {
  const owner = nodeIdOf(crypto, crypto.publicKey)
  if (bodies.length < 1 || bodies.length > MAX_LEAVES || bodies.some((body) => body.owner !== owner)) {
    throw new EspalierError('INVALID_ARGUMENT', `a batch is 1 to ${MAX_LEAVES} records of the signing node`)
  }
  const leaves = bodies.map((body) => ({ body, bodyBytes: encodeBody(body) }))
  const { root, paths } = merkleTree(
    crypto,
    leaves.map(({ bodyBytes }) => bodyBytes),
  )
  const signature = crypto.sign(rootStatement({ owner, count: bodies.length, root }))
  return paths.flatMap((path) => {
    const leaf = leaves[path.index]
    return leaf === undefined ? [] : [{ ...leaf, path, signature }]
  })
}

/**
 * What is wrong with a record at `nowUnixMs`, or nothing. Bounds are checked before the signature,
 * which is the expensive part.
 */
export function faultOf(
  crypto: NodeCrypto,
  record: SignedRecord,
  context: { readonly publicKey: Uint8Array; readonly nowUnixMs: number },
): string | undefined {
  const { body } = record
  const lifetimeMs = body.expiresUnixMs - body.issuedUnixMs
  if (lifetimeMs <= 0) return 'it expires before it was issued'
  if (lifetimeMs > RULES[body.kind].maxLifetimeMs) return 'it lives longer than its kind may'
  if (body.issuedUnixMs > context.nowUnixMs + MAX_SKEW_MS) return 'it was issued in the future'
  if (body.expiresUnixMs < context.nowUnixMs - MAX_SKEW_MS) return 'it has expired'
  if (nodeIdOf(crypto, context.publicKey) !== body.owner) return 'the public key is not its owner’s'
  const root = rootOf(crypto, record.bodyBytes, record.path)
  if (root === undefined) return 'its path does not fit its place'
  const statement = rootStatement({ owner: body.owner, count: record.path.count, root })
  return crypto.verify(context.publicKey, statement, record.signature) ? undefined : 'its signature is wrong'
}

/** {@link faultOf} as an error: throws `RECORD_INVALID`. */
export function verifyRecord(
  crypto: NodeCrypto,
  record: SignedRecord,
  context: Parameters<typeof faultOf>[2],
): void {
  const fault = faultOf(crypto, record, context)
  if (fault !== undefined) {
    throw new EspalierError('RECORD_INVALID', `${record.body.kind} of ${record.body.owner}: ${fault}`)
  }
}

/** The NodeId of a public key. */
export function nodeIdOf(crypto: Pick<NodeCrypto, 'deriveKey'>, publicKey: Uint8Array): NodeId {
  return nodeIdFromBytes(crypto.deriveKey(ID_CONTEXT, publicKey))
}

/** Where a record is kept: it follows from kind, subject and (but for `PROVIDER`) owner alone. */
export function keyOfRecord(
  crypto: Pick<NodeCrypto, 'deriveKey'>,
  body: Pick<RecordBody, 'kind' | 'subject' | 'owner'>,
): Key {
  const { keyContext, isShared } = RULES[body.kind]
  if (keyContext !== undefined && isShared) return keyFromBytes(crypto.deriveKey(keyContext, body.subject))
  const owner = keyOfNode(body.owner)
  if (keyContext === undefined) return owner
  return keyFromBytes(crypto.deriveKey(keyContext, concatBytes([body.subject, owner])))
}

/** Record and proof as they travel and are kept. */
export function encodeRecord(record: SignedRecord): Uint8Array {
  const { index, count, siblings } = record.path
  return new CborWriter()
    .array(6)
    .bytes(record.bodyBytes)
    .uint(index)
    .uint(count)
    .bytes(concatBytes(siblings))
    .bytes(record.signature)
    .extensions()
    .finish()
}

/** Reads hostile bytes: well-formed, not yet verified. Throws `PROTOCOL_VIOLATION`. */
export function decodeRecord(bytes: Uint8Array): SignedRecord {
  const reader = new CborReader(bytes, { maxBytes: MAX_RECORD_BYTES, what: 'record' })
  reader.array(6)
  const bodyBytes = reader.bytesUpTo(MAX_BODY_BYTES)
  const index = reader.uint(MAX_LEAVES - 1)
  const count = reader.uint(MAX_LEAVES)
  const joined = reader.bytesUpTo(6 * 32)
  const signature = reader.bytes(SIGNATURE_BYTES)
  reader.extensions()
  reader.end()
  if (joined.byteLength % 32 !== 0) {
    throw new EspalierError('PROTOCOL_VIOLATION', 'record: the path is not a whole number of hashes')
  }
  const siblings = Array.from({ length: joined.byteLength / 32 }, (_, at) =>
    joined.subarray(at * 32, at * 32 + 32),
  )
  return { body: decodeBody(bodyBytes), bodyBytes, path: { index, count, siblings }, signature }
}

/** The canonical body. Throws `VALUE_TOO_LARGE` beyond 512 bytes, `INVALID_ARGUMENT` for a wrong subject. */
export function encodeBody(body: RecordBody): Uint8Array {
  if (body.subject.byteLength !== subjectBytesOf(body.kind)) {
    throw new EspalierError(
      'INVALID_ARGUMENT',
      `the subject of ${body.kind} has ${subjectBytesOf(body.kind)} bytes, not ${body.subject.byteLength}`,
    )
  }
  const encoded = new CborWriter()
    .array(8)
    .uint(RECORD_KINDS[body.kind])
    .bytes(body.subject)
    .bytes(keyOfNode(body.owner))
    .uint(body.sequence)
    .uint(body.issuedUnixMs)
    .uint(body.expiresUnixMs)
    .bytes(body.payload)
    .extensions()
    .finish()
  if (encoded.byteLength > MAX_BODY_BYTES) {
    throw new EspalierError(
      'VALUE_TOO_LARGE',
      `a record body of ${encoded.byteLength} bytes; at most ${MAX_BODY_BYTES} are allowed`,
    )
  }
  return encoded
}

function decodeBody(bytes: Uint8Array): RecordBody {
  const reader = new CborReader(bytes, { maxBytes: MAX_BODY_BYTES, what: 'record body' })
  reader.array(8)
  const kind = kindOf(reader.uint(255))
  const subject = reader.bytes(subjectBytesOf(kind))
  const owner = nodeIdFromBytes(reader.bytes(32))
  const sequence = reader.uint()
  const issuedUnixMs = reader.uint()
  const expiresUnixMs = reader.uint()
  const payload = reader.bytesUpTo(MAX_BODY_BYTES)
  reader.extensions()
  reader.end()
  return { kind, subject, owner, sequence, issuedUnixMs, expiresUnixMs, payload }
}

/** The kind of a number on the wire. Throws `PROTOCOL_VIOLATION`. */
export function kindOf(number: number): RecordKind {
  const kind = KINDS_BY_NUMBER.get(number)
  if (kind === undefined) throw new EspalierError('PROTOCOL_VIOLATION', `no record kind ${number}`)
  return kind
}

/** Whether both carry the same statement; the proofs may differ. */
export function sameBody(a: SignedRecord, b: SignedRecord): boolean {
  return equalBytes(a.bodyBytes, b.bodyBytes)
}

const KINDS_BY_NUMBER: ReadonlyMap<number, RecordKind> = new Map(
  Object.entries(RECORD_KINDS).map(([kind, number]) => [number, kind as RecordKind]),
)

function subjectBytesOf(kind: RecordKind): number {
  return RULES[kind].keyContext === undefined ? 0 : SUBJECT_BYTES
}

/** What is signed: label, zero byte, canonical encoding. */
function rootStatement(root: {
  readonly owner: NodeId
  readonly count: number
  readonly root: Uint8Array
}): Uint8Array {
  const statement = new CborWriter()
    .array(4)
    .bytes(keyOfNode(root.owner))
    .uint(root.count)
    .bytes(root.root)
    .extensions()
    .finish()
  return concatBytes([encodeUtf8(`${ROOT_LABEL}\0`), statement])
}
