import { expect, test } from 'vitest'
import { hash, open } from '../../../ts/crypto.ts'
import { decodeSegment, encodeSegment, MAX_SEGMENT_BYTES, shardBytesOf } from '../../../ts/native/segment.ts'
import { codeOf, flipped, pattern, rejectedCode, sameBytes } from './support.ts'

const key = pattern(32)
const layout = { dataShards: 8, parityShards: 4 }

test.each([0, 1, 111, 112, 113, 65_536, MAX_SEGMENT_BYTES])(
  '%i bytes come back from the last eight of twelve shards',
  async (plaintextBytes) => {
    const plaintext = pattern(plaintextBytes, 5)

    const { shards, ids, shardBytes } = await encodeSegment({ key, index: 3, plaintext, layout })

    expect(shards).toHaveLength(12)
    expect(shardBytes).toBe(shardBytesOf(layout, plaintextBytes))
    expect(shards.every((shard) => shard.byteLength === shardBytes)).toBe(true)
    expect(sameBytes(Buffer.concat(ids), Buffer.concat(shards.map(hash)))).toBe(true)
    const given = shards.map((shard, index) => (index < 4 ? undefined : shard))
    const decoded = await decodeSegment({ key, index: 3, layout, plaintextBytes, shards: given })
    expect(sameBytes(decoded, plaintext)).toBe(true)
  },
)

test.each([
  { dataShards: 1, parityShards: 0 },
  { dataShards: 1, parityShards: 1 },
  { dataShards: 16, parityShards: 16 },
  { dataShards: 29, parityShards: 51 },
])('every layout works: %j', async (each) => {
  const plaintext = pattern(10_000)
  const { shards } = await encodeSegment({ key, index: 0, plaintext, layout: each })
  const given = shards.map((shard, index) => (index < each.parityShards ? undefined : shard))

  expect(await decodeSegment({ key, index: 0, layout: each, plaintextBytes: 10_000, shards: given })).toEqual(
    plaintext,
  )
})

test('the data shards are the sealed plaintext, so that anyone with the format can read them', async () => {
  const plaintext = pattern(1000)
  const { shards } = await encodeSegment({ key, index: 7, plaintext, layout })
  const sealed = Buffer.concat(shards.slice(0, 8)).subarray(0, 1016)
  const position = Buffer.alloc(8)
  position.writeBigUInt64LE(7n)
  const nonce = Buffer.concat([Buffer.alloc(16), position])
  const aad = Buffer.concat([Buffer.from('espalier segment v1\0'), position])

  expect(sameBytes(open({ key, nonce, sealed, aad }), plaintext)).toBe(true)
})

test('a wrong shard, key or index, and too few shards, never give data', async () => {
  const plaintext = pattern(5000)
  const { shards } = await encodeSegment({ key, index: 1, plaintext, layout })
  const decode = (change: object) =>
    rejectedCode(decodeSegment({ key, index: 1, layout, plaintextBytes: 5000, shards, ...change }))

  expect(await decode({})).toBe('none')
  expect(await decode({ key: pattern(32, 9) })).toBe('DECRYPT_FAILED')
  expect(await decode({ index: 2 })).toBe('DECRYPT_FAILED')
  expect(
    await decode({ shards: shards.map((shard, index) => (index === 2 ? flipped(shard, 0) : shard)) }),
  ).toBe('DECRYPT_FAILED')
  expect(await decode({ shards: shards.map((shard, index) => (index < 5 ? undefined : shard)) })).toBe(
    'SHARDS_MISSING',
  )
  expect(await decode({ shards: shards.slice(1) })).toBe('INVALID_ARGUMENT')
  expect(await decode({ shards: shards.map((shard) => shard.subarray(1)) })).toBe('INVALID_ARGUMENT')
  expect(await decode({ plaintextBytes: 50_000 })).toBe('INVALID_ARGUMENT')
})

test('sizes have limits on both sides', async () => {
  const tooMuch = pattern(MAX_SEGMENT_BYTES + 1)
  expect(await rejectedCode(encodeSegment({ key, index: 0, plaintext: tooMuch, layout }))).toBe(
    'INVALID_ARGUMENT',
  )
  expect(codeOf(() => shardBytesOf({ dataShards: 1, parityShards: 15 }, MAX_SEGMENT_BYTES))).toBe('none')
  expect(codeOf(() => shardBytesOf({ dataShards: 1, parityShards: 16 }, MAX_SEGMENT_BYTES))).toBe(
    'INVALID_ARGUMENT',
  )
  for (const index of [-1, 0.5, 2 ** 53, Number.NaN, '1', undefined]) {
    const input = { key, index: index as number, plaintext: pattern(1), layout }
    expect(await rejectedCode(encodeSegment(input))).toBe('INVALID_ARGUMENT')
  }
  expect(
    await rejectedCode(encodeSegment({ key, index: Number.MAX_SAFE_INTEGER, plaintext: pattern(1), layout })),
  ).toBe('none')
})
