import { expect, test } from 'vitest'
import { keyFromBytes, type Key } from '../../../ts/base/identity.ts'
import { compareDistance } from '../../../ts/dht/key.ts'
import { Neighbourhoods } from '../../../ts/dht/neighbourhoods.ts'
import { SeededRng } from '../../../ts/sim/rng.ts'

const K = 20

test('look-ups tell the size, and then a place with twenty ids made for it from the others', () => {
  const rng = new SeededRng('neighbourhoods')
  const randomKey = (): Key => keyFromBytes(rng.bytes(32))
  const nodes = Array.from({ length: 1_000 }, randomKey)
  const nearest = (target: Key): Key[] =>
    [...nodes].sort((a, b) => compareDistance(target, { a, b })).slice(0, K)
  const neighbourhoods = new Neighbourhoods({ k: K })
  const look = (target: Key) => neighbourhoods.observe(target, nearest(target))

  const first = Array.from({ length: 14 }, () => look(randomKey()))
  const later = Array.from({ length: 50 }, () => look(randomKey()))
  const victim = randomKey()
  // Far more bits in common than any honest node has.
  const made = Array.from({ length: K }, () =>
    keyFromBytes(Uint8Array.from([...victim.subarray(0, 4), ...rng.bytes(28)])),
  )

  expect(new Set(first)).toEqual(new Set(['unknown']))
  expect(later.filter((verdict) => verdict === 'honest').length).toBeGreaterThanOrEqual(48)
  expect(neighbourhoods.size?.nodes).toBeGreaterThan(850)
  expect(neighbourhoods.size?.nodes).toBeLessThan(1_150)
  expect(neighbourhoods.observe(victim, made)).toBe('crowded')
  expect(look(randomKey())).toBe('honest')
})

test('a network that every look-up sees whole is known and judged from the second look-up on', () => {
  const rng = new SeededRng('small')
  const nodes = Array.from({ length: 3 }, () => keyFromBytes(rng.bytes(32)))
  const neighbourhoods = new Neighbourhoods({ k: K })

  const verdicts = [1, 2].map(() => neighbourhoods.observe(keyFromBytes(rng.bytes(32)), nodes))

  expect(verdicts).toEqual(['unknown', 'honest'])
  expect(neighbourhoods.size).toEqual({ nodes: 4, errorRatio: 0, lookups: 2 })
})
