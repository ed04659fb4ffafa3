import { expect, test } from 'vitest'
import { ADVERSARIES } from '../../ts/sim/adversaries.ts'
import { playAgainst } from '../../ts/sim/scenarios/adversaries.ts'
import { simulatedNetwork } from '../../ts/sim/simulated-network.ts'
import type { SimulatedNode } from '../../ts/sim/simulated-node.ts'

// Every bug that the simulator found, with the seed that showed it. A case stays when its bug is gone.

test('two values of one sequence: readers take the one that holders keep', async () => {
  // Look-ups took the record with the lower bytes, holders keep the one with the lower hash: quorums were not reached, or
  // showed the value that does not count.
  const { broken, quorums, quorumReads } = await playAgainst(options('1', 60), named('equivocation'))

  expect(broken).toEqual([])
  expect(quorums).toBe(quorumReads)
}, 120_000)

test('compare-and-set of a writer who was cut off from its keepers does not take its own writes for unwritten', async () => {
  // The version in force was asked of others alone: where none of them had the register, "there must be none yet" held
  // after it had been written twice, and the write succeeded.
  const network = await simulatedNetwork(60, { seed: 'cut off', start: 'settled' })
  await network.run(60_000)
  const [first, writer, ...others] = network.nodes as [SimulatedNode, SimulatedNode, ...SimulatedNode[]]
  await network.until(writer.put('name', Uint8Array.of(1)))
  const { sequence, accepted } = await network.until(writer.put('name', Uint8Array.of(2)))
  const forgetful = [first, ...others].filter(({ id }) => !accepted.includes(id)).map(({ id }) => id)
  network.partition([[writer.id, ...forgetful]])

  const again = network.until(writer.put('name', Uint8Array.of(3), { expectSequence: 0 }))

  expect(accepted).not.toContain(writer.id)
  await expect(again).rejects.toMatchObject({ code: 'RECORD_STALE', details: { sequence } })
  const next = network.until(writer.put('name', Uint8Array.of(4), { expectSequence: sequence }))
  await expect(next).resolves.toMatchObject({ sequence: sequence + 1 })
})

function options(seed: string, nodes: number) {
  return { seed, nodes, progress: () => undefined }
}

function named(name: string) {
  const adversary = ADVERSARIES.find((each) => each.name === name)
  if (adversary === undefined) throw new Error(`no strategy ${name}`)
  return adversary
}
