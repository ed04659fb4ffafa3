import { brokenBudgets, brokenTables, exactness } from '../invariants.ts'
import type { Played, PlayOptions, Scenario } from '../scenario.ts'
import { simulatedNetwork } from '../simulated-network.ts'

const MINUTE_MS = 60_000
/** Until the nodes have told each other where they are, which they do once. */
const WARM_UP_MINUTES = 10
const MINUTES = 60
/** Look-ups that are compared with the oracle. */
const LOOKS = 50
const NEAREST = 20
/** docs/ARCHITECTURE.md: what upkeep may cost when nobody comes or goes. */
const MAX_REQUESTS_A_MINUTE = 3
/** A node keeps where others are that have it among their 20 nearest: 20 on average. */
const MAX_RECORDS = 60

/** What it costs to keep the tables true when nothing happens. */
export const scenario: Scenario = {
  about:
    'an hour of a settled network in which nothing happens: what upkeep costs, and whether look-ups stay exact',
  nodes: 1_000,
  play,
}

async function play({ seed, nodes, progress }: PlayOptions): Promise<Played> {
  const network = await simulatedNetwork(nodes, { seed, start: 'settled' })
  progress('warming up')
  await network.run(WARM_UP_MINUTES * MINUTE_MS)
  const before = network.requests
  for (let minute = 0; minute < MINUTES; minute += 1) {
    progress(`minute ${minute}`)
    await network.run(MINUTE_MS)
  }
  const perMinute = (network.requests - before) / nodes / MINUTES
  const contacts = network.nodes.reduce((sum, node) => sum + node.peers().length, 0) / nodes
  const exact = await exactness(network, {
    looks: LOOKS,
    count: NEAREST,
    rng: network.world.rng.split('looks'),
  })
  const broken = [...brokenTables(network), ...brokenBudgets(network, MAX_RECORDS)]
  if (exact < 1) broken.push(`look-ups found ${100 * exact} % of the nearest`)
  if (perMinute > MAX_REQUESTS_A_MINUTE) broken.push(`${perMinute.toFixed(2)} requests a minute and node`)
  return {
    figures: {
      'requests a minute and node': round(perMinute),
      'contacts of a node': round(contacts),
      'records of the node with most': Math.max(...network.nodes.map(({ dht }) => dht.recordCount)),
      'exactness of look-ups, %': round(100 * exact),
    },
    broken,
    traceHash: network.world.traceHash(),
  }
}

function round(figure: number): number {
  return Math.round(figure * 100) / 100
}
