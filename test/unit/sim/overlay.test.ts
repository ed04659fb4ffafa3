import { expect, test } from 'vitest'
import { keyOfNode, type NodeId } from '../../../ts/base/identity.ts'
import { compareDistance, commonPrefixBits } from '../../../ts/dht/key.ts'
import { Overlay } from '../../../ts/sim/overlay.ts'
import { SeededRng } from '../../../ts/sim/rng.ts'
import { drawIds, drawTarget } from '../../../ts/sim/settlement.ts'

const rng = new SeededRng('overlay')
const ids = drawIds(500, rng)
const overlay = new Overlay(ids)

test('the nearest are those of all nodes, in order, also for more than there are', () => {
  for (let look = 0; look < 50; look += 1) {
    const { id, key } = drawTarget(rng)

    expect(overlay.nearest(id, 20)).toEqual(sortedBy(key).slice(0, 20))
  }
  const { id, key } = drawTarget(rng)
  expect(overlay.nearest(id, 1_000)).toEqual(sortedBy(key))
})

test('a settled node knows k of every distance class, or all where there are fewer', () => {
  for (const id of ids.slice(0, 20)) {
    const contacts = overlay.contactsOf(id, { bucketSize: 8, rng })
    const classOf = (other: NodeId) => commonPrefixBits(keyOfNode(id), keyOfNode(other))
    const sizes = new Map<number, number>()
    for (const other of ids) if (other !== id) sizes.set(classOf(other), (sizes.get(classOf(other)) ?? 0) + 1)

    expect(new Set(contacts).size).toBe(contacts.length)
    for (const [shared, size] of sizes) {
      expect(contacts.filter((other) => classOf(other) === shared)).toHaveLength(Math.min(8, size))
    }
  }
})

function sortedBy(key: ReturnType<typeof keyOfNode>): NodeId[] {
  return [...ids].sort((a, b) => compareDistance(key, { a: keyOfNode(a), b: keyOfNode(b) }))
}
