import { describe, expect, test } from 'vitest'
import { EspalierError } from '../../../../ts/base/error.ts'
import { signRecords, type SignedRecord } from '../../../../ts/base/record.ts'
import { encodeProvider } from '../../../../ts/dht/provider-record.ts'
import { encodeSummary } from '../../../../ts/dht/provider-summary.ts'
import { getProviders, getSummary } from '../../../../ts/dht/provider-wire.ts'
import { hash } from '../../../../ts/native/hash.ts'
import { networkOf, stopAll, type FakeNode } from '../fake-network.ts'

const MINUTE_MS = 60_000
const ROOT = hash(Uint8Array.of(1))
const idsOf = (count: number, from = 0): Uint8Array[] =>
  Array.from({ length: count }, (_, at) => {
    const number = from + at
    return hash(Uint8Array.of(number >> 16, (number >> 8) & 255, number & 255, 3))
  })

describe('a provider that moves', () => {
  test('for ever costs two questions, and withholds no other provider', async () => {
    const { network, nodes } = await networkOf(5)
    const [liar, honest, reader] = nodes as [FakeNode, FakeNode, FakeNode]
    for (const node of [liar, honest]) await node.dht.providers.announce(ROOT, idsOf(100))
    let asked = 0
    liar.port.handleRaw(getSummary.protocol, () => {
      asked += 1
      // An endless row of promises would leave no turn to anything else.
      if (asked > 50) return new Promise(() => undefined)
      const record = later(liar, liar.env.clock.unixMs() + 1_000_000 + asked)
      return Promise.resolve(getSummary.encodeResponse({ kind: 'moved', record }))
    })

    expect(await network.world.runUntil(named(reader, idsOf(1)[0]!))).toEqual([honest.id])
    expect(asked).toBe(2)
    expect(outcomes(reader)).toEqual({ ok: 1, PROTOCOL_VIOLATION: 1 })
    expect(await named(reader, idsOf(2)[1]!)).toEqual([honest.id])
    expect(asked).toBe(2)
    await stopAll(nodes)
  })

  test('once, and then is silent, is not asked again at once', async () => {
    const { network, nodes } = await networkOf(4, { requestTimeoutMs: 50 })
    const [mute, reader] = nodes as [FakeNode, FakeNode]
    await mute.dht.providers.announce(ROOT, idsOf(100))
    let asked = 0
    mute.port.handleRaw(getSummary.protocol, () => {
      asked += 1
      if (asked > 1) return new Promise(() => undefined)
      const record = later(mute, mute.env.clock.unixMs() + 1_000_000)
      return Promise.resolve(getSummary.encodeResponse({ kind: 'moved', record }))
    })

    for (const id of idsOf(3)) expect(await network.world.runUntil(named(reader, id))).toEqual([])

    expect(asked).toBe(2)
    expect(outcomes(reader)).toEqual({ TIMEOUT: 1 })
    await stopAll(nodes)
  })
})

