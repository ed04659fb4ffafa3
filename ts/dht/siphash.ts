/** The 128-bit key of {@link sipHash} as four 32-bit words, little-endian. */
export type SipKey = readonly [k0Low: number, k0High: number, k1Low: number, k1High: number]

/** The key of 16 bytes. */
export function sipKey(bytes: Uint8Array): SipKey {
  const view = new DataView(bytes.buffer, bytes.byteOffset, 16)
  const word = (at: number): number => view.getInt32(at, true)
  return [word(0), word(4), word(8), word(12)]
}

/**
 * SipHash-2-4 (Aumasson and Bernstein, INDOCRYPT 2012) of `data`: the high 32 bits into `out[0]`, the low
 * ones into `out[1]`. Sums of 64 bits are done in halves: a BigInt for each would cost ten times as much.
 */
export function sipHash(key: SipKey, data: Uint8Array, out: Uint32Array): void {
  const [k0l, k0h, k1l, k1h] = key
  let v0l = k0l ^ 0x70736575
  let v0h = k0h ^ 0x736f6d65
  let v1l = k1l ^ 0x6e646f6d
  let v1h = k1h ^ 0x646f7261
  let v2l = k0l ^ 0x6e657261
  let v2h = k0h ^ 0x6c796765
  let v3l = k1l ^ 0x79746573
  let v3h = k1h ^ 0x74656462
  const length = data.byteLength
  const blocks = length >>> 3
  // Every whole block, the last one with the length, and the four rounds that end it.
  for (let step = 0; step <= blocks + 1; step += 1) {
    let low = 0
    let high = 0
    let rounds = 2
    if (step < blocks) {
      low = wordAt(data, step * 8)
      high = wordAt(data, step * 8 + 4)
    } else if (step === blocks) {
      low = tailAt(data, step * 8)
      high = tailAt(data, step * 8 + 4) | (length << 24)
    } else {
      rounds = 4
      v2l ^= 0xff
    }
    v3l ^= low
    v3h ^= high
    for (; rounds > 0; rounds -= 1) {
      let sum = (v0l + v1l) | 0
      v0h = (v0h + v1h + carry(sum, v1l)) | 0
      v0l = sum
      sum = (v1l << 13) | (v1h >>> 19)
      v1h = ((v1h << 13) | (v1l >>> 19)) ^ v0h
      v1l = sum ^ v0l
      sum = v0l
      v0l = v0h
      v0h = sum

      sum = (v2l + v3l) | 0
      v2h = (v2h + v3h + carry(sum, v3l)) | 0
      v2l = sum
      sum = (v3l << 16) | (v3h >>> 16)
      v3h = ((v3h << 16) | (v3l >>> 16)) ^ v2h
      v3l = sum ^ v2l

      sum = (v0l + v3l) | 0
      v0h = (v0h + v3h + carry(sum, v3l)) | 0
      v0l = sum
      sum = (v3l << 21) | (v3h >>> 11)
      v3h = ((v3h << 21) | (v3l >>> 11)) ^ v0h
      v3l = sum ^ v0l

      sum = (v2l + v1l) | 0
      v2h = (v2h + v1h + carry(sum, v1l)) | 0
      v2l = sum
      sum = (v1l << 17) | (v1h >>> 15)
      v1h = ((v1h << 17) | (v1l >>> 15)) ^ v2h
      v1l = sum ^ v2l
      sum = v2l
      v2l = v2h
      v2h = sum
    }
    v0l ^= low
    v0h ^= high
  }
  out[0] = v0h ^ v1h ^ v2h ^ v3h
  out[1] = v0l ^ v1l ^ v2l ^ v3l
}

/** 1 when a sum of 32 bits, one part of which is `part`, has overflown. */
function carry(sum: number, part: number): number {
  return sum >>> 0 < part >>> 0 ? 1 : 0
}

function wordAt(data: Uint8Array, at: number): number {
  return (
    (data[at] ?? 0) | ((data[at + 1] ?? 0) << 8) | ((data[at + 2] ?? 0) << 16) | ((data[at + 3] ?? 0) << 24)
  )
}

/** What is left at the end; bytes that are not there are zero. */
function tailAt(data: Uint8Array, at: number): number {
  let word = 0
  for (let byte = 0; byte < 4 && at + byte < data.byteLength; byte += 1) {
    word |= (data[at + byte] ?? 0) << (8 * byte)
  }
  return word
}
