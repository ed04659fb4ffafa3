import { ADVERSARIES, Circle, NO_ADVERSARY, type Adversary } from '../adversaries.ts'
import type { Played, PlayOptions, Scenario } from '../scenario.ts'
import { simulatedNetwork } from '../simulated-network.ts'

/** Of all nodes. */
const HOSTILE_SHARE = 0.2
const VALUES = 3
const READERS = 10
const VALUE = new TextEncoder().encode('a value')
const MINUTE_MS = 60_000

/** Nobody hostile first, then each strategy for itself: a fifth of the nodes plays it, honest nodes write and others read. */
export const scenario: Scenario = {
  about:
    'a fifth of hostile nodes, one strategy after the other: what honest nodes read of what honest nodes wrote',
  nodes: 100,
  async play(options) {
    const figures: Record<string, number> = {}
    const broken: string[] = []
    const traces: string[] = []
    for (const adversary of [NO_ADVERSARY, ...ADVERSARIES]) {
      options.progress(adversary.name)
      const { found, requests, lies, trace } = await playOne(options, adversary)
      figures[`${adversary.name}: found, %`] = Math.round(1000 * found) / 10
      figures[`${adversary.name}: requests of a read`] = Math.round(10 * requests) / 10
      figures[`${adversary.name}: hostile answers`] = lies
      if (found < 1)
        broken.push(`${adversary.name}: ${Math.round((1 - found) * VALUES * READERS)} reads found nothing`)
      traces.push(trace.slice(0, 12))
    }
    return { figures, broken, traceHash: traces.join('') } satisfies Played
  },
}

async function playOne({ seed, nodes }: PlayOptions, adversary: Adversary) {
  const network = await simulatedNetwork(nodes, { seed, start: 'settled' })
  await network.run(MINUTE_MS)
  const hostile = Math.round(nodes * HOSTILE_SHARE)
  const circle = new Circle(network.nodes.slice(0, hostile), network.world.rng.split('circle'))
  for (const member of circle.members) adversary.corrupt(member, circle)
  const honest = network.nodes.slice(hostile)
  const draws = network.world.rng.split('readers')
  let found = 0
  let requests = 0
  for (const writer of honest.slice(0, VALUES)) {
    // A write that failed shows in the reads.
    await network.until(writer.put('name', VALUE, { timeoutMs: 120_000 }).catch(() => undefined))
    for (let read = 0; read < READERS; read += 1) {
      const reader = honest[VALUES + draws.below(honest.length - VALUES)] ?? writer
      const before = network.requests
      const value = await network.until(reader.get('name', { owner: writer.id }).catch(() => undefined))
      requests += network.requests - before
      if (value !== undefined) found += 1
    }
  }
  const reads = VALUES * READERS
  return {
    found: found / reads,
    requests: requests / reads,
    lies: circle.lies,
    trace: network.world.traceHash(),
  }
}
