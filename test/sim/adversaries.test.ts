import { expect, test } from 'vitest'
import { ADVERSARIES, NO_ADVERSARY } from '../../ts/sim/adversaries.ts'
import { scenario } from '../../ts/sim/scenarios/adversaries.ts'

test('honest nodes read what honest nodes wrote, whatever a fifth of the others does', async () => {
  const played = await scenario.play({ seed: '1', nodes: 60, progress: () => undefined })

  const { figures, broken, traceHash } = played
  expect(broken).toEqual([])
  for (const { name } of [NO_ADVERSARY, ...ADVERSARIES]) {
    expect(figures[`${name}: found, %`]).toBe(100)
    expect(figures[`${name}: quorums reached, %`]).toBe(100)
    expect(figures[`${name}: requests of a read`]).toBeGreaterThan(0)
  }
  // Each strategy was met, and made of the run another than it is without, and than the others make of it.
  for (const { name } of ADVERSARIES) expect(figures[`${name}: hostile answers`]).toBeGreaterThan(0)
  expect(figures[`${NO_ADVERSARY.name}: hostile answers`]).toBe(0)
  const traces = traceHash.match(/.{12}/g)
  expect(new Set(traces).size).toBe(1 + ADVERSARIES.length)
}, 300_000)
