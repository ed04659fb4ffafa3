import { describe, expect, test } from 'vitest'
import { signRecords, type SignedRecord } from '../../../../ts/base/record.ts'
import { encodeProvider } from '../../../../ts/dht/provider-record.ts'
import { encodeSummary } from '../../../../ts/dht/provider-summary.ts'
import { getProviders, getSummary, type GetSummaryResponse } from '../../../../ts/dht/provider-wire.ts'
import { hash } from '../../../../ts/native/hash.ts'
import { FakeNode, networkOf, stopAll, type FakeNetwork } from '../fake-network.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const ROOT = hash(Uint8Array.of(1))
const idsOf = (count: number, from = 0): Uint8Array[] =>
  Array.from({ length: count }, (_, at) => {
    const number = from + at
    return hash(Uint8Array.of(number >> 16, (number >> 8) & 255, number & 255, 3))
  })

describe('a reader', () => {
  test('looks a root up once, asks each provider once, and knows all children of the root from then on', async () => {
    const { network, nodes } = await networkOf(10)
    const [first, second, reader] = nodes as [FakeNode, FakeNode, FakeNode]
    await first.dht.providers.announce(ROOT, idsOf(500))
    await second.dht.providers.announce(ROOT, idsOf(500, 250))

    expect(await named(reader, idsOf(1)[0]!)).toEqual([first.id])
    const before = requests(network)
    for (const [at, id] of idsOf(750).entries()) {
      const found = await named(reader, id)
      if (at < 500) expect(found).toContain(first.id)
      if (at >= 250) expect(found).toContain(second.id)
    }

    expect(requests(network)).toBe(before)
    expect(network.counts.get(getSummary.name)).toBe(2)
    expect(await named(first, idsOf(1)[0]!)).toEqual([])
    expect(reader.dht.providers.cachedBytes).toBeGreaterThan(4 * 1_000)
    await stopAll(nodes)
  })

  test('finds what nobody has nowhere, and asks the network again only after a minute', async () => {
    const { network, nodes } = await networkOf(6)
    const [provider, reader] = nodes as [FakeNode, FakeNode]
    await provider.dht.providers.announce(ROOT, idsOf(10))
    const unknown = idsOf(1, 5_000)[0]!
    expect(await named(reader, unknown)).toEqual([])
    const before = requests(network)
    expect(await named(reader, unknown)).toEqual([])
    expect(requests(network)).toBe(before)

    await nodes[2]!.dht.providers.announce(ROOT, [unknown])
    await provider.dht.providers.announce(ROOT, idsOf(11))
    await network.world.run(MINUTE_MS)

    expect(await named(reader, unknown)).toEqual([nodes[2]!.id])
    // What was added beside a summary that it had already.
    expect(await named(reader, idsOf(11)[10]!)).toEqual([provider.id])
    await stopAll(nodes)
  })

  test('fetches of a long summary only the segments that it needs, also for many who ask at once', async () => {
    const { network, nodes } = await networkOf(4)
    const [provider, reader] = nodes as [FakeNode, FakeNode]
    const ids = idsOf(17 * 4_096)
    await provider.dht.providers.announce(ROOT, ids)

    expect(await named(reader, ids[0]!)).toEqual([provider.id])
    expect(network.counts.get(getSummary.name)).toBe(2)
    const wanted = ids.filter((_, at) => at % 700 === 0)
    const found = await Promise.all(wanted.map((id) => named(reader, id)))

    expect(found).toEqual(wanted.map(() => [provider.id]))
    await stopAll(nodes)
  })

  test('deals many ids to those who have them, and says what nobody has', async () => {
    const { nodes } = await networkOf(6)
    const [first, second, reader] = nodes as [FakeNode, FakeNode, FakeNode]
    await first.dht.providers.announce(ROOT, idsOf(300))
    await second.dht.providers.announce(ROOT, idsOf(300))

    const { assignments, missing, providers } = await reader.dht.providers.plan(idsOf(301), { root: ROOT })

    expect([...assignments.values()].map((ids) => ids.length)).toEqual([150, 150])
    expect(missing.length).toBe(1)
    expect([...providers.keys()].sort()).toEqual([first.id, second.id].sort())
    expect(providers.get(first.id)?.addresses).toEqual([first.port.address])
    await stopAll(nodes)
  })

  test('goes on after a restart of its own, and of the provider, which may have another summary then', async () => {
    const { network, nodes } = await networkOf(6)
    const [provider, reader] = nodes as [FakeNode, FakeNode]
    await provider.dht.providers.announce(ROOT, idsOf(100))
    expect(await named(reader, idsOf(1)[0]!)).toEqual([provider.id])
    await reader.dht.stop()
    const again = new FakeNode(network, { crypto: reader.env.crypto, store: reader.store, port: reader.port })
    await again.dht.start()
    await network.world.run(1_000)
    expect(await named(again, idsOf(1)[0]!)).toEqual([provider.id])

    await provider.dht.stop()
    const moved = new FakeNode(network, {
      crypto: provider.env.crypto,
      store: provider.store,
      port: provider.port,
    })
    await moved.dht.start()
    await network.world.run(1_000)
    await moved.dht.providers.announce(ROOT, idsOf(100, 1_000))
    await network.world.run(MINUTE_MS)

    expect(await named(again, idsOf(1, 1_000)[0]!)).toEqual([provider.id])
    expect(await named(again, idsOf(1)[0]!)).toEqual([])
    await stopAll([again, moved, ...nodes.slice(2)])
  })

  test('names nobody whose announcement has expired or was withdrawn', async () => {
    const { network, nodes } = await networkOf(6)
    const [gone, provider, reader] = nodes as [FakeNode, FakeNode, FakeNode]
    for (const node of [gone, provider]) await node.dht.providers.announce(ROOT, idsOf(10))
    expect((await named(reader, idsOf(1)[0]!)).length).toBe(2)
    await gone.dht.stop()
    gone.port.isUp = false

    await network.world.run(2.5 * HOUR_MS)
    expect(await named(reader, idsOf(1)[0]!)).toEqual([provider.id])
    await provider.dht.providers.withdraw(ROOT)
    await network.world.run(2.5 * HOUR_MS)
    expect(await named(reader, idsOf(1)[0]!)).toEqual([])
    await stopAll(nodes.slice(1))
  })

  test('counts misses: by chance they are nothing, more of them are a lie, and the liar is named no more', async () => {
    const { nodes } = await networkOf(4)
    const [liar, reader] = nodes as [FakeNode, FakeNode]
    await liar.dht.providers.announce(ROOT, idsOf(100))
    const miss = async (id: Uint8Array) => {
      await named(reader, id)
      return reader.dht.providers.missed(id, { root: ROOT, provider: liar.id })
    }

    expect(await miss(idsOf(1)[0]!)).toBe(false)
    expect(await miss(idsOf(1)[0]!)).toBe(false)
    expect(await miss(idsOf(1, 5_000)[0]!)).toBe(false)
    expect(await named(reader, idsOf(1)[0]!)).toEqual([])
    expect(await named(reader, idsOf(2)[1]!)).toEqual([liar.id])
    expect(await miss(idsOf(2)[1]!)).toBe(false)
    expect(await miss(idsOf(3)[2]!)).toBe(true)
    expect(await named(reader, idsOf(4)[3]!)).toEqual([])
    expect(outcomes(reader)).toMatchObject({ missed: 3, over_claimed: 1 })
    await stopAll(nodes)
  })
})

