import { describe, expect, test } from 'vitest'
import type { SignedRecord } from '../../../../ts/base/record.ts'
import { compareVersions } from '../../../../ts/dht/register.ts'
import { endLease, pushRegister } from '../../../../ts/dht/watch-wire.ts'
import { getRecord } from '../../../../ts/dht/wire.ts'
import { FakeNode } from '../fake-network.ts'
import { DONE, SENDER, changesOf, offerTo, recordOf, settled, watching } from './fixture.ts'

describe('a watch of a register', () => {
  test('gives the version that is there, then each change as its owner writes it', async () => {
    const { owner, set, watch, stop } = await watching()
    await set(1)
    const changes = watch()

    expect(await changes.next()).toMatchObject({ sequence: 1, value: Uint8Array.of(1) })
    for (const value of [2, 3, 4]) {
      await set(value)
      const change = await changes.next()
      expect(change).toMatchObject({ sequence: value, value: Uint8Array.of(value) })
      expect(change?.issuedUnixMs).toBe(owner.env.clock.unixMs())
      expect(change).not.toHaveProperty('equivocation')
    }
    await stop()
  })

  test('waits for a register that is not there yet, also one that its reader keeps itself', async () => {
    const { nodes, set, network, stop } = await watching()
    const keeper = nodes[2]!
    const pushesBefore = network.counts.get(pushRegister.name) ?? 0
    const changes = changesOf(network, keeper.dht.registers.watch('name', { owner: nodes[0]!.id }))
    const first = changes.wait()
    await settled(network)

    await set(1)

    expect(await first).toMatchObject({ sequence: 1 })
    await settled(network)
    expect(network.counts.get(pushRegister.name) ?? 0).toBeGreaterThan(pushesBefore)
    await stop()
  })

  test('gives a slow consumer the newest alone, and after `afterSequence` only what is newer', async () => {
    const { set, watch, network, stop } = await watching()
    await set(1)
    const slow = watch()
    const late = watch({ afterSequence: 2 })
    expect((await slow.next())?.sequence).toBe(1)
    const next = late.wait()
    for (const value of [2, 3, 4, 5]) await set(value)
    await settled(network)

    expect((await slow.next())?.sequence).toBe(5)
    expect((await next)?.sequence).toBe(3)
    expect((await late.next())?.sequence).toBe(5)
    await stop()
  })

  test('costs one lease a holder for any number of consumers, and tells the holders when the last has gone', async () => {
    const { nodes, reader, set, watch, network, stop } = await watching()
    await set(1)
    const all = [watch(), watch(), watch()]
    for (const changes of all) expect((await changes.next())?.sequence).toBe(1)
    await settled(network)
    const granted = () => nodes.reduce((sum, { dht }) => sum + dht.registers.leaseCounts.granted, 0)

    expect(granted()).toBe(5)
    expect(reader.dht.registers.leaseCounts.held).toBe(5)
    expect(reader.dht.registers.watchedCount).toBe(1)
    await all[0]!.end()
    await all[1]!.end()
    await settled(network)
    expect(granted()).toBe(5)
    await all[2]!.end()
    await settled(network)
    expect(granted()).toBe(0)
    expect(reader.dht.registers.watchedCount).toBe(0)
    expect(network.counts.get(endLease.name)).toBe(5)
    await stop()
  })

  test('is done when its signal aborts, when its consumer leaves, and when the node stops', async () => {
    const { nodes, reader, set, stop } = await watching()
    await set(1)
    const owner = nodes[0]!.id
    const controller = new AbortController()
    const aborted = reader.dht.registers.watch('name', { owner, signal: controller.signal })
    expect((await aborted.next()).value?.sequence).toBe(1)
    const waiting = [aborted.next(), aborted.next()]
    controller.abort()
    expect(await Promise.all(waiting)).toEqual([DONE, DONE])
    expect(await aborted.next()).toEqual(DONE)
    expect(await reader.dht.registers.watch('name', { owner, signal: controller.signal }).next()).toEqual(
      DONE,
    )

    const seen: number[] = []
    for await (const { sequence } of reader.dht.registers.watch('name', { owner })) {
      seen.push(sequence)
      break
    }
    expect(seen).toEqual([1])

    const stopped = reader.dht.registers.watch('name', { owner })
    await stopped.next()
    const last = stopped.next()
    await reader.dht.stop()
    expect(await last).toEqual(DONE)
    const unused = reader.dht.registers.watch('name', { owner })
    await expect(unused.next()).rejects.toMatchObject({ code: 'CLOSED' })
    expect(await unused.next()).toEqual(DONE)
    await stop()
  })

  test('shows that an owner signed two versions of one sequence, and goes on with the one that all keep', async () => {
    const { nodes, owner, reader, watch, network, stop } = await watching()
    const rivals = [1, 2].map((value) => recordOf(owner, { sequence: 5, value }))
    const [low, high] = rivals.sort((a, b) => compareVersions(owner.env.crypto, a, b))
    const offer = async (record: SignedRecord) => {
      for (const node of nodes) await offerTo(node, owner, record)
      await settled(network)
    }
    await offer(high!)
    const changes = watch()
    expect((await changes.next())?.sequence).toBe(5)

    await offer(low!)

    const change = await changes.next()
    expect(change?.value).toEqual(Uint8Array.of(low!.body.payload.at(-2)!))
    expect(change?.equivocation).toMatchObject({
      sequence: 5,
      kept: change!.value,
      rejected: Uint8Array.of(high!.body.payload.at(-2)!),
    })
    expect(change?.equivocation?.proof.length).toBe(2)
    expect(reader.env.metrics.counter('equivocations', { where: 'watched' }).value).toBe(1)
    await offer(recordOf(owner, { sequence: 6 }))
    expect(await changes.next()).not.toHaveProperty('equivocation')
    await stop()
  })

  test('never gives an older version than was read or given before', async () => {
    const { nodes, owner, reader, set, watch, network, stop } = await watching()
    for (const value of [1, 2, 3]) await set(value)
    await network.world.runUntil(reader.dht.registers.get('name', { owner: owner.id }))
    const old = recordOf(owner, { sequence: 2 })
    for (const node of nodes) node.port.handle(getRecord, () => ({ record: old, peers: [] }))
    const changes = watch()

    expect((await changes.next())?.sequence).toBe(3)
    await changes.end()
    const read = await network.world.runUntil(reader.dht.registers.get('name', { owner: owner.id }))
    expect(read?.sequence).toBe(3)
    await stop()
  })

  test('gives what is read meanwhile too, and nothing older after that', async () => {
    const { nodes, owner, reader, set, watch, network, stop } = await watching()
    await set(1)
    const changes = watch()
    expect((await changes.next())?.sequence).toBe(1)
    await settled(network)
    const holder = nodes.find(({ dht }) => dht.registers.leaseCounts.granted > 0)!
    // Nobody pushes any more.
    for (const { dht } of nodes) dht.registers.stop()
    for (const value of [2, 3]) await set(value)
    const next = changes.wait()

    await network.world.runUntil(reader.dht.registers.get('name', { owner: owner.id }))

    expect((await next)?.sequence).toBe(3)
    const record = recordOf(owner, { sequence: 2 })
    const late = holder.port.request(reader.peer, pushRegister, { sender: SENDER, record })
    await expect(late).rejects.toMatchObject({ code: 'RECORD_STALE' })
    await stop()
  })

  test('is not upset by a version that its owner signed and nobody can read', async () => {
    const { nodes, owner, set, watch, network, stop } = await watching()
    await set(1)
    const changes = watch()
    expect((await changes.next())?.sequence).toBe(1)
    await settled(network)
    for (const node of nodes) {
      await offerTo(node, owner, recordOf(owner, { sequence: 5, payload: Uint8Array.of(1) }))
    }
    await settled(network)
    for (const node of nodes) await offerTo(node, owner, recordOf(owner, { sequence: 6 }))

    expect((await changes.next())?.sequence).toBe(6)
    await stop()
  })

  test('of more registers than 1,024 is refused', async () => {
    const { network, owner, stop } = await watching()
    const reader = new FakeNode(network)
    await reader.dht.start()
    const all = Array.from({ length: 1_025 }, (_, at) =>
      reader.dht.registers.watch(`name ${at}`, { owner: owner.id }),
    )
    const last = all.pop()!
    const waiting = all.map((one) => one.next())

    await expect(last.next()).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' })
    for (const one of all) await one.return?.()
    expect(await Promise.all(waiting)).toEqual(all.map(() => DONE))
    await reader.dht.stop()
    await stop()
  })
})
