import { expect, test } from 'vitest'
import { keyFromBytes, nodeIdFromBytes, type NodeId } from '../../../../ts/base/identity.ts'
import { MAX_SUPERSEDED, Superseded, type SupersededEntry } from '../../../../ts/dht/superseded.ts'
import { SeededRng } from '../../../../ts/sim/rng.ts'

const ROOM = { inAll: 1_000, ofOwner: 1_000, ofSource: 1_000 }
const id = (value: number): NodeId => nodeIdFromBytes(new Uint8Array(32).fill(value))
const entry = (change: Partial<SupersededEntry> & { readonly register?: number } = {}): SupersededEntry => {
  const { register = 1, ...rest } = change
  const key = keyFromBytes(new Uint8Array(32).fill(register))
  return { key, owner: id(1), source: id(2), sequence: 1, ...rest }
}
const sequences = (entries: readonly SupersededEntry[]): number[] => entries.map(({ sequence }) => sequence)

test('of one register eight stay, the first to be superseded goes first', () => {
  const superseded = new Superseded()
  for (let sequence = 1; sequence <= 10; sequence += 1) superseded.add(entry({ sequence }))

  expect(sequences(superseded.trim(entry(), ROOM))).toEqual([1, 2])
  expect(superseded.size).toBe(MAX_SUPERSEDED)
  expect(superseded.trim(entry(), ROOM)).toEqual([])
})

test('nothing stays that the newest records leave no room for: of an owner, of a peer, in all', () => {
  const superseded = new Superseded()
  const [a, b] = [id(10), id(11)]
  superseded.add(entry({ register: 1, owner: a, source: a, sequence: 1 }))
  superseded.add(entry({ register: 2, owner: a, source: b, sequence: 2 }))
  superseded.add(entry({ register: 3, owner: b, source: b, sequence: 3 }))
  superseded.add(entry({ register: 4, owner: b, source: a, sequence: 4 }))
  const trim = (room: object, owner = a, source = id(99)) =>
    sequences(superseded.trim(entry({ owner, source }), { ...ROOM, ...room }))

  expect(trim({ ofOwner: 1 })).toEqual([1])
  expect(trim({ ofSource: 0 }, id(98), b)).toEqual([2, 3])
  // The newest alone may be more than is allowed.
  expect(trim({ inAll: -5 })).toEqual([4])
  expect(superseded.size).toBe(0)
  expect(superseded.hasOwner(a) || superseded.hasOwner(b)).toBe(false)
})

test('the same version twice counts once, and what was taken out is not there', () => {
  const superseded = new Superseded()
  superseded.add(entry({ sequence: 3 }))
  superseded.add(entry({ sequence: 3, source: id(7) }))

  expect(superseded.size).toBe(1)
  expect(superseded.delete(entry({ sequence: 4 }))).toBeUndefined()
  expect(superseded.delete(entry({ sequence: 3 }))?.source).toBe(id(7))
  expect(superseded.trim(entry(), { inAll: 0, ofOwner: 0, ofSource: 0 })).toEqual([])
})

test('after any run of additions, deletions and cuts the counts are those of what is there', () => {
  const rng = new SeededRng('superseded')
  const superseded = new Superseded()
  const model = new Map<string, SupersededEntry>()
  for (let step = 0; step < 5_000; step += 1) {
    const owner = id(rng.below(3))
    const one = entry({
      register: rng.below(4),
      owner,
      source: id(10 + rng.below(3)),
      sequence: rng.below(12),
    })
    const name = `${one.key.join()} ${one.sequence}`
    if (rng.below(4) > 0) {
      superseded.add(one)
      model.delete(name)
      model.set(name, one)
    } else if (rng.below(2) === 0) {
      expect(superseded.delete(one)).toEqual(model.get(name))
      model.delete(name)
    } else {
      const room = { inAll: rng.below(20), ofOwner: rng.below(10), ofSource: rng.below(10) }
      for (const gone of superseded.trim(one, room)) model.delete(`${gone.key.join()} ${gone.sequence}`)
      const left = [...model.values()]
      expect(left.length).toBeLessThanOrEqual(room.inAll)
      expect(left.filter(({ source }) => source === one.source).length).toBeLessThanOrEqual(room.ofSource)
      expect(left.filter(({ owner: other }) => other === owner).length).toBeLessThanOrEqual(room.ofOwner)
      expect(left.filter(({ key }) => key.join() === one.key.join()).length).toBeLessThanOrEqual(
        MAX_SUPERSEDED,
      )
    }
    expect(superseded.size).toBe(model.size)
  }
})
