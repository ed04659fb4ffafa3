import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { NODE_METRICS } from '../../ts/metrics/catalogue.ts'
import { makeWorld, scrape, sourceOf, type World } from './world.ts'

let world: World

beforeAll(async () => {
  world = await makeWorld()
})

afterAll(() => world.end())

describe('the catalogue', () => {
  test('shows every figure that native code tells', async () => {
    const stranger = await world.stranger()
    // Values that name their figure.
    const figures = new Map([...stranger.figures().keys()].map((name, at) => [name, 1000 + at]))
    const shown = NODE_METRICS.flatMap((metric) =>
      metric.kind === 'histogram'
        ? []
        : metric.read({ source: sourceOf(stranger), figures }, metric.labels).map(({ value }) => value),
    )

    expect([...figures].filter(([, value]) => !shown.includes(value))).toEqual([])
    expect(figures.size).toBeGreaterThan(30)
  })

  test('no label value names a peer or an address', async () => {
    const read = await scrape(world.a)
    const values = [...read.families.values()].flatMap(({ series }) =>
      series.flatMap(({ labels }) => Object.values(labels)),
    )

    for (const value of values) {
      expect(value).toMatch(/^(?:[a-zA-Z_]{1,24}(?:\.[a-zA-Z]{1,24})?|p50|p99|\+Inf|[0-9]+(?:\.[0-9]+)?)$/)
    }
  })
})
