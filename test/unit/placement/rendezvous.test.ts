import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { nodeIdFromBytes, type NodeId } from '../../../ts/base/identity.ts'
import { rankNodes } from '../../../ts/placement/rendezvous.ts'

const hash = (material: Uint8Array): Uint8Array => createHash('sha256').update(material).digest()

test('the order depends on the set of nodes alone, not on how it was given', () => {
  const nodes = many(40)
  const draw = { key: key(1), hash }

  const ranked = rankNodes(nodes, draw)

  expect(rankNodes([...nodes].reverse(), draw)).toEqual(ranked)
  expect(rankNodes([...nodes, ...nodes], draw)).toEqual(ranked)
  expect([...ranked].sort()).toEqual([...nodes].sort())
})

test('another key draws another order', () => {
  const nodes = many(40)

  expect(rankNodes(nodes, { key: key(1), hash })).not.toEqual(rankNodes(nodes, { key: key(2), hash }))
})

test('a node that leaves moves nobody else', () => {
  const nodes = many(30)

  fc.assert(
    fc.property(fc.integer({ min: 0, max: 29 }), fc.integer({ min: 0, max: 255 }), (gone, seed) => {
      const draw = { key: key(seed), hash }
      const left = nodes.filter((_, index) => index !== gone)

      expect(rankNodes(left, draw)).toEqual(rankNodes(nodes, draw).filter((id) => id !== nodes[gone]))
    }),
  )
})

test('every node is drawn about equally often', () => {
  const nodes = many(24)
  const drawn = new Map<NodeId, number>()
  for (let object = 0; object < 1000; object += 1) {
    const ranked = rankNodes(nodes, { key: hash(Uint8Array.of(object >> 8, object & 255)), hash })
    for (const id of ranked.slice(0, 12)) drawn.set(id, (drawn.get(id) ?? 0) + 1)
  }

  // Each expects 500 with a standard deviation of 15.8; six of them either way.
  expect(Math.min(...nodes.map((id) => drawn.get(id) ?? 0))).toBeGreaterThan(405)
  expect(Math.max(...drawn.values())).toBeLessThan(595)
})

test('two nodes with one hash keep one order', () => {
  const nodes = many(5)
  const draw = { key: key(1), hash: () => new Uint8Array(32) }

  expect(rankNodes(nodes, draw)).toEqual(rankNodes([...nodes].reverse(), draw))
})

function many(count: number): NodeId[] {
  return Array.from({ length: count }, (_, index) => nodeIdFromBytes(hash(Uint8Array.of(index))))
}

function key(seed: number): Uint8Array {
  return new Uint8Array(32).fill(seed)
}
