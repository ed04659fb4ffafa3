import { describe, expect, test } from 'vitest'
import { decodeProvider } from '../../ts/dht/provider-record.ts'
import { getSummary } from '../../ts/dht/provider-wire.ts'
import { SeededRng } from '../../ts/sim/rng.ts'
import { DhtNetwork, type DhtNode } from './dht-network.ts'

const MINUTE_MS = 60_000
const CHILDREN = 10_000
/** Milliseconds of a machine that has other work. */
const LONG = { timeout: 300_000 }

describe('summaries of providers over the network services, in simulated time', () => {
  test('10,000 children take at most 60 requests and 12.6 bits each, and none is denied', LONG, async () => {
    const network = await grown('providers', 24)
    const { world } = network
    const [provider, ...readers] = network.nodes as [DhtNode, ...DhtNode[]]
    const rng = new SeededRng('children')
    const root = rng.bytes(32)
    const ids = Array.from({ length: CHILDREN }, () => rng.bytes(32))

    const before = asked(provider)
    const { accepted } = await world.runUntil(provider.dht.providers.announce(root, ids))
    const publishing = asked(provider) - before

    expect(accepted.length).toBe(20)
    expect(publishing).toBeLessThanOrEqual(60)
    const reader = readers[7]!
    const find = async (id: Uint8Array): Promise<boolean> => {
      const found = await reader.dht.providers.find(id, { root })
      return found.some((one) => one.id === provider.id)
    }
    expect(await world.runUntil(find(ids[0]!))).toBe(true)
    const looked = asked(reader)
    for (const id of ids.slice(0, 1_000)) expect(await find(id)).toBe(true)
    expect(asked(reader)).toBe(looked)
    const plan = await world.runUntil(reader.dht.providers.plan(ids, { root }))
    expect(plan.missing).toEqual([])
    expect(await summaryBits(network, { reader, provider, root })).toBeLessThanOrEqual(12.6 * CHILDREN)
    console.log(`${publishing} requests to publish ${CHILDREN} children on ${accepted.length} nodes`)
  })

  test(
    'providers that die without a word are passed over, and forgotten when their announcements end',
    LONG,
    async () => {
      const network = await grown('deaths of providers', 20)
      const { world } = network
      const rng = new SeededRng('children')
      const [root, child] = [rng.bytes(32), rng.bytes(32)]
      const [first, second, reader, late] = network.nodes as [DhtNode, DhtNode, DhtNode, DhtNode]
      for (const node of [first, second]) {
        await world.runUntil(node.dht.providers.announce(root, [child]))
      }
      const named = (node: DhtNode) =>
        world
          .runUntil(node.dht.providers.find(child, { root, timeoutMs: 60_000 }))
          .then((found) => found.map(({ id }) => id).sort())
      expect(await named(reader)).toEqual([first.id, second.id].sort())
      network.kill(first)

      // Its summary can't be had any more; who has it goes by that until the announcement ends.
      expect(await named(late)).toEqual([second.id])
      await world.run(130 * MINUTE_MS)

      expect(await named(reader)).toEqual([second.id])
      expect(await named(late)).toEqual([second.id])
    },
  )
})

async function grown(seed: string, count: number): Promise<DhtNetwork> {
  const network = new DhtNetwork(seed)
  await network.grow(count)
  await network.world.run(MINUTE_MS)
  return network
}

/** Requests that a node has made so far, whatever became of them. */
function asked({ metrics }: DhtNode): number {
  return metrics
    .counters('requests')
    .filter(({ labels }) => labels['direction'] === 'outbound')
    .reduce((sum, { value }) => sum + value.value, 0)
}

/** What the summary takes on the wire. */
async function summaryBits(
  { world }: DhtNetwork,
  {
    reader,
    provider,
    root,
  }: { readonly reader: DhtNode; readonly provider: DhtNode; readonly root: Uint8Array },
): Promise<number> {
  const peer = { id: provider.id, addresses: [provider.address] }
  const request = {
    root,
    epoch: 0,
    wantsIndex: false,
    segments: { from: 0, count: 0 },
    addedFrom: 0,
    wantsRecord: false,
  }
  const moved = await world.runUntil(reader.rpc.request(peer, getSummary, request))
  if (moved.kind !== 'moved') throw new Error(moved.kind)
  const { epoch } = decodeProvider(moved.record.body)
  const whole = { ...request, epoch, segments: { from: 0, count: 3 } }
  const answer = await world.runUntil(reader.rpc.request(peer, getSummary, whole))
  if (answer.kind !== 'summary') throw new Error(answer.kind)
  return answer.segments.reduce((sum, segment) => sum + segment.byteLength * 8, 0)
}
