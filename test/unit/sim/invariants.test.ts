import { expect, test } from 'vitest'
import { brokenBudgets, brokenTables } from '../../../ts/sim/invariants.ts'
import { simulatedNetwork } from '../../../ts/sim/simulated-network.ts'

test('no node keeps more records than it may, however many are put on it, and one that did is named', async () => {
  const network = await simulatedNetwork(30, { dht: { maxRecords: 5 } })
  await network.run(60_000)

  // Every node says where it is on the twenty nearest.
  expect(brokenBudgets(network, 5)).toEqual([])
  expect(brokenTables(network)).toEqual([])
  const named = brokenBudgets(network, 4)
  expect(named).toHaveLength(30)
  network.nodes[0]!.crash()

  expect(brokenBudgets(network, 4)).toEqual(named.slice(1))
})
