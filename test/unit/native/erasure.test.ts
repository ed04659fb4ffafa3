import { expect, test } from 'vitest'
import { ErasureCoder, MAX_SHARD_BYTES } from '../../../ts/crypto.ts'
import { codeOf, pattern, sameBytes } from './support.ts'

const LAYOUTS = [
  [8, 4],
  [16, 16],
  [29, 51],
  [1, 1],
  [2, 1],
  [1, 254],
] as const

test.each(LAYOUTS)('%i + %i gives the bytes of the schoolbook code', (dataShards, parityShards) => {
  const data = shards(dataShards, 97)

  const parity = new ErasureCoder({ dataShards, parityShards }).encode(data)

  expect(parity).toEqual(schoolbookParity(data, parityShards))
})

test.each([
  [1, 1],
  [2, 2],
  [4, 2],
] as const)('%i + %i comes back from every sufficient subset', (dataShards, parityShards) => {
  const coder = new ErasureCoder({ dataShards, parityShards })
  const data = shards(dataShards, 50)
  const all = [...data, ...coder.encode(data)]

  for (let mask = 0; mask < 2 ** all.length; mask += 1) {
    const given = all.map((shard, index) => ((mask >> index) & 1 ? shard : undefined))
    const found = given.filter((shard) => shard !== undefined).length
    if (found < dataShards) expect(codeOf(() => coder.reconstruct(given))).toBe('SHARDS_MISSING')
    else expect(coder.reconstruct(given)).toEqual(all)
  }
})

test.each(LAYOUTS)(
  '%i + %i comes back from samples of exactly as many shards as needed',
  (dataShards, parityShards) => {
    const coder = new ErasureCoder({ dataShards, parityShards })
    const data = shards(dataShards, 33)
    const all = [...data, ...coder.encode(data)]

    for (let round = 0; round < 60; round += 1) {
      const kept = sample(all.length, dataShards, round)
      const rebuilt = coder.reconstruct(all.map((shard, index) => (kept.has(index) ? shard : undefined)))
      expect(sameBytes(Buffer.concat(rebuilt), Buffer.concat(all))).toBe(true)
    }
  },
)

test('too few shards are refused with how many there are', () => {
  const coder = new ErasureCoder({ dataShards: 8, parityShards: 4 })
  const data = shards(8, 10)
  const given = [...data, ...coder.encode(data)].map((shard, index) => (index < 7 ? shard : undefined))

  const error = catchError(() => coder.reconstruct(given))

  expect(error).toMatchObject({ code: 'SHARDS_MISSING', details: { found: 7, needed: 8 } })
})

test('a layout without parity needs every shard', () => {
  const coder = new ErasureCoder({ dataShards: 3, parityShards: 0 })
  const data = shards(3, 10)

  expect(coder.encode(data)).toEqual([])
  expect(coder.reconstruct(data)).toEqual(data)
  expect(codeOf(() => coder.reconstruct([data[0], undefined, data[2]]))).toBe('SHARDS_MISSING')
})

test('layouts and shards have limits on both sides', () => {
  const layout = (dataShards: number, parityShards: number) => () =>
    new ErasureCoder({ dataShards, parityShards })
  expect(codeOf(layout(1, 254))).toBe('none')
  expect(codeOf(layout(255, 0))).toBe('none')
  expect(codeOf(layout(1, 255))).toBe('INVALID_ARGUMENT')
  expect(codeOf(layout(0, 4))).toBe('INVALID_ARGUMENT')
  expect(codeOf(layout(256, 0))).toBe('INVALID_ARGUMENT')
  expect(codeOf(layout(1.5, 1))).toBe('INVALID_ARGUMENT')

  const coder = new ErasureCoder({ dataShards: 2, parityShards: 1 })
  const encode =
    (...lengths: number[]) =>
    () =>
      coder.encode(lengths.map((length) => new Uint8Array(length)))
  expect(codeOf(encode(MAX_SHARD_BYTES, MAX_SHARD_BYTES))).toBe('none')
  expect(codeOf(encode(MAX_SHARD_BYTES + 1, MAX_SHARD_BYTES + 1))).toBe('INVALID_ARGUMENT')
  expect(codeOf(encode(0, 0))).toBe('INVALID_ARGUMENT')
  expect(codeOf(encode(3, 4))).toBe('INVALID_ARGUMENT')
  expect(codeOf(encode(3))).toBe('INVALID_ARGUMENT')
  expect(codeOf(encode(3, 3, 3))).toBe('INVALID_ARGUMENT')
})

function shards(count: number, sizeBytes: number): Uint8Array[] {
  return Array.from({ length: count }, (_, index) => pattern(sizeBytes, index + 1))
}

/** `count` different numbers below `total`, the same for the same seed. */
function sample(total: number, count: number, seed: number): Set<number> {
  const order = Array.from({ length: total }, (_, index) => ({
    index,
    weight: Buffer.from(pattern(4, seed * 1000 + index)).readUInt32LE(),
  }))
  order.sort((a, b) => a.weight - b.weight)
  return new Set(order.slice(0, count).map(({ index }) => index))
}

function catchError(attempt: () => unknown): unknown {
  try {
    return attempt()
  } catch (error) {
    return error
  }
}

/** The definition, slowly: row r, column c is 1 / ((k + r) xor c) in GF(2⁸) with polynomial 0x11D. */
function schoolbookParity(data: readonly Uint8Array[], parityShards: number): Uint8Array[] {
  return Array.from({ length: parityShards }, (_, row) => {
    const parity = new Uint8Array(data[0]!.byteLength)
    data.forEach((shard, column) => {
      const coefficient = inverse((data.length + row) ^ column)
      shard.forEach((byte, at) => (parity[at]! ^= multiply(coefficient, byte)))
    })
    return parity
  })
}

function multiply(a: number, b: number): number {
  let product = 0
  for (let bit = 0; bit < 8; bit += 1) {
    if ((b >> bit) & 1) product ^= a << bit
  }
  for (let bit = 14; bit >= 8; bit -= 1) {
    if ((product >> bit) & 1) product ^= 0x11d << (bit - 8)
  }
  return product
}

function inverse(value: number): number {
  return Array.from({ length: 256 }, (_, candidate) => candidate).find((each) => multiply(value, each) === 1)!
}
