import { expect, test } from 'vitest'
import { SigningKey, verifyMany } from '../../../ts/crypto.ts'
import { decodeSegment, encodeSegment } from '../../../ts/native/segment.ts'
import { pattern, sameBytes } from './support.ts'

const key = pattern(32)
const layout = { dataShards: 4, parityShards: 2 }
const plaintextBytes = 300_000

/** What JavaScript may do to memory as soon as an asynchronous call has returned its promise. */
const RACES: Readonly<Record<string, (bytes: Uint8Array) => void>> = {
  mutated: (bytes) => bytes.fill(0xff),
  transferred: (bytes) => void structuredClone(bytes, { transfer: [bytes.buffer as ArrayBuffer] }),
  'resized to nothing': (bytes) => (bytes.buffer as ResizableBuffer).resize(0),
  grown: (bytes) => (bytes.buffer as ResizableBuffer).resize(bytes.byteLength * 2),
}

test.each(Object.keys(RACES))(
  'memory that is %s during encodeSegment does not change the result',
  async (race) => {
    const expected = await encodeSegment({ key, index: 1, plaintext: pattern(plaintextBytes), layout })
    const inputs = [resizable(key), resizable(pattern(plaintextBytes))] as const

    const pending = encodeSegment({ key: inputs[0], index: 1, plaintext: inputs[1], layout })
    inputs.forEach(RACES[race]!)

    expect(sameBytes(Buffer.concat((await pending).shards), Buffer.concat(expected.shards))).toBe(true)
  },
)

test.each(Object.keys(RACES))(
  'memory that is %s during decodeSegment does not change the result',
  async (race) => {
    const { shards } = await encodeSegment({ key, index: 1, plaintext: pattern(plaintextBytes), layout })
    const copies = shards.map((shard, index) => (index < 2 ? undefined : resizable(shard)))

    const pending = decodeSegment({ key, index: 1, layout, plaintextBytes, shards: copies })
    for (const copy of copies) if (copy !== undefined) RACES[race]!(copy)

    expect(sameBytes(await pending, pattern(plaintextBytes))).toBe(true)
  },
)

test.each(Object.keys(RACES))(
  'memory that is %s during verifyMany does not change the answers',
  async (race) => {
    const signer = SigningKey.generate()
    const items = Array.from({ length: 20 }, (_, index) => ({
      publicKey: resizable(signer.publicKey),
      message: resizable(pattern(100, index)),
      signature: resizable(signer.sign(pattern(index % 2 === 0 ? 100 : 99, index))),
    }))

    const pending = verifyMany(items)
    for (const item of items) Object.values(item).forEach(RACES[race]!)

    expect(await pending).toEqual(items.map((_, index) => index % 2 === 0))
  },
)

test('many jobs at once each get their own result', async () => {
  const plaintexts = Array.from({ length: 200 }, (_, index) => pattern(100 + index, index))

  const encoded = await Promise.all(
    plaintexts.map((plaintext, index) => encodeSegment({ key, index, plaintext, layout })),
  )
  const decoded = await Promise.all(
    encoded.map(({ shards }, index) =>
      decodeSegment({ key, index, layout, plaintextBytes: 100 + index, shards }),
    ),
  )

  expect(decoded.every((bytes, index) => sameBytes(bytes, plaintexts[index]!))).toBe(true)
})

interface ResizableBuffer extends ArrayBuffer {
  resize(lengthBytes: number): void
}

type ResizableConstructor = new (length: number, options: { maxByteLength: number }) => ResizableBuffer

function resizable(bytes: Uint8Array): Uint8Array {
  const Constructor = ArrayBuffer as unknown as ResizableConstructor
  const copy = new Uint8Array(new Constructor(bytes.byteLength, { maxByteLength: 2 * bytes.byteLength + 64 }))
  copy.set(bytes)
  return copy
}
