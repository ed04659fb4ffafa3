import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { nodeIdFromBytes, type NodeId } from '../../../ts/base/identity.ts'
import { ReadPlan, SegmentPlan } from '../../../ts/objects/read-plan.ts'
import { WritePlan } from '../../../ts/objects/write-plan.ts'

const LAYOUT = { dataShards: 8, parityShards: 4 }
const nodes = Array.from({ length: 40 }, (_, index) => nodeIdFromBytes(new Uint8Array(32).fill(index)))

describe('a write plan', () => {
  test('gives each index to the node at its place in the draw', () => {
    const plan = new WritePlan({ layout: LAYOUT, ranked: nodes })

    expect(plan.current()).toEqual(nodes.slice(0, 12).map((nodeId, shardIndex) => ({ nodeId, shardIndex })))
    expect(plan.weakest()).toBe(12)
    expect(plan.threshold).toBe(10)
  })

  test('replaces a failed holder by the next in the draw, once, and forgets nobody who has shards', () => {
    const plan = new WritePlan({ layout: LAYOUT, ranked: nodes.slice(0, 14) })
    const holder = { nodeId: nodes[3]!, shardIndex: 3 }
    plan.onStored(holder, 0)

    plan.onFailed(holder, { keptItsShards: true })
    plan.onFailed(holder, { keptItsShards: true })
    plan.onStored({ nodeId: nodes[12]!, shardIndex: 3 }, 1)

    expect(plan.holderOf(3)).toBe(nodes[12])
    expect(plan.weakest()).toBe(12)
    const thirds = plan.holders().filter(({ shardIndex }) => shardIndex === 3)
    expect(thirds).toEqual([
      { nodeId: nodes[12], shardIndex: 3, shards: 1, isPresent: true },
      { nodeId: nodes[3], shardIndex: 3, shards: 1, isPresent: false },
    ])
  })

  test('does not count what a vanished holder had', () => {
    const plan = new WritePlan({ layout: LAYOUT, ranked: nodes })
    for (let shardIndex = 0; shardIndex < 3; shardIndex += 1) {
      const holder = { nodeId: nodes[shardIndex]!, shardIndex }
      plan.onStored(holder, 0)
      plan.onFailed(holder, { keptItsShards: false })
      expect(plan.weakest()).toBe(11 - shardIndex)
    }
  })

  test('counts losses of different segments apart', () => {
    const plan = new WritePlan({ layout: LAYOUT, ranked: nodes })
    const first = { nodeId: nodes[0]!, shardIndex: 0 }
    plan.onStored(first, 0)
    plan.onFailed(first, { keptItsShards: false })
    // The successor of another index takes over before it had stored anything: no segment lacks its shard.
    plan.onFailed({ nodeId: nodes[1]!, shardIndex: 1 }, { keptItsShards: false })
    const successor = { nodeId: plan.holderOf(1)!, shardIndex: 1 }
    plan.onStored(successor, 0)
    plan.onStored(successor, 1)

    expect(plan.weakest()).toBe(11)
  })

  test('an index without successor is missing from there on', () => {
    const plan = new WritePlan({ layout: LAYOUT, ranked: nodes.slice(0, 12) })

    plan.onFailed({ nodeId: nodes[11]!, shardIndex: 11 }, { keptItsShards: true })

    expect(plan.holderOf(11)).toBeUndefined()
    expect(plan.current()).toHaveLength(11)
    expect(plan.weakest()).toBe(11)
  })
})

