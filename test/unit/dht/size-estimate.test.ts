import { describe, expect, test } from 'vitest'
import { keyFromBytes, type Key } from '../../../ts/base/identity.ts'
import { compareDistance } from '../../../ts/dht/key.ts'
import { SizeEstimate } from '../../../ts/dht/size-estimate.ts'
import { SeededRng } from '../../../ts/sim/rng.ts'

const K = 20

describe('the size of the network', () => {
  test('is unknown before the first look-up', () => {
    expect(new SizeEstimate({ k: K }).size).toBeUndefined()
  })

  test('is exact where look-ups end with everybody', () => {
    const network = new Network('small', 7)
    const estimate = new SizeEstimate({ k: K })
    for (let at = 0; at < 3; at += 1) network.lookUp(estimate, network.target())

    expect(estimate.size).toEqual({ nodes: 8, errorRatio: 0, lookups: 3 })
  })

  test.each([200, 1_000])(
    'of %i nodes is known after 16 look-ups to 7 %, and the stated error is the true one',
    (nodes) => {
      const errors: number[] = []
      let stated = 0
      for (let round = 0; round < 60; round += 1) {
        const network = new Network(`${nodes} ${round}`, nodes)
        const estimate = new SizeEstimate({ k: K })
        for (let at = 0; at < 16; at += 1) network.lookUp(estimate, network.target())
        const size = estimate.size ?? { nodes: 0, errorRatio: 0 }
        errors.push(size.nodes / (nodes + 1) - 1)
        stated = size.errorRatio
      }
      const mean = errors.reduce((sum, error) => sum + error, 0) / errors.length
      const deviation = Math.sqrt(errors.reduce((sum, error) => sum + (error - mean) ** 2, 0) / errors.length)

      expect(stated).toBeCloseTo(0.07, 2)
      expect(Math.abs(mean)).toBeLessThan(0.03)
      expect(deviation).toBeGreaterThan(0.6 * stated)
      expect(deviation).toBeLessThan(1.3 * stated)
    },
  )

  test('is not moved far by those who own the neighbourhoods of a third of the targets', () => {
    const network = new Network('attacked', 1_000)
    const estimate = new SizeEstimate({ k: K })
    for (let at = 0; at < 60; at += 1) {
      const target = network.target()
      if (at % 3 === 0) estimate.observe(target, new Array<Key>(K).fill(target))
      else network.lookUp(estimate, target)
    }

    expect(estimate.size?.nodes).toBeGreaterThan(800)
    expect(estimate.size?.nodes).toBeLessThan(1_300)
  })

  test('counts a target once, by its latest look-up, and forgets all but the latest 64', () => {
    const network = new Network('again', 500)
    const estimate = new SizeEstimate({ k: K })
    const first = network.target()
    estimate.observe(first, new Array<Key>(K).fill(first))
    network.lookUp(estimate, first)

    expect(estimate.size?.lookups).toBe(1)
    expect(estimate.size?.nodes).toBeLessThan(2_000)
    for (let at = 0; at < 100; at += 1) network.lookUp(estimate, network.target())
    expect(estimate.size?.lookups).toBe(64)
  })
})

/** Keys of nodes and targets that a seed fixes, and who is nearest. */
class Network {
  readonly #rng: SeededRng
  readonly #nodes: readonly Key[]

  constructor(seed: string, size: number) {
    this.#rng = new SeededRng(seed)
    this.#nodes = Array.from({ length: size }, () => this.target())
  }

  target(): Key {
    return keyFromBytes(this.#rng.bytes(32))
  }

  lookUp(estimate: SizeEstimate, target: Key): void {
    const nearest = [...this.#nodes].sort((a, b) => compareDistance(target, { a, b })).slice(0, K)
    estimate.observe(target, nearest)
  }
}
