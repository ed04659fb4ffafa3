import { describe, expect, test } from 'vitest'
import { keyOfRecord, signRecords } from '../../../../ts/base/record.ts'
import { getProviders } from '../../../../ts/dht/provider-wire.ts'
import { getKey } from '../../../../ts/dht/wire.ts'
import { hash } from '../../../../ts/native/hash.ts'
import { networkOf, stopAll, type FakeNode } from '../fake-network.ts'

const ROOT = hash(Uint8Array.of(1))
const childOf = (at: number): Uint8Array => hash(Uint8Array.of(at, 9))

describe('a look-up of announcements', () => {
  test('reads on where a root has more than a page of them, however many holders have more', async () => {
    const { nodes } = await networkOf(44, { k: 8 })
    const [reader, ...providers] = nodes as [FakeNode, ...FakeNode[]]
    for (const [at, node] of providers.entries()) await node.dht.providers.announce(ROOT, [childOf(at)])

    const missing: number[] = []
    for (const [at, { id }] of providers.entries()) {
      const found = await reader.dht.providers.find(childOf(at), { root: ROOT })
      if (!found.some((one) => one.id === id)) missing.push(at)
    }

    expect(missing).toEqual([])
    await stopAll(nodes)
  })

  test('fetches the keys of a page at once', async () => {
    const { network, nodes } = await networkOf(30, { k: 4 })
    const holders = network.oracle(keyOf(nodes[0]!), 4)
    const [reader, ...providers] = nodes.filter(({ id }) => !holders.includes(id)) as [
      FakeNode,
      ...FakeNode[],
    ]
    for (const [at, node] of providers.slice(0, 12).entries()) {
      await node.dht.providers.announce(ROOT, [childOf(at)])
    }
    const keysBefore = network.counts.get(getKey.name) ?? 0
    for (const node of nodes) if (node !== reader) node.port.delayMs = 100
    const startedAtMs = network.world.clock.nowMs()

    const find = reader.dht.providers.find(childOf(0), { root: ROOT })
    expect(await network.world.runUntil(find)).not.toEqual([])

    expect((network.counts.get(getKey.name) ?? 0) - keysBefore).toBeGreaterThanOrEqual(12)
    // A page, its keys, and the summaries; key after key it took twice as long.
    expect(network.world.clock.nowMs() - startedAtMs).toBeLessThanOrEqual(700)
    await stopAll(nodes)
  })

  test('takes nothing of a holder that shows one provider twice on a page', async () => {
    const { nodes, reader, holders } = await world()
    const { records } = await page(reader, holders[0]!)
    const asked: string[] = []
    for (const node of nodes) {
      if (node === reader) continue
      node.port.handleRaw(getProviders.protocol, () => {
        asked.push(node.id)
        const answer = { records: [...records, ...records], hasMore: true, peers: [] }
        return Promise.resolve(getProviders.encodeResponse(answer))
      })
    }

    expect(records.length).toBe(1)
    expect(await reader.dht.providers.find(childOf(0), { root: ROOT })).toEqual([])
    // Each for its first page alone.
    expect(asked.length).toBeGreaterThanOrEqual(4)
    expect(new Set(asked).size).toBe(asked.length)
    await stopAll(nodes)
  })

  test('looks at nothing that comes after its end', async () => {
    const { network, nodes, reader, holders } = await world()
    const [slow] = holders as [FakeNode]
    const [record] = (await page(reader, slow)).records
    const body = { ...record!.body, owner: slow.id }
    const [forged] = signRecords(slow.env.crypto, [body]).map((good) => ({
      ...good,
      signature: new Uint8Array(3_309),
    }))
    let answers = 0
    slow.port.delayMs = 2_000
    slow.port.handleRaw(getProviders.protocol, () => {
      answers += 1
      const answer = { records: [forged!], hasMore: true, peers: [] }
      return Promise.resolve(getProviders.encodeResponse(answer))
    })

    const find = reader.dht.providers.find(childOf(0), { root: ROOT })
    expect((await network.world.runUntil(find)).length).toBe(1)
    expect(answers).toBe(0)
    await network.world.run(10_000)

    expect(answers).toBe(1)
    const outcomes = reader.env.metrics.counters('summaries').map(({ labels }) => labels['outcome'])
    expect(outcomes).toEqual(['ok'])
    await stopAll(nodes)
  })
})

/** One provider, four holders, and a reader that is none of them. */
async function world() {
  const { network, nodes } = await networkOf(8, { k: 4 })
  const key = keyOf(nodes[0]!)
  const near = network.oracle(key, 4)
  const holders = nodes.filter(({ id }) => near.includes(id))
  const [reader, provider] = nodes.filter((node) => !holders.includes(node)) as [FakeNode, FakeNode]
  await provider.dht.providers.announce(ROOT, [childOf(0)])
  return { network, nodes, reader, holders }
}

function page(from: FakeNode, holder: FakeNode) {
  const sender = { serves: true, addresses: [from.port.address] }
  return from.port.request(holder.peer, getProviders, { sender, key: keyOf(from), after: undefined })
}

function keyOf(node: FakeNode) {
  return keyOfRecord(node.env.crypto, { kind: 'PROVIDER', subject: ROOT, owner: node.id })
}