describe('an honest provider', () => {
  test('is named although many others are silent', async () => {
    const { network, nodes } = await networkOf(24)
    const [honest, reader, ...mutes] = nodes as [FakeNode, FakeNode, ...FakeNode[]]
    for (const node of [...mutes, honest]) await node.dht.providers.announce(ROOT, idsOf(10))
    for (const { port } of mutes) {
      port.handleRaw(getSummary.protocol, () => new Promise(() => undefined))
    }
    const took: number[] = []

    for (const id of idsOf(3)) {
      const startedAtMs = network.world.clock.nowMs()
      expect(await network.world.runUntil(named(reader, id))).toEqual([honest.id])
      took.push(network.world.clock.nowMs() - startedAtMs)
    }

    // It may be in the third batch; nobody waits for a time-out of 5 s.
    expect(took[0]).toBeLessThanOrEqual(3_000)
    expect(Math.max(...took.slice(1))).toBeLessThanOrEqual(1_000)
    await stopAll(nodes)
  })

  test('is no liar by the false positives of very many questions', { timeout: 60_000 }, async () => {
    const { network, nodes } = await networkOf(3)
    const [provider, reader] = nodes as [FakeNode, FakeNode]
    await provider.dht.providers.announce(ROOT, idsOf(10))

    const claimed = await falsePositives(network, { reader, provider, ids: idsOf(100_000, 10) })

    // 49 are expected.
    expect(claimed.length).toBeGreaterThan(25)
    for (const id of claimed) expect(missed(reader, provider, id)).toBe(false)
    expect(await named(reader, idsOf(1)[0]!)).toEqual([provider.id])
    await stopAll(nodes)
  })

  test('is no liar by the false positives of many summaries, and is named under each of them', async () => {
    const { network, nodes } = await networkOf(3)
    const [provider, reader] = nodes as [FakeNode, FakeNode]
    const strangers = idsOf(4_096, 10_000)
    let misses = 0

    for (let round = 0; round < 25; round += 1) {
      const own = idsOf(10, round)
      await provider.dht.providers.announce(ROOT, own)
      for (const id of await falsePositives(network, { reader, provider, ids: strangers })) {
        expect(missed(reader, provider, id)).toBe(false)
        misses += 1
      }
      expect(await named(reader, own[0]!)).toEqual([provider.id])
      await network.world.run(MINUTE_MS)
    }

    // Two in each round are expected.
    expect(misses).toBeGreaterThan(25)
    await stopAll(nodes)
  })

  test('is no liar by the false positives of what was asked for before it came', async () => {
    const { network, nodes } = await networkOf(4)
    const [first, second, reader] = nodes as [FakeNode, FakeNode, FakeNode]
    await first.dht.providers.announce(ROOT, idsOf(10))
    const strangers = idsOf(8_192, 10_000)
    await falsePositives(network, { reader, provider: first, ids: strangers })
    await second.dht.providers.announce(ROOT, idsOf(10))
    await network.world.run(MINUTE_MS)

    const claimed = await falsePositives(network, { reader, provider: second, ids: strangers })

    expect(claimed.length).toBeGreaterThan(0)
    for (const id of claimed) expect(missed(reader, second, id)).toBe(false)
    expect(await named(reader, idsOf(1)[0]!)).toContain(second.id)
    await stopAll(nodes)
  })

  test('is named again for a child that it did not have, when it has announced it anew', async () => {
    const { network, nodes } = await networkOf(3)
    const [provider, reader] = nodes as [FakeNode, FakeNode]
    const [child, ...others] = idsOf(100) as [Uint8Array, ...Uint8Array[]]
    await provider.dht.providers.announce(ROOT, [child, ...others])
    expect(await named(reader, child)).toEqual([provider.id])
    expect(missed(reader, provider, child)).toBe(false)
    expect(await named(reader, child)).toEqual([])

    await provider.dht.providers.announce(ROOT, [child, ...idsOf(10, 500)])
    await network.world.run(MINUTE_MS)

    expect(await named(reader, child)).toEqual([provider.id])
    await stopAll(nodes)
  })
})