describe('a read plan', () => {
  test('asks eight and one spare, the fastest first and data before parity among equals', () => {
    const plan = opened(LAYOUT)

    expect(new SegmentPlan(plan).next().map(({ shardIndex }) => shardIndex)).toEqual([
      0, 1, 2, 3, 4, 5, 6, 7, 8,
    ])
    plan.onSlow(nodes[2]!, 5000)
    const second = new SegmentPlan(plan).next().map(({ shardIndex }) => shardIndex)
    expect(second).toHaveLength(9)
    expect(second).not.toContain(2)
  })

  test('asks nobody before the dial is answered, and counts those as possible', () => {
    const plan = new ReadPlan({ layout: LAYOUT, holders: places() })
    const segment = new SegmentPlan(plan)

    expect(segment.next()).toEqual([])
    expect(segment.verdict()).toEqual({ kind: 'reading' })
    plan.onOpened(nodes[5]!, 1)
    expect(segment.next()).toEqual([{ nodeId: nodes[5], shardIndex: 5 }])
    expect(segment.next()).toEqual([])
  })

  test('says how many are left as soon as they are too few', () => {
    const plan = opened(LAYOUT)
    const segment = new SegmentPlan(plan)
    for (const id of nodes.slice(0, 4)) plan.onDead(id)
    expect(segment.verdict()).toEqual({ kind: 'reading' })

    plan.onDead(nodes[4]!)

    expect(segment.verdict()).toEqual({ kind: 'missing', found: 7 })
    expect(segment.next()).toEqual([])
  })

  test('asks another holder of an index when the first one has not got it', () => {
    const holders = [...places(), { nodeId: nodes[12]!, shardIndex: 0 }]
    const plan = new ReadPlan({ layout: LAYOUT, holders })
    for (const id of nodes) plan.onOpened(id, 1)
    for (const id of nodes.slice(8, 12)) plan.onDead(id)
    const segment = new SegmentPlan(plan)
    const [first, ...others] = segment.next()
    for (const place of others) segment.onShard(place)

    segment.onRefused(first!)

    expect(segment.next()).toEqual([{ nodeId: nodes[12], shardIndex: 0 }])
    segment.onRefused({ ...holders[12]! })
  })

  test('asks one more each time that an answer takes long', () => {
    const segment = new SegmentPlan(opened(LAYOUT))
    segment.next()

    expect(segment.next()).toEqual([])
    segment.onSlow()
    expect(segment.next()).toHaveLength(1)
    segment.onSlow()
    segment.onSlow()
    segment.onSlow()
    expect(segment.next()).toHaveLength(2)
  })

  test('leaves a busy holder out until nobody else is left', () => {
    const plan = opened(LAYOUT)
    for (let count = 0; count < 4; count += 1) plan.onAsked(nodes[0]!)
    const segment = new SegmentPlan(plan)
    expect(segment.next().map(({ nodeId }) => nodeId)).not.toContain(nodes[0])

    for (const id of nodes.slice(8, 12)) plan.onDead(id)
    const needed = new SegmentPlan(plan)
    expect(needed.next().map(({ nodeId }) => nodeId)).toContain(nodes[0])
  })

  test('whatever holders do, it ends: complete with eight shards or missing with fewer', () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom('gives', 'refuses', 'dies'), { minLength: 12, maxLength: 12 }),
        (deeds) => {
          const plan = opened(LAYOUT)
          const segment = new SegmentPlan(plan)
          let given = 0
          for (let asked = segment.next(); asked.length > 0; asked = segment.next()) {
            for (const place of asked) {
              const deed = deeds[place.shardIndex]
              if (deed === 'dies') plan.onDead(place.nodeId)
              if (deed === 'gives') segment.onShard(place)
              else segment.onRefused(place)
              given += deed === 'gives' ? 1 : 0
            }
          }

          const able = deeds.filter((deed) => deed === 'gives').length
          const verdict = segment.verdict()
          if (able >= 8) expect(verdict).toEqual({ kind: 'complete' })
          else expect(verdict).toMatchObject({ kind: 'missing' })
          if (verdict.kind === 'missing') expect(verdict.found).toBeGreaterThanOrEqual(able)
          expect(given).toBeLessThanOrEqual(12)
        },
      ),
    )
  })
})

function places(): { nodeId: NodeId; shardIndex: number }[] {
  return nodes.slice(0, 12).map((nodeId, shardIndex) => ({ nodeId, shardIndex }))
}

function opened(layout: typeof LAYOUT): ReadPlan {
  const plan = new ReadPlan({ layout, holders: places() })
  for (const { nodeId } of places()) plan.onOpened(nodeId, 1)
  return plan
}
