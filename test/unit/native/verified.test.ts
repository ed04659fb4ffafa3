import { expect, test } from 'vitest'
import { extractSlice, hash, outboard, verifySlice } from '../../../ts/crypto.ts'
import { codeOf, flipped, pattern, sameBytes } from './support.ts'

const SIZES = [0, 1, 1023, 1024, 1025, 16_383, 16_384, 16_385, 32_768, 100_000, (1 << 20) + 3]

test.each(SIZES)('slices of %i bytes at the edges of chunks and groups prove their bytes', (totalBytes) => {
  const data = pattern(totalBytes, totalBytes)
  const { root, nodes } = outboard(data)

  expect(root).toEqual(hash(data))
  for (const { start, length } of rangesOf(totalBytes)) {
    const slice = extractSlice(data, nodes, { start, length })
    const proved = verifySlice(root, { totalBytes, start, length, slice })
    expect(sameBytes(proved, data.subarray(start, start + length)), `${start} + ${length}`).toBe(true)
  }
})

test('a changed, cut or lengthened slice is refused', () => {
  const data = pattern(50_000)
  const { root, nodes } = outboard(data)
  const range = { start: 17_000, length: 2000 }
  const claim = { totalBytes: 50_000, ...range }
  const slice = extractSlice(data, nodes, range)
  const verdict = (changed: Uint8Array) => codeOf(() => verifySlice(root, { ...claim, slice: changed }))

  expect(verdict(slice)).toBe('none')
  for (let at = 0; at < slice.byteLength; at += 97)
    expect(verdict(flipped(slice, at))).toBe('SIGNATURE_INVALID')
  for (const cut of [0, 1, 64, slice.byteLength - 1])
    expect(verdict(slice.subarray(0, cut))).toBe('SIGNATURE_INVALID')
  expect(verdict(Buffer.concat([slice, Buffer.from([0])]))).toBe('SIGNATURE_INVALID')
  expect(codeOf(() => verifySlice(flipped(root, 0), { ...claim, slice }))).toBe('SIGNATURE_INVALID')
  expect(codeOf(() => verifySlice(root, { ...claim, start: claim.start + 1024, slice }))).toBe(
    'SIGNATURE_INVALID',
  )
})

test('a wrong total is found when the tree has another shape, or the slice holds the last chunk', () => {
  const data = pattern(50_000)
  const { root, nodes } = outboard(data)
  const early = { start: 17_000, length: 2000 }
  const last = { start: 49_990, length: 9 }
  const verdict = (range: { start: number; length: number }, totalBytes: number) =>
    codeOf(() => verifySlice(root, { ...range, totalBytes, slice: extractSlice(data, nodes, range) }))

  expect(verdict(last, 50_000)).toBe('none')
  expect(verdict(last, 49_999)).toBe('SIGNATURE_INVALID')
  expect(verdict(last, 50_001)).toBe('SIGNATURE_INVALID')
  expect(verdict(early, 20_000)).toBe('SIGNATURE_INVALID')
  expect(verdict(early, 500_000)).toBe('SIGNATURE_INVALID')
})

test('a claim of a huge total is refused without reserving memory for it', () => {
  const { root } = outboard(pattern(10))
  const claim = {
    totalBytes: Number.MAX_SAFE_INTEGER,
    start: 0,
    length: Number.MAX_SAFE_INTEGER,
    slice: pattern(64),
  }

  expect(codeOf(() => verifySlice(root, claim))).toBe('SIGNATURE_INVALID')
})

test('damaged data or a foreign outboard never becomes a proof', () => {
  const data = pattern(40_000)
  const { nodes } = outboard(data)
  const range = { start: 0, length: 1024 }

  expect(codeOf(() => extractSlice(flipped(data, 5), nodes, range))).toBe('SIGNATURE_INVALID')
  expect(codeOf(() => extractSlice(data, flipped(nodes, 0), range))).toBe('SIGNATURE_INVALID')
  expect(codeOf(() => extractSlice(data, nodes.subarray(64), range))).toBe('INVALID_ARGUMENT')
})

test('ranges outside the bytes, and empty ones, are refused', () => {
  const data = pattern(2000)
  const { nodes } = outboard(data)
  const cut = (start: number, length: number) => codeOf(() => extractSlice(data, nodes, { start, length }))

  expect(cut(1999, 1)).toBe('none')
  expect(cut(1999, 2)).toBe('INVALID_ARGUMENT')
  expect(cut(2000, 1)).toBe('INVALID_ARGUMENT')
  expect(cut(0, 0)).toBe('INVALID_ARGUMENT')
  expect(cut(-1, 5)).toBe('INVALID_ARGUMENT')
  expect(cut(0.5, 5)).toBe('INVALID_ARGUMENT')
})

test('the proof of one chunk of 4 MiB stays below 2 KB', () => {
  const data = pattern(4 << 20)
  const { nodes } = outboard(data)

  expect(extractSlice(data, nodes, { start: 1_000_000, length: 1 }).byteLength).toBeLessThan(2048)
})

function rangesOf(totalBytes: number): { start: number; length: number }[] {
  if (totalBytes === 0) return [{ start: 0, length: 0 }]
  const edges = [0, 1, 1023, 1024, 1025, 16_383, 16_384, 16_385, totalBytes - 1, totalBytes]
  const inside = [...new Set(edges.filter((edge) => edge >= 0 && edge <= totalBytes))]
  return inside.flatMap((start) =>
    inside.filter((end) => end > start).map((end) => ({ start, length: end - start })),
  )
}
