import { EspalierError } from '../base/error.ts'

// A run of ascending numbers as a Golomb–Rice code: the first one plain in four bytes, then for each gap the
// quotient by 2^lowBits as that many ones and a zero, and the rest in `lowBits` bits. Bits fill each byte from
// the highest down; the last byte ends in zeros.

const FIRST_BYTES = 4

/** `values` from `start` to `end` (not empty, ascending, below 2³²). */
export function encodeRun(
  values: Uint32Array,
  range: { readonly start: number; readonly end: number; readonly lowBits: number },
): Uint8Array {
  const { start, end, lowBits } = range
  let bits = FIRST_BYTES * 8
  for (let at = start + 1; at < end; at += 1) {
    bits += ((((values[at] ?? 0) - (values[at - 1] ?? 0)) >>> 0) >>> lowBits) + 1 + lowBits
  }
  const out = new Uint8Array((bits + 7) >>> 3)
  new DataView(out.buffer).setUint32(0, values[start] ?? 0)
  let bit = FIRST_BYTES * 8
  for (let at = start + 1; at < end; at += 1) {
    const gap = ((values[at] ?? 0) - (values[at - 1] ?? 0)) >>> 0
    for (let ones = gap >>> lowBits; ones > 0; ones -= 1) setBit(out, bit++)
    bit += 1
    for (let low = lowBits - 1; low >= 0; low -= 1, bit += 1) if ((gap >>> low) & 1) setBit(out, bit)
  }
  return out
}

function setBit(out: Uint8Array, bit: number): void {
  out[bit >>> 3] = (out[bit >>> 3] ?? 0) | (0x80 >>> (bit & 7))
}

/** Fewest bytes that a run of `count` numbers can have. */
function minRunBytes(count: number, lowBits: number): number {
  return FIRST_BYTES + Math.ceil(((count - 1) * (lowBits + 1)) / 8)
}

/**
 * Exactly `count` numbers below `limit`. Throws `PROTOCOL_VIOLATION` unless the bytes are the only encoding of
 * such a run: nothing missing, nothing left over, zeros at the end. Nothing is allocated before the length fits.
 */
export function decodeRun(
  bytes: Uint8Array,
  shape: { readonly count: number; readonly lowBits: number; readonly limit: number },
): Uint32Array {
  const { count, lowBits, limit } = shape
  if (bytes.byteLength < minRunBytes(count, lowBits)) throw refused('too short for its count')
  // Room behind the end, so that the window below never looks outside.
  const padded = new Uint8Array(bytes.byteLength + 8)
  padded.set(bytes)
  const view = new DataView(padded.buffer)
  const bits = bytes.byteLength * 8
  const values = new Uint32Array(count)
  let value = view.getUint32(0)
  if (value >= limit) throw refused('a number beyond its range')
  values[0] = value
  let bit = FIRST_BYTES * 8
  for (let at = 1; at < count; at += 1) {
    let quotient = 0
    let ones: number
    do {
      ones = Math.clz32(~window(view, bit))
      quotient += ones
      bit += ones
    } while (ones === 32 && bit < bits)
    bit += 1
    if (bit + lowBits > bits) throw refused('it ends early')
    const low = lowBits === 0 ? 0 : window(view, bit) >>> (32 - lowBits)
    bit += lowBits
    value += quotient * 2 ** lowBits + low
    if (value >= limit) throw refused('a number beyond its range')
    values[at] = value
  }
  if ((bit + 7) >>> 3 !== bytes.byteLength) throw refused('bytes that are left over')
  if (bit < bits && window(view, bit) !== 0) throw refused('padding that is not zero')
  return values
}

/** The 32 bits from `bit` on. */
function window(view: DataView, bit: number): number {
  const at = bit >>> 3
  const shift = bit & 7
  const word = view.getUint32(at)
  return shift === 0 ? word : ((word << shift) | (view.getUint8(at + 4) >>> (8 - shift))) >>> 0
}

function refused(reason: string): EspalierError {
  return new EspalierError('PROTOCOL_VIOLATION', `coded set: ${reason}`)
}
