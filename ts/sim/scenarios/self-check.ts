import { simulatedNetwork } from '../simulated-network.ts'
import type { Scenario } from '../scenario.ts'

/** Whether the command tells a broken run from a good one, and equal runs from different ones. */
export const scenario: Scenario = {
  about: 'a small network joins and nothing more; a seed that begins with "break" is told as broken',
  nodes: 8,
  play: async ({ seed, nodes }) => {
    const network = await simulatedNetwork(nodes, { seed })
    const joined = network.nodes.filter((node) => node.peers().length > 0).length
    return {
      figures: { 'nodes that know others': joined },
      broken: seed.startsWith('break') ? [`the seed ${seed} asks for it`] : [],
      traceHash: network.world.traceHash(),
    }
  },
}