describe('a provider that lies', () => {
  const summary = (
    answer: Partial<Extract<GetSummaryResponse, { kind: 'summary' }>>,
  ): GetSummaryResponse => ({
    kind: 'summary',
    index: undefined,
    segments: [],
    added: [],
    record: undefined,
    ...answer,
  })

  test.each<[string, (context: Context) => GetSummaryResponse]>([
    ['with the summary of other ids', ({ of }) => summary({ segments: of(idsOf(100, 7)).segments })],
    ['with fewer segments than it stated', () => summary({})],
    ['with more segments', ({ of }) => summary({ segments: [0, 1].flatMap(() => of(idsOf(100)).segments) })],
    ['with another count', ({ of }) => summary({ segments: of(idsOf(99)).segments })],
    ['with a segment that is too long', () => summary({ segments: [new Uint8Array(16_384).fill(255)] })],
    ['with an earlier summary', ({ earlier }) => ({ kind: 'moved', record: earlier })],
    ['with a forged record', ({ later }) => ({ kind: 'moved', record: forged(later) })],
    ['with the record of another', ({ others }) => ({ kind: 'moved', record: others })],
  ])('%s is refused, counted and passed over', async (_, answer) => {
    const { nodes } = await networkOf(5)
    const [liar, honest, reader] = nodes as [FakeNode, FakeNode, FakeNode]
    for (const node of [liar, honest]) await node.dht.providers.announce(ROOT, idsOf(100))
    const context = contextOf(liar, honest)
    liar.port.handleRaw(getSummary.protocol, () =>
      Promise.resolve(getSummary.encodeResponse(answer(context))),
    )

    expect(await named(reader, idsOf(1)[0]!)).toEqual([honest.id])
    const { ok, PROTOCOL_VIOLATION = 0, RECORD_INVALID = 0 } = outcomes(reader)
    expect([ok, PROTOCOL_VIOLATION + RECORD_INVALID]).toEqual([1, 1])
    expect(await named(reader, idsOf(2)[1]!)).toEqual([honest.id])
    expect(outcomes(reader)['PROTOCOL_VIOLATION'] ?? 0).toBe(PROTOCOL_VIOLATION)
    await stopAll(nodes)
  })

  test('and holders that show forged announcements hide nobody', async () => {
    const { nodes } = await networkOf(8)
    const [honest, reader, ...others] = nodes as [FakeNode, FakeNode, ...FakeNode[]]
    await honest.dht.providers.announce(ROOT, idsOf(100))
    const { later } = contextOf(others[0]!, honest)
    for (const holder of others.slice(0, 3)) {
      const answer = { records: [forged(later)], hasMore: true, peers: [] }
      const bytes = getProviders.encodeResponse(answer)
      holder.port.handleRaw(getProviders.protocol, () => Promise.resolve(bytes))
    }

    expect(await named(reader, idsOf(1)[0]!)).toEqual([honest.id])
    expect(outcomes(reader)['RECORD_INVALID']).toBeLessThanOrEqual(3)
    await stopAll(nodes)
  })

  test('by not answering costs one time-out, and is asked again after a minute', async () => {
    const { network, nodes } = await networkOf(5, { requestTimeoutMs: 50 })
    const [mute, reader] = nodes as [FakeNode, FakeNode]
    await mute.dht.providers.announce(ROOT, idsOf(100))
    mute.port.handleRaw(getSummary.protocol, () => new Promise(() => undefined))

    expect(await network.world.runUntil(named(reader, idsOf(1)[0]!))).toEqual([])
    expect(outcomes(reader)).toEqual({ TIMEOUT: 1 })
    await mute.dht.stop()
    const again = new FakeNode(network, { crypto: mute.env.crypto, store: mute.store, port: mute.port })
    await again.dht.start()
    await network.world.run(MINUTE_MS + 1_000)
    expect(await network.world.runUntil(named(reader, idsOf(1)[0]!))).toEqual([mute.id])
    await stopAll([again, ...nodes.slice(1)])
  })
})

