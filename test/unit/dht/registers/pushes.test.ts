import { describe, expect, test } from 'vitest'
import { EspalierError } from '../../../../ts/base/error.ts'
import { keyOfRecord, type SignedRecord } from '../../../../ts/base/record.ts'
import { leaseRegister, pushRegister } from '../../../../ts/dht/watch-wire.ts'
import { getRecord } from '../../../../ts/dht/wire.ts'
import type { FakeNode } from '../fake-network.ts'
import { SENDER, codeOf, recordOf, settled, watching } from './fixture.ts'

const MINUTE_MS = 60_000

describe('a push', () => {
  test('that nobody asked for, of another register, stale or forged is refused by its code and never given on', async () => {
    const { nodes, owner, reader, set, watch, network, stop } = await watching()
    for (const value of [1, 2, 3]) await set(value)
    const changes = watch()
    expect((await changes.next())?.sequence).toBe(3)
    await settled(network)
    const holders = nodes.filter(({ dht }) => dht.registers.leaseCounts.granted > 0)
    const [holder] = holders as [FakeNode]
    const stranger = nodes.find((node) => node !== owner && !holders.includes(node))!
    const push = (from: FakeNode, record: SignedRecord) =>
      codeOf(from.port.request(reader.peer, pushRegister, { sender: SENDER, record }))
    const news = recordOf(owner, { sequence: 4 })
    const outcomes = () =>
      Object.fromEntries(
        reader.env.metrics
          .counters('registerPushes')
          .filter(({ labels }) => labels['direction'] === 'inbound')
          .map(({ labels, value }): [string, number] => [labels['outcome'] ?? '', value.value]),
      )

    expect(await push(stranger, news)).toBe('NOT_FOUND')
    expect(await push(holder, recordOf(owner, { sequence: 4, name: 'another' }))).toBe('NOT_FOUND')
    expect(await push(holder, recordOf(stranger, { sequence: 4 }))).toBe('NOT_FOUND')
    expect(await push(holder, recordOf(owner, { sequence: 2 }))).toBe('RECORD_STALE')
    expect(await push(holder, { ...news, signature: new Uint8Array(3_309) })).toBe('RECORD_INVALID')
    const forged = recordOf(stranger, { sequence: 4, owner })
    expect(await push(holder, forged)).toBe('RECORD_INVALID')
    expect(await push(holder, recordOf(owner, { sequence: 9, payload: Uint8Array.of(1) }))).toBe(
      'PROTOCOL_VIOLATION',
    )
    expect(await push(holder, recordOf(owner, { sequence: 9, issuedInMs: 6 * MINUTE_MS }))).toBe(
      'RECORD_INVALID',
    )
    expect(outcomes()).toEqual({ NOT_FOUND: 3, RECORD_STALE: 1, RECORD_INVALID: 3, PROTOCOL_VIOLATION: 1 })

    expect(await push(holder, news)).toBeUndefined()
    expect(await push(holder, news)).toBeUndefined()
    expect(outcomes()).toMatchObject({ new: 1, known: 1 })
    expect((await changes.next())?.sequence).toBe(4)
    await stop()
  })

  test('that comes too often is refused before its signature is looked at', async () => {
    const { nodes, owner, reader, set, watch, network, stop } = await watching()
    await set(1)
    const changes = watch()
    await changes.next()
    await settled(network)
    const holder = nodes.find(({ dht }) => dht.registers.leaseCounts.granted > 0)!
    const record = recordOf(owner, { sequence: 1 })
    const codes: (string | undefined)[] = []
    for (let count = 0; count < 1_030; count += 1) {
      codes.push(await codeOf(holder.port.request(reader.peer, pushRegister, { sender: SENDER, record })))
    }

    expect(codes.filter((code) => code === 'RATE_LIMITED').length).toBe(6)
    await stop()
  })
})

