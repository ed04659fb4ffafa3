import { expect, test } from 'vitest'
import {
  createHasher,
  deriveKey,
  hash,
  hashMany,
  keyedHash,
  type HasherOptions,
} from '../../../../ts/crypto.ts'
import { readJson, report } from './vector-file.ts'

interface Blake3Vectors {
  readonly key: string
  readonly context_string: string
  readonly cases: readonly {
    readonly input_len: number
    readonly hash: string
    readonly keyed_hash: string
    readonly derive_key: string
  }[]
}

const OUTPUT_BYTES = 131
const vectors = readJson('blake3/test_vectors.json') as Blake3Vectors
const key = Buffer.from(vectors.key)
const context = vectors.context_string

test('the official vectors hold in all three modes, with 131 bytes of output', () => {
  for (const each of vectors.cases) {
    const input = inputOf(each.input_len)
    expect(hex(hash(input)), `hash of ${each.input_len}`).toBe(each.hash.slice(0, 64))
    expect(hex(keyedHash(key, input)), `keyed hash of ${each.input_len}`).toBe(each.keyed_hash.slice(0, 64))
    expect(hex(deriveKey(context, input, OUTPUT_BYTES)), `derivation of ${each.input_len}`).toBe(
      each.derive_key,
    )
  }

  const digests = hashMany(vectors.cases.map((each) => inputOf(each.input_len)))
  expect(digests.map(hex)).toEqual(vectors.cases.map((each) => each.hash.slice(0, 64)))
  expect(vectors.cases).toHaveLength(35)
  report('BLAKE3 official vectors, hash, keyed hash and derive_key', 3 * vectors.cases.length, 105)
})

test.each([1, 63, 1000, 4096, 5000])('they hold in pieces of %i bytes', (pieceBytes) => {
  for (const each of vectors.cases) {
    expect(inPieces(each.input_len, pieceBytes)).toBe(each.hash)
    expect(inPieces(each.input_len, pieceBytes, { key })).toBe(each.keyed_hash)
    expect(inPieces(each.input_len, pieceBytes, { context })).toBe(each.derive_key)
  }
})

function inPieces(inputBytes: number, pieceBytes: number, options?: HasherOptions): string {
  // One byte at a time over the largest inputs would only measure patience.
  const step = inputBytes > 10_000 ? Math.max(pieceBytes, 1000) : pieceBytes
  using hasher = createHasher(options)
  const input = inputOf(inputBytes)
  for (let at = 0; at < input.byteLength; at += step) hasher.update(input.subarray(at, at + step))
  return hex(hasher.digest(OUTPUT_BYTES))
}

/** The official input: the bytes 0 to 250, again and again. */
function inputOf(lengthBytes: number): Uint8Array {
  return Uint8Array.from({ length: lengthBytes }, (_, index) => index % 251)
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}
