import { describe, expect, test } from 'vitest'
import { sipHash, sipKey } from '../../../../ts/dht/siphash.ts'
import { SeededRng } from '../../../../ts/sim/rng.ts'

const MASK = (1n << 64n) - 1n

describe('SipHash-2-4', () => {
  test('gives the value that its authors print in appendix A', () => {
    const key = Uint8Array.from({ length: 16 }, (_, at) => at)
    const message = Uint8Array.from({ length: 15 }, (_, at) => at)

    expect(hashed(key, message)).toBe(0xa129ca6149be45e5n)
  })

  test('agrees with 64-bit integers for every length to 80 and keys at random', () => {
    const rng = new SeededRng('siphash')
    for (let length = 0; length <= 80; length += 1) {
      for (let round = 0; round < 5; round += 1) {
        const [key, message] = [rng.bytes(16), rng.bytes(length)]
        expect(hashed(key, message), `${length} bytes`).toBe(wide(key, message))
      }
    }
  })

  test('agrees where every sum overflows and where none does', () => {
    for (const fill of [0, 0xff, 0x80, 0x7f]) {
      const [key, message] = [new Uint8Array(16).fill(fill), new Uint8Array(32).fill(fill)]
      expect(hashed(key, message)).toBe(wide(key, message))
    }
  })
})

function hashed(key: Uint8Array, message: Uint8Array): bigint {
  const out = new Uint32Array(2)
  sipHash(sipKey(key), message, out)
  return (BigInt(out[0]!) << 32n) | BigInt(out[1]!)
}

/** The paper's figure in integers of any width: slow, and with nothing in common with the halves. */
function wide(key: Uint8Array, message: Uint8Array): bigint {
  const word = (bytes: Uint8Array): bigint => bytes.reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n)
  const rotate = (value: bigint, by: bigint): bigint => ((value << by) | (value >> (64n - by))) & MASK
  const [k0, k1] = [word(key.subarray(0, 8)), word(key.subarray(8))]
  let v0 = k0 ^ 0x736f6d6570736575n
  let v1 = k1 ^ 0x646f72616e646f6dn
  let v2 = k0 ^ 0x6c7967656e657261n
  let v3 = k1 ^ 0x7465646279746573n
  const round = (): void => {
    v0 = (v0 + v1) & MASK
    v2 = (v2 + v3) & MASK
    v1 = rotate(v1, 13n) ^ v0
    v3 = rotate(v3, 16n) ^ v2
    v0 = rotate(v0, 32n)
    v2 = (v2 + v1) & MASK
    v0 = (v0 + v3) & MASK
    v1 = rotate(v1, 17n) ^ v2
    v3 = rotate(v3, 21n) ^ v0
    v2 = rotate(v2, 32n)
  }
  const padded = new Uint8Array((Math.floor(message.length / 8) + 1) * 8)
  padded.set(message)
  padded[padded.length - 1] = message.length & 0xff
  for (let at = 0; at < padded.length; at += 8) {
    const block = word(padded.subarray(at, at + 8))
    v3 ^= block
    round()
    round()
    v0 ^= block
  }
  v2 ^= 0xffn
  for (let count = 0; count < 4; count += 1) round()
  return v0 ^ v1 ^ v2 ^ v3
}
