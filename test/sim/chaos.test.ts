import { expect, test } from 'vitest'
import { playChaos } from '../../ts/sim/scenarios/chaos.ts'

test.each(['1', '2'])(
  'what was promised holds while everything goes wrong at once, and after it (seed %s)',
  async (seed) => {
    const { figures, broken } = await playChaos(
      { seed, nodes: 40, progress: () => undefined },
      { chaosMinutes: 40 },
    )

    expect(broken).toEqual([])
    expect(figures['crashes']).toBeGreaterThan(10)
    // Something went wrong for writers and for readers, and most of it went well.
    const { 'writes tried': tried = 0, 'writes acknowledged': acknowledged = 0 } = figures
    expect(acknowledged).toBeLessThan(tried)
    expect(acknowledged).toBeGreaterThan(tried / 3)
    expect(figures['writes over an old version refused']).toBeGreaterThan(0)
    expect(figures['reads that found nothing or failed']).toBeGreaterThan(0)
    expect(figures['reads that found nothing or failed']).toBeLessThan((figures['reads'] ?? 0) / 2)
  },
  300_000,
)
