import { EspalierError } from './error.ts'
import { decodeBase32, encodeBase32 } from './base32.ts'
import { compareBytes } from './bytes.ts'

declare const nodeIdBrand: unique symbol
declare const keyBrand: unique symbol

/**
 * The name of a node: BLAKE3 `derive_key("espalier 2026-11 node id v1", publicKey)` in RFC 4648
 * base32, lower case, unpadded, 52 characters.
 *
 * @category Identity
 */
export type NodeId = string & { readonly [nodeIdBrand]: true }

/** A point of the 256-bit XOR space: 32 bytes. The key of a node is its decoded NodeId. */
export type Key = Uint8Array & { readonly [keyBrand]: true }

/** Bytes in a {@link Key}. */
export const KEY_BYTES = 32
/** Characters in a {@link NodeId}. */
export const NODE_ID_CHARACTERS = 52

/** Keys that are remembered beside their ids come in two generations of at most this many, 2 MB each. */
const MAX_REMEMBERED = 8_192

/** The key of 32 given bytes; the bytes are not copied. Throws `INVALID_ARGUMENT` for another length. */
export function keyFromBytes(bytes: Uint8Array): Key {
  if (bytes.byteLength !== KEY_BYTES) {
    throw new EspalierError('INVALID_ARGUMENT', `a key has ${KEY_BYTES} bytes, not ${bytes.byteLength}`)
  }
  return bytes as Key
}

/** The text form of a node's 32 bytes. */
export function nodeIdFromBytes(bytes: Uint8Array): NodeId {
  return encodeBase32(keyFromBytes(bytes)) as NodeId
}

/** The ids seen lately. Bounded by {@link MAX_REMEMBERED}. */
let latest = new Map<NodeId, Key>()
/** Those seen before; who is seen again moves on. Bounded by {@link MAX_REMEMBERED}. */
let earlier = new Map<NodeId, Key>()

/** The point of the XOR space that a node sits on. The same bytes each time: they are not to be changed. */
export function keyOfNode(id: NodeId): Key {
  const known = latest.get(id)
  if (known !== undefined) return known
  const key = earlier.get(id) ?? (decodeBase32(id) as Key)
  if (latest.size >= MAX_REMEMBERED) {
    earlier = latest
    latest = new Map()
  }
  latest.set(id, key)
  return key
}

/** Whether the key of `a` is smaller than that of `b`. The texts order otherwise: base32 puts digits last. */
export function precedes(a: NodeId, b: NodeId): boolean {
  return compareBytes(keyOfNode(a), keyOfNode(b)) < 0
}

/**
 * Checks text that claims to be a NodeId. Throws `INVALID_ARGUMENT`.
 *
 * @category Identity
 */
export function parseNodeId(text: string): NodeId {
  // A JavaScript caller may pass anything.
  const given: unknown = text
  const isText = typeof given === 'string'
  const bytes = isText && given.length === NODE_ID_CHARACTERS ? decodeBase32(text) : undefined
  if (bytes?.byteLength !== KEY_BYTES) {
    const told = isText ? JSON.stringify(given.slice(0, 64)) : `a ${typeof given}`
    throw new EspalierError(
      'INVALID_ARGUMENT',
      `a node id is ${NODE_ID_CHARACTERS} characters of a-z and 2-7, not ${told}`,
    )
  }
  return text as NodeId
}