interface Context {
  readonly of: (ids: readonly Uint8Array[]) => { readonly segments: readonly Uint8Array[] }
  readonly earlier: SignedRecord
  readonly later: SignedRecord
  readonly others: SignedRecord
}

/** What a liar can make of its own key, and what it has of another. */
function contextOf(liar: FakeNode, other: FakeNode): Context {
  const now = liar.env.clock.unixMs()
  const sign = (node: FakeNode, epoch: number): SignedRecord => {
    const name = { root: ROOT, provider: node.id, epoch }
    const { shape, hash: stated } = encodeSummary(node.env.crypto, idsOf(100), name)
    const body = {
      kind: 'PROVIDER' as const,
      subject: ROOT,
      owner: node.id,
      sequence: now + 1_000_000,
      issuedUnixMs: now,
      expiresUnixMs: now + HOUR_MS,
      payload: encodeProvider({ epoch, shape, hash: stated, addresses: [node.port.address] }),
    }
    return signRecords(node.env.crypto, [body])[0]!
  }
  return {
    of: (ids) => encodeSummary(liar.env.crypto, ids, { root: ROOT, provider: liar.id, epoch: now }),
    earlier: sign(liar, 1),
    later: sign(liar, now + 1_000_000),
    others: sign(other, now + 1_000_000),
  }
}

function forged(record: SignedRecord): SignedRecord {
  return { ...record, signature: new Uint8Array(3_309) }
}

async function named(reader: FakeNode, id: Uint8Array) {
  const found = await reader.dht.providers.find(id, { root: ROOT })
  return found.map((provider) => provider.id)
}

function requests({ counts }: FakeNetwork): number {
  return [...counts.values()].reduce((sum, count) => sum + count, 0)
}

function outcomes({ env }: FakeNode): Readonly<Record<string, number>> {
  const samples = env.metrics.counters('summaries')
  return Object.fromEntries(samples.map(({ labels, value }) => [labels['outcome'] ?? '', value.value]))
}