describe('a node that grants leases', () => {
  test('refuses more than 128 of one peer, and says what the register is unless the asker has that', async () => {
    const { nodes, owner, reader, set, stop } = await watching()
    await set(1)
    const keeper = nodes[3]!
    const record = recordOf(owner, { sequence: 1 })
    const key = keyOfRecord(owner.env.crypto, record.body)
    const ask = (change: object) =>
      reader.port.request(keeper.peer, leaseRegister, {
        sender: SENDER,
        key,
        leaseMs: 600_000,
        known: undefined,
        ...change,
      })
    const told = await ask({})
    expect(told).toMatchObject({ leaseMs: 600_000, record: { body: { sequence: 1 } } })
    expect((await ask({ known: owner.env.crypto.hash(told.record!.bodyBytes) })).record).toBeUndefined()
    expect((await ask({ known: new Uint8Array(32) })).record?.body.sequence).toBe(1)
    const other = (at: number) => new Uint8Array(32).fill(at)
    for (let at = 1; at < 128; at += 1) expect((await ask({ key: other(at) })).leaseMs).toBe(600_000)

    expect(await codeOf(ask({ key: other(200) }))).toBe('LIMIT_EXCEEDED')
    // One that it has is renewed all the same.
    expect((await ask({})).leaseMs).toBe(600_000)
    const count = (outcome: string) => keeper.env.metrics.counter('leaseRequests', { outcome }).value
    expect([count('granted'), count('renewed'), count('LIMIT_EXCEEDED')]).toEqual([128, 3, 1])
    await stop()
  })

  test('lets go of a watcher that no longer knows of it, and tries one that is away three times', async () => {
    const { nodes, reader, set, watch, network, stop } = await watching()
    await set(1)
    const changes = watch()
    await changes.next()
    await settled(network)
    const holders = nodes.filter(({ dht }) => dht.registers.leaseCounts.granted > 0)
    const granted = () => holders.map(({ dht }) => dht.registers.leaseCounts.granted)
    reader.port.isUp = false
    await set(2)
    await network.world.run(11_000)
    expect(granted()).toEqual([1, 1, 1, 1, 1])
    await network.world.run(10_000)
    expect(granted()).toEqual([0, 0, 0, 0, 0])
    const sent = (outcome: string) =>
      holders[0]!.env.metrics.counter('registerPushes', { direction: 'outbound', outcome }).value
    expect(sent('PEER_UNREACHABLE')).toBe(3)

    // It asks again by itself before its leases run out, and so hears what it missed.
    reader.port.isUp = true
    const next = changes.wait()
    await network.world.run(8 * MINUTE_MS)
    expect((await next)?.sequence).toBe(2)
    expect(granted()).toEqual([1, 1, 1, 1, 1])
    reader.port.handle(pushRegister, () => {
      throw new EspalierError('NOT_FOUND', 'it has forgotten')
    })
    await set(3)
    await settled(network)
    expect(granted()).toEqual([0, 0, 0, 0, 0])
    await stop()
  })

  test('sends the newest alone when a register changes while a push is under way', async () => {
    const { nodes, reader, set, watch, network, stop } = await watching()
    await set(1)
    const changes = watch()
    await changes.next()
    await settled(network)
    reader.port.delayMs = 1_000
    const before = network.counts.get(pushRegister.name) ?? 0

    for (const value of [2, 3, 4, 5, 6]) await set(value)
    await network.world.run(10_000)

    expect((await changes.next())?.sequence).toBe(6)
    const holders = nodes.filter(({ dht }) => dht.registers.leaseCounts.granted > 0).length
    expect(network.counts.get(pushRegister.name)! - before).toBe(2 * holders)
    await stop()
  })
})

describe('where nobody grants a lease', () => {
  test('a watch reads again, ever less often, and still sees each change', async () => {
    const { nodes, set, watch, network, stop } = await watching()
    for (const node of nodes) {
      node.port.handle(leaseRegister, () => {
        throw new EspalierError('LIMIT_EXCEEDED', 'no')
      })
    }
    await set(1)
    const changes = watch()
    await changes.next()
    await set(2)
    const second = changes.wait()
    await network.world.run(4 * MINUTE_MS)
    expect((await second)?.sequence).toBe(2)
    await network.world.run(60 * MINUTE_MS)
    const asked = () =>
      (network.counts.get(getRecord.name) ?? 0) + (network.counts.get(leaseRegister.name) ?? 0)
    const before = asked()
    await network.world.run(120 * MINUTE_MS)
    // Three to six searches, which ask each of the eight, and each is asked for a lease at most three times.
    expect(asked() - before).toBeGreaterThan(20)
    expect(asked() - before).toBeLessThan(75)
    await set(3)
    const third = changes.wait()
    await network.world.run(38 * MINUTE_MS)
    expect((await third)?.sequence).toBe(3)
    await stop()
  })
})
