import { expect, test } from 'vitest'
import { ErasureCoder } from '../../../ts/native/erasure.ts'
import { hash, hashManyInto } from '../../../ts/native/hash.ts'
import { open, seal, sealInto } from '../../../ts/native/seal.ts'

const coder = new ErasureCoder({ dataShards: 3, parityShards: 2 })
const data = Array.from({ length: 3 }, (_, seed) => bytes(100, seed))

test('parity is written into the buffers of the caller, the same as fresh parity', () => {
  const parity = [new Uint8Array(100), Buffer.alloc(100)]

  coder.encodeInto(data, parity)

  expect(parity.map((shard) => Uint8Array.from(shard))).toEqual(coder.encode(data))
})

test('absent shards are written into the buffers of the caller in their order', () => {
  const parity = coder.encode(data)
  const rebuilt = [new Uint8Array(100), new Uint8Array(100)]

  coder.reconstructInto([undefined, data[1], data[2], undefined, parity[1]], rebuilt)

  expect(rebuilt).toEqual([data[0], parity[0]])
})

test('buffers of a wrong count or size are refused and stay as they are', () => {
  const short = [new Uint8Array(100), new Uint8Array(99)]

  expect(codeOf(() => coder.encodeInto(data, [new Uint8Array(100)]))).toBe('INVALID_ARGUMENT')
  expect(codeOf(() => coder.encodeInto(data, short))).toBe('INVALID_ARGUMENT')
  expect(codeOf(() => coder.reconstructInto([undefined, ...data.slice(1), data[0], data[0]], []))).toBe(
    'INVALID_ARGUMENT',
  )
  expect(short.every((shard) => shard.every((byte) => byte === 0))).toBe(true)
})

test('a buffer that shares memory with another argument is refused', () => {
  const shared = bytes(132, 1)

  expect(codeOf(() => coder.encodeInto(data, [data[0] ?? shared, new Uint8Array(100)]))).toBe(
    'INVALID_ARGUMENT',
  )
  expect(codeOf(() => hashManyInto([shared.subarray(0, 40)], shared.subarray(32, 64)))).toBe(
    'INVALID_ARGUMENT',
  )
  const key = bytes(32, 2)
  const nonce = bytes(24, 3)
  expect(
    codeOf(() => sealInto({ key, nonce, message: shared.subarray(0, 16) }, shared.subarray(15, 47))),
  ).toBe('INVALID_ARGUMENT')
})

test('digests of a batch stand one after the other in the buffer of the caller', () => {
  const out = new Uint8Array(96)

  hashManyInto(data, out)

  expect([0, 32, 64].map((at) => out.slice(at, at + 32))).toEqual(data.map((item) => hash(item)))
  expect(codeOf(() => hashManyInto(data, new Uint8Array(95)))).toBe('INVALID_ARGUMENT')
  expect(codeOf(() => hashManyInto(data, new Uint8Array(97)))).toBe('INVALID_ARGUMENT')
})

test('a message sealed into a buffer is the one that seal returns', () => {
  const request = { key: bytes(32, 4), nonce: bytes(24, 5), message: bytes(50, 6) }
  const out = new Uint8Array(66)

  sealInto(request, out)

  expect(out).toEqual(seal(request))
  expect(open({ key: request.key, nonce: request.nonce, sealed: out })).toEqual(request.message)
  expect(codeOf(() => sealInto(request, new Uint8Array(65)))).toBe('INVALID_ARGUMENT')
  expect(codeOf(() => sealInto(request, new Uint8Array(67)))).toBe('INVALID_ARGUMENT')
})

function bytes(length: number, seed: number): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => (seed * 31 + index * 7) % 251)
}

function codeOf(call: () => void): unknown {
  try {
    call()
  } catch (error) {
    return (error as { code?: unknown }).code
  }
  return undefined
}
