import { expect, test } from 'vitest'
import { createHasher, deriveKey, hash, hashInto, hashMany, keyedHash } from '../../../ts/crypto.ts'
import { codeOf, pattern } from './support.ts'

test('hashInto writes 32 bytes at the offset and nothing else', () => {
  const out = new Uint8Array(40).fill(7)

  hashInto(pattern(100), out, 4)

  expect(out.subarray(4, 36)).toEqual(hash(pattern(100)))
  expect([...out.subarray(0, 4), ...out.subarray(36)]).toEqual(Array.from({ length: 8 }, () => 7))
  expect(codeOf(() => hashInto(pattern(1), out, 8))).toBe('none')
  expect(codeOf(() => hashInto(pattern(1), out, 9))).toBe('INVALID_ARGUMENT')
  expect(codeOf(() => hashInto(pattern(1), new Uint8Array(31)))).toBe('INVALID_ARGUMENT')
})

test('hashInto may write over its own input', () => {
  const bytes = pattern(64)
  const expected = hash(bytes)

  hashInto(bytes, bytes)

  expect(bytes.subarray(0, 32)).toEqual(expected)
})

test('large input, which several threads hash, has the hash of its pieces', () => {
  for (const lengthBytes of [(1 << 20) - 1, 1 << 20, (3 << 20) + 5]) {
    const data = pattern(lengthBytes)
    const hasher = createHasher()
    for (let at = 0; at < data.byteLength; at += 10_007) hasher.update(data.subarray(at, at + 10_007))
    expect(hasher.digest()).toEqual(hash(data))
  }
})

test('a digest does not end a hasher, below and above what it buffers', () => {
  for (const pieceBytes of [10, 4096, 5000]) {
    const data = pattern(2 * pieceBytes)
    const hasher = createHasher().update(data.subarray(0, pieceBytes))
    expect(hasher.digest()).toEqual(hash(data.subarray(0, pieceBytes)))
    expect(hasher.update(data.subarray(pieceBytes)).digest()).toEqual(hash(data))
    expect(hasher.digest(64).subarray(0, 32)).toEqual(hash(data))
  }
})

test('a hasher is not changed by what happens to its inputs later', () => {
  const key = pattern(32)
  const data = pattern(100)
  const expected = keyedHash(key, data)
  const changingKey = Uint8Array.from(key)
  const changingData = Uint8Array.from(data)

  const hasher = createHasher({ key: changingKey }).update(changingData)
  changingKey.fill(0)
  changingData.fill(0)

  expect(hasher.digest()).toEqual(expected)
})

test('an endless row of short-lived hashers finds room', () => {
  const data = pattern(1)
  for (let index = 0; index < 100_000; index += 1) createHasher().update(data).digest()
}, 120_000)

test('a disposed hasher is closed', () => {
  const short = createHasher().update(pattern(1))
  const long = createHasher().update(pattern(5000))
  for (const hasher of [short, long]) {
    hasher[Symbol.dispose]()
    hasher[Symbol.dispose]()
    expect(codeOf(() => hasher.update(pattern(1)))).toBe('CLOSED')
    expect(codeOf(() => hasher.digest())).toBe('CLOSED')
  }
})

test('output lengths have limits on both sides', () => {
  expect(deriveKey('c', pattern(1), 1)).toHaveLength(1)
  expect(deriveKey('c', pattern(1), 65_536)).toHaveLength(65_536)
  for (const lengthBytes of [0, 65_537, 1.5, -1, Number.NaN, 2 ** 53]) {
    expect(codeOf(() => deriveKey('c', pattern(1), lengthBytes))).toBe('INVALID_ARGUMENT')
    expect(codeOf(() => createHasher().digest(lengthBytes))).toBe('INVALID_ARGUMENT')
  }
})

test('hashMany hashes each item', () => {
  const items = [0, 1, 1024, 5000].map((length) => pattern(length, length))

  expect(hashMany(items)).toEqual(items.map(hash))
  expect(hashMany([])).toEqual([])
})

test('key and context together are refused', () => {
  expect(codeOf(() => createHasher({ key: pattern(32), context: 'c' }))).toBe('INVALID_ARGUMENT')
  expect(codeOf(() => createHasher({ salt: pattern(32) } as never))).toBe('INVALID_ARGUMENT')
})
