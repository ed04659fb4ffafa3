import { describe, expect, test } from 'vitest'
import { layoutFor, totalShards, writeThreshold } from '../../../ts/placement/layout.ts'

test('twelve nodes and more carry the full profile', () => {
  expect(layoutFor(12)).toEqual({ layout: { dataShards: 8, parityShards: 4 } })
  expect(layoutFor(100_000)).toEqual({ layout: { dataShards: 8, parityShards: 4 } })
})

test.each([
  [1, 1, 0],
  [2, 1, 1],
  [3, 2, 1],
  [4, 2, 2],
  [6, 4, 2],
  [9, 6, 3],
  [11, 7, 4],
])('%d nodes carry %d + %d, one shard each, with the reason', (nodes, dataShards, parityShards) => {
  const { layout, reduced } = layoutFor(nodes)

  expect(layout).toEqual({ dataShards, parityShards })
  expect(totalShards(layout)).toBe(nodes)
  expect(reduced).toContain('12')
})

test('no node carries nothing', () => {
  expect(() => layoutFor(0)).toThrow(expect.objectContaining({ code: 'PLACEMENT_IMPOSSIBLE' }))
})

describe('a write needs all data and half of the parity, rounded up', () => {
  test.each([
    [8, 4, 10],
    [7, 4, 9],
    [2, 1, 3],
    [1, 1, 2],
    [1, 0, 1],
    [6, 3, 8],
  ])('of %d + %d: %d', (dataShards, parityShards, threshold) => {
    expect(writeThreshold({ dataShards, parityShards })).toBe(threshold)
  })
})
