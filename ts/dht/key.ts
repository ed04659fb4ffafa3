import { KEY_BYTES, keyFromBytes, type Key } from '../base/identity.ts'

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
