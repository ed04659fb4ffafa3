import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { nodeIdOf, signRecords, type SignedRecord } from '../../ts/base/record.ts'
import { compareVersions, encodeRegister, subjectOfName } from '../../ts/dht/register.ts'
import { putRecord } from '../../ts/dht/wire.ts'
import { realCrypto } from '../unit/dht/fake-network.ts'
import { total } from './exposition.ts'
import { changed, connect, makeWorld, peerOf, scrape, type World } from './world.ts'

let world: World

beforeAll(async () => {
  world = await makeWorld()
})

afterAll(() => world.end())

describe('the metrics of the table that need nodes of their own', () => {
  test('network_size_nodes', async () => {
    const node = await world.node({ bootstrap: [peerOf(world.a)], metrics: { port: 0 } })

    await node.put('a value', Uint8Array.of(1))

    // Everybody who serves: the two of this world and this node.
    expect(total(await scrape(node), 'espalier_network_size_nodes')).toBeGreaterThanOrEqual(3)
    expect(node.status().networkSize).toBeGreaterThanOrEqual(3)
  })

  test('stored_superseded_records', async () => {
    const name = 'espalier_stored_superseded_records'
    const before = total(await scrape(world.a), name)

    for (const value of [1, 2, 3]) await world.b.registers.set('changed', Uint8Array.of(value))

    expect(total(await scrape(world.a), name)).toBe(before + 2)
  })

  test('equivocations_total', async () => {
    const name = 'espalier_equivocations_total'
    const crypto = realCrypto()
    const owner = nodeIdOf(crypto, crypto.publicKey)
    const subject = subjectOfName(crypto, 'name')
    const issuedUnixMs = Date.now()
    const rivals = [1, 2].map((value) => {
      const payload = encodeRegister(Uint8Array.of(value))
      const times = { issuedUnixMs, expiresUnixMs: issuedUnixMs + 86_400_000 }
      const kind = 'REGISTER_POINTER' as const
      return signRecords(crypto, [{ kind, subject, owner, sequence: 5, payload, ...times }])[0]!
    })
    const [low, high] = rivals.sort((a, b) => compareVersions(crypto, a, b))
    const connection = await connect(await world.stranger(), world.a)
    const put = (record: SignedRecord) => {
      const sender = { serves: false, addresses: [] }
      const body = putRecord.encodeRequest({ sender, record, publicKey: crypto.publicKey })
      return connection.request(putRecord.protocol, body)
    }
    await put(high!)
    const changes = world.a.registers.watch(owner, 'name')
    expect((await changes.next()).value?.sequence).toBe(5)
    const count = async (where: string) => total(await scrape(world.a), name, { where })
    expect([await count('kept'), await count('watched')]).toEqual([0, 0])

    await put(low!)

    expect((await changes.next()).value?.equivocation?.sequence).toBe(5)
    expect([await count('kept'), await count('watched')]).toEqual([1, 1])
  })

  test('contacts_refused_total and routing_table_evenness', async () => {
    // All of them have one address, and this node takes two of it.
    const strict = await world.node({ allowPrivate: false, metrics: { port: 0 } })
    const name = 'espalier_contacts_refused_total'
    expect(total(await scrape(strict), 'espalier_routing_table_evenness')).toBe(1)
    for (let count = 0; count < 3; count += 1) await world.node({ bootstrap: [peerOf(strict)] })

    await changed(strict, name, { before: 0, labels: { network: 'ipv4' } })

    expect(total(await scrape(strict), 'espalier_routing_table_peers')).toBe(2)
    expect(total(await scrape(strict), 'espalier_routing_table_evenness')).toBe(0)
  })
})
