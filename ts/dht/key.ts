import { KEY_BYTES, keyFromBytes, type Key, type NodeId } from '../base/identity.ts'

/** Bits of a key: as many buckets as a table can have. */
export const KEY_BITS = KEY_BYTES * 8

/** Which of two keys is nearer to `target` in the XOR metric: negative when `a` is, 0 when they are the same. */
export function compareDistance(
  target: Key,
  { a, b }: { readonly a: Uint8Array; readonly b: Uint8Array },
): number {
  for (let at = 0; at < KEY_BYTES; at += 1) {
    const mask = target[at] ?? 0
    const difference = ((a[at] ?? 0) ^ mask) - ((b[at] ?? 0) ^ mask)
    if (difference !== 0) return difference
  }
  return 0
}

/** Leading bits that both keys share: 0 to 256. */
export function commonPrefixBits(a: Key, b: Key): number {
  for (let at = 0; at < KEY_BYTES; at += 1) {
    const difference = (a[at] ?? 0) ^ (b[at] ?? 0)
    if (difference !== 0) return at * 8 + Math.clz32(difference) - 24
  }
  return KEY_BITS
}

/** A key that shares exactly `prefixBits` leading bits with `own`; the rest comes from `random` (32 bytes). */
export function keyInBucket(
  own: Key,
  options: { readonly prefixBits: number; readonly random: Uint8Array },
): Key {
  const { prefixBits, random } = options
  const key = keyFromBytes(Uint8Array.from(random))
  const whole = prefixBits >> 3
  key.set(own.subarray(0, whole))
  const bit = prefixBits & 7
  const keep = (0xff << (8 - bit)) & 0xff
  const flip = 0x80 >> bit
  const mine = own[whole] ?? 0
  key[whole] = (mine & keep) | (~mine & flip) | ((random[whole] ?? 0) & ~keep & ~flip & 0xff)
  return key
}

/**
 * The first 64 bits of a key as two words: enough to order all keys but those that were made to collide,
 * without 32 bytes for each contact.
 */
export interface KeyHead {
  /** Bits 0 to 31, as a signed integer. */
  readonly high: number
  /** Bits 32 to 63, as a signed integer. */
  readonly low: number
}

export function headOfKey(key: Key): KeyHead {
  return { high: wordAt(key, 0), low: wordAt(key, 4) }
}

/** The head of a node's key, from the first 13 characters of its id. */
export function headOfNode(id: NodeId): KeyHead {
  let high = 0
  for (let at = 0; at < 6; at += 1) high = (high << 5) | digitAt(id, at)
  const seam = digitAt(id, 6)
  let low = seam & 7
  for (let at = 7; at < 12; at += 1) low = (low << 5) | digitAt(id, at)
  return { high: (high << 2) | (seam >> 3), low: (low << 4) | (digitAt(id, 12) >> 1) }
}

/** The first 53 bits of the distance between two keys, exactly; equal ones need {@link compareDistance}. */
export function distanceOfHeads(a: KeyHead, b: KeyHead): number {
  return distanceOfWords(a.high ^ b.high, a.low ^ b.low)
}

/** The same from the words of the XOR itself. */
export function distanceOfWords(high: number, low: number): number {
  return (high >>> 0) * 2 ** 21 + (low >>> 11)
}

/** Leading bits that two nodes' keys share, by their heads; both share the first 64 when it answers 64. */
export function prefixBitsOfHeads(a: KeyHead, b: KeyHead): number {
  const high = a.high ^ b.high
  return high === 0 ? 32 + Math.clz32(a.low ^ b.low) : Math.clz32(high)
}

function wordAt(key: Key, at: number): number {
  return ((key[at] ?? 0) << 24) | ((key[at + 1] ?? 0) << 16) | ((key[at + 2] ?? 0) << 8) | (key[at + 3] ?? 0)
}

/** The five bits of one character of canonical base32: a to z, then 2 to 7. */
function digitAt(id: NodeId, at: number): number {
  const code = id.charCodeAt(at)
  return code >= 97 ? code - 97 : code - 24
}
