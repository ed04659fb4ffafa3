// RFC 4648 §6, lower case and without padding: safe in file names, DNS labels and URLs.
const ALPHABET = 'abcdefghijklmnopqrstuvwxyz234567'
const UNKNOWN = 255
/** Value of each ASCII character. */
const VALUES = new Uint8Array(128).fill(UNKNOWN)
for (let value = 0; value < ALPHABET.length; value += 1) VALUES[ALPHABET.charCodeAt(value)] = value

/** Base32 of `bytes`, lower case, unpadded. */
export function encodeBase32(bytes: Uint8Array): string {
  let text = ''
  let buffer = 0
  let bits = 0
  for (const byte of bytes) {
    buffer = ((buffer << 8) | byte) & 0x1fff
    bits += 8
    while (bits >= 5) {
      bits -= 5
      text += ALPHABET.charAt((buffer >>> bits) & 31)
    }
  }
  return bits > 0 ? text + ALPHABET.charAt((buffer << (5 - bits)) & 31) : text
}

/** The bytes of canonical base32 text, or `undefined`: each byte string has exactly one spelling. */
export function decodeBase32(text: string): Uint8Array | undefined {
  // 1, 3 and 6 trailing characters can't come from whole bytes.
  if ([1, 3, 6].includes(text.length % 8)) return undefined
  const bytes = new Uint8Array(Math.floor((text.length * 5) / 8))
  let buffer = 0
  let bits = 0
  let length = 0
  for (let at = 0; at < text.length; at += 1) {
    const value = VALUES[text.charCodeAt(at)] ?? UNKNOWN
    if (value === UNKNOWN) return undefined
    buffer = ((buffer << 5) | value) & 0x1fff
    bits += 5
    if (bits >= 8) {
      bits -= 8
      bytes[length++] = (buffer >>> bits) & 255
    }
  }
  const leftover = buffer & ((1 << bits) - 1)
  return leftover === 0 ? bytes : undefined
}
