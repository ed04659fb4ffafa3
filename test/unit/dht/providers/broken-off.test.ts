import { describe, expect, test } from 'vitest'
import { EspalierError } from '../../../../ts/base/error.ts'
import { keyOfRecord } from '../../../../ts/base/record.ts'
import { decodeProvider } from '../../../../ts/dht/provider-record.ts'
import { getProviders } from '../../../../ts/dht/provider-wire.ts'
import { hash } from '../../../../ts/native/hash.ts'
import { FakeNode, networkOf, stopAll, type FakeNetwork } from '../fake-network.ts'

const ROOT = hash(Uint8Array.of(1))
/** First bytes of rows: head, ids and segments of an own announcement. */
const [HEAD, IDS, SEGMENT] = [4, 5, 6] as const
const idsOf = (count: number, from = 0): Uint8Array[] =>
  Array.from({ length: count }, (_, at) => hash(Uint8Array.of((from + at) >> 8, (from + at) & 255, 3)))

describe('an announcement that broke off', () => {
  test('is offered when it is made again, and tells of who keeps this one', async () => {
    const { network, nodes } = await networkOf(6)
    const [provider, ...others] = nodes as [FakeNode, ...FakeNode[]]
    const first = await provider.dht.providers.announce(ROOT, idsOf(10))
    for (const { port } of others) port.delayMs = 2_000
    const broken = provider.dht.providers.announce(ROOT, idsOf(20, 100), { timeoutMs: 1_000 })
    expect(await codeOf(network.world.runUntil(broken))).toBe('TIMEOUT')
    await network.world.run(5_000)
    for (const { port } of others) port.delayMs = 0

    const second = await network.world.runUntil(provider.dht.providers.announce(ROOT, idsOf(20, 100)))

    expect(second.epoch).toBeGreaterThan(first.epoch)
    expect(second.accepted.length).toBe(6)
    for (const holder of others) expect(await epochsKept(provider, holder)).toEqual([second.epoch])
    await stopAll(nodes)
  })

  test('because nobody took it is offered at once when it is made again', async () => {
    const { network, nodes } = await networkOf(4)
    const [provider, ...others] = nodes as [FakeNode, ...FakeNode[]]
    for (const { port } of others) port.isUp = false
    expect(await codeOf(provider.dht.providers.announce(ROOT, idsOf(10)))).toBe('QUORUM_FAILED')
    for (const { port } of others) port.isUp = true
    for (const { dht } of others) await network.world.runUntil(dht.bootstrap([provider.peer]))

    const { accepted, epoch } = await provider.dht.providers.announce(ROOT, idsOf(10))

    expect(accepted.length).toBe(4)
    for (const holder of others) expect(await epochsKept(provider, holder)).toEqual([epoch])
    await stopAll(nodes)
  })
})

describe('a withdrawal that broke off', () => {
  test('because of the disk has changed nothing, and can be made again', async () => {
    const { nodes } = await networkOf(3)
    const [provider, reader] = nodes as [FakeNode, FakeNode]
    const { epoch } = await provider.dht.providers.announce(ROOT, idsOf(10))
    const write = provider.store.write.bind(provider.store)
    provider.store.write = (changes) =>
      changes.some(({ key }) => key[0] === IDS)
        ? Promise.reject(new EspalierError('STORAGE_FULL', 'the disk is full'))
        : write(changes)

    expect(await codeOf(provider.dht.providers.withdraw(ROOT))).toBe('STORAGE_FULL')
    expect((await provider.dht.providers.announce(ROOT, idsOf(10))).epoch).toBe(epoch)
    provider.store.write = write

    expect(await provider.dht.providers.withdraw(ROOT)).toBe(true)
    expect(await epochsKept(provider, reader)).toEqual([])
    for (const table of [HEAD, IDS, SEGMENT]) expect(await rowsOf(provider, table)).toEqual([])
    await stopAll(nodes)
  })

  test('before all rows were gone leaves none behind the next start, and no end for a shorter set', async () => {
    const { network, nodes } = await networkOf(3)
    const provider = nodes[0]!
    const other = hash(Uint8Array.of(2))
    await provider.dht.providers.announce(ROOT, idsOf(9_000))
    await provider.dht.providers.announce(other, idsOf(5_000))
    await provider.dht.stop()
    const [head] = await provider.store.scan('records', { from: Uint8Array.of(HEAD, ...ROOT), limit: 1 })
    await provider.store.write([{ table: 'records', key: head!.key, value: undefined }])

    const again = await restart(network, provider)

    expect(again.dht.providers.announcedCount).toBe(1)
    expect((await rowsOf(again, IDS)).length).toBe(3)
    expect((await rowsOf(again, SEGMENT)).length).toBe(2)
    await again.dht.providers.announce(ROOT, idsOf(5_000))
    await again.dht.stop()
    const last = await restart(network, again)
    expect(last.dht.providers.announcedCount).toBe(2)
    await stopAll([last, ...nodes.slice(1)])
  })
})

async function epochsKept(from: FakeNode, holder: FakeNode): Promise<number[]> {
  const key = keyOfRecord(from.env.crypto, { kind: 'PROVIDER', subject: ROOT, owner: from.id })
  const sender = { serves: true, addresses: [from.port.address] }
  const request = { sender, key, after: undefined }
  const { records } = await from.port.request(holder.peer, getProviders, request)
  return records.map(({ body }) => decodeProvider(body).epoch)
}

async function rowsOf({ store }: FakeNode, table: number) {
  const rows = await store.scan('records', { from: Uint8Array.of(table), limit: 1_000 })
  return rows.filter(({ key }) => key[0] === table)
}

async function restart(network: FakeNetwork, node: FakeNode): Promise<FakeNode> {
  const again = new FakeNode(network, { crypto: node.env.crypto, store: node.store, port: node.port })
  await again.dht.start()
  return again
}

async function codeOf(work: Promise<unknown>): Promise<string | undefined> {
  try {
    await work
    return undefined
  } catch (thrown) {
    return thrown instanceof EspalierError ? thrown.code : String(thrown)
  }
}