describe('a root', () => {
  test('that nobody announces is looked up once in a minute, whatever the children', async () => {
    const { network, nodes } = await networkOf(5)
    const [provider, reader] = nodes as [FakeNode, FakeNode]
    const lookedUp = () => network.counts.get(getProviders.name) ?? 0
    expect(await named(reader, idsOf(1)[0]!)).toEqual([])
    const before = lookedUp()
    expect(before).toBeGreaterThan(0)

    for (const id of idsOf(20)) expect(await named(reader, id)).toEqual([])
    expect(lookedUp()).toBe(before)
    await provider.dht.providers.announce(ROOT, idsOf(10))
    await network.world.run(MINUTE_MS)

    expect(await named(reader, idsOf(1)[0]!)).toEqual([provider.id])
    expect(lookedUp()).toBeGreaterThan(before)
    await stopAll(nodes)
  })

  test('whose look-up fails is not told to be without providers, and is looked up again', async () => {
    const { network, nodes } = await networkOf(4, { requestTimeoutMs: 600_000, callTimeoutMs: 1_000 })
    const [reader, ...others] = nodes as [FakeNode, ...FakeNode[]]
    for (const { port } of others) port.handleRaw(getProviders.protocol, () => new Promise(() => undefined))
    const find = () => reader.dht.providers.find(idsOf(1)[0]!, { root: ROOT, timeoutMs: 30_000 })
    const plan = () => reader.dht.providers.plan(idsOf(1), { root: ROOT, timeoutMs: 30_000 })

    expect(await codeOf(network.world.runUntil(find()))).toBe('TIMEOUT')
    expect(await codeOf(network.world.runUntil(plan()))).toBe('TIMEOUT')
    const answer = getProviders.encodeResponse({ records: [], hasMore: false, peers: [] })
    for (const { port } of others) port.handleRaw(getProviders.protocol, () => Promise.resolve(answer))
    expect(await network.world.runUntil(find())).toEqual([])
    await stopAll(nodes)
  })
})

test('a plan of many children leaves other work its turn', async () => {
  const { network, nodes } = await networkOf(3)
  const [provider, reader] = nodes as [FakeNode, FakeNode]
  const ids = idsOf(60_000)
  await provider.dht.providers.announce(ROOT, ids)
  await network.world.runUntil(named(reader, ids[0]!))
  const order: string[] = []
  const plan = reader.dht.providers.plan(ids, { root: ROOT }).then(({ missing }) => {
    order.push('plan')
    return missing
  })
  network.world.clock.setTimer(0, () => order.push('other'))

  expect(await network.world.runUntil(plan)).toEqual([])

  expect(order).toEqual(['other', 'plan'])
  await stopAll(nodes)
})

/** The next summary of a node, as if it had issued it. */
function later(node: FakeNode, epoch: number): SignedRecord {
  const now = node.env.clock.unixMs()
  const { shape, hash: stated } = encodeSummary(node.env.crypto, idsOf(100), {
    root: ROOT,
    provider: node.id,
    epoch,
  })
  const body = {
    kind: 'PROVIDER' as const,
    subject: ROOT,
    owner: node.id,
    sequence: epoch,
    issuedUnixMs: now,
    expiresUnixMs: now + 3_600_000,
    payload: encodeProvider({ epoch, shape, hash: stated, addresses: [node.port.address] }),
  }
  return signRecords(node.env.crypto, [body])[0]!
}

/** Which of ids that a provider does not have it is named for. */
async function falsePositives(
  network: FakeNode['network'],
  {
    reader,
    provider,
    ids,
  }: { readonly reader: FakeNode; readonly provider: FakeNode; readonly ids: readonly Uint8Array[] },
): Promise<readonly Uint8Array[]> {
  const plan = await network.world.runUntil(reader.dht.providers.plan(ids, { root: ROOT }))
  return plan.assignments.get(provider.id) ?? []
}

function missed(reader: FakeNode, provider: FakeNode, id: Uint8Array): boolean {
  return reader.dht.providers.missed(id, { root: ROOT, provider: provider.id })
}

async function named(reader: FakeNode, id: Uint8Array) {
  const found = await reader.dht.providers.find(id, { root: ROOT })
  return found.map((provider) => provider.id)
}

function outcomes({ env }: FakeNode): Readonly<Record<string, number>> {
  const samples = env.metrics.counters('summaries')
  return Object.fromEntries(samples.map(({ labels, value }) => [labels['outcome'] ?? '', value.value]))
}

async function codeOf(work: Promise<unknown>): Promise<string | undefined> {
  try {
    await work
    return undefined
  } catch (thrown) {
    return thrown instanceof EspalierError ? thrown.code : String(thrown)
  }
}
