import { expect, test } from 'vitest'
import { ADVERSARIES } from '../../ts/sim/adversaries.ts'
import { scenario } from '../../ts/sim/scenarios/adversaries.ts'

test('honest nodes read what honest nodes wrote, whatever a fifth of the others does', async () => {
  const { figures, broken } = await scenario.play({ seed: '1', nodes: 60, progress: () => undefined })

  expect(broken).toEqual([])
  for (const { name } of ADVERSARIES) {
    expect(figures[`${name}: found, %`]).toBe(100)
    expect(figures[`${name}: requests of a read`]).toBeGreaterThan(0)
  }
}, 180_000)
