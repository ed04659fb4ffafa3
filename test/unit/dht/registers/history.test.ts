import { describe, expect, test } from 'vitest'
import { keyOfRecord, type SignedRecord } from '../../../../ts/base/record.ts'
import { compareVersions, subjectOfName } from '../../../../ts/dht/register.ts'
import { getHistory } from '../../../../ts/dht/register-wire.ts'
import { getRecord } from '../../../../ts/dht/wire.ts'
import { FakeNetwork, FakeNode, networkOf, stopAll } from '../fake-network.ts'
import { SENDER, offerTo, recordOf } from './fixture.ts'

const DAY_MS = 86_400_000
/** A month passes without a month of upkeep. */
const QUIET = {
  selfLookupIntervalMs: DAY_MS,
  refreshIntervalMs: DAY_MS,
  checkIntervalMs: DAY_MS,
  republishIntervalMs: DAY_MS,
  sweepIntervalMs: DAY_MS,
}

describe('the history of a register', () => {
  test('is what it said before, newest first, as far back as its keepers go', async () => {
    const { nodes } = await networkOf(5)
    const [owner, reader] = nodes as [FakeNode, FakeNode]
    for (let value = 1; value <= 12; value += 1) {
      await owner.dht.registers.set('name', Uint8Array.of(value), {})
    }

    const whole = await reader.dht.registers.history('name', { owner: owner.id })

    expect(whole.map(({ sequence }) => sequence)).toEqual([12, 11, 10, 9, 8, 7, 6, 5, 4])
    expect(whole.map(({ value }) => value[0])).toEqual([12, 11, 10, 9, 8, 7, 6, 5, 4])
    expect(await reader.dht.registers.history('name', { owner: owner.id, limit: 2 })).toEqual(
      whole.slice(0, 2),
    )
    expect(await reader.dht.registers.history('another', { owner: owner.id })).toEqual([])
    await stopAll(nodes)
  })

  test('is put together from keepers that know different parts', async () => {
    const { network, nodes } = await networkOf(6)
    const [owner, reader, ...others] = nodes as [FakeNode, FakeNode, ...FakeNode[]]
    for (let value = 1; value <= 4; value += 1) {
      // One of them misses each change; the owner and the reader miss most of them.
      for (const node of [reader, ...others]) node.port.isUp = node !== others[value - 1]
      await owner.dht.registers.set('name', Uint8Array.of(value), {})
    }
    for (const node of nodes) node.port.isUp = true
    const partial = await ask(reader, others[1]!, owner)
    for (const node of [owner, others[0]!]) node.port.handle(getHistory, () => [])

    const all = await network.world.runUntil(reader.dht.registers.history('name', { owner: owner.id }))

    expect(partial.map(({ body }) => body.sequence)).toEqual([4, 3, 1])
    expect(all.map(({ sequence }) => sequence)).toEqual([4, 3, 2, 1])
    await stopAll(nodes)
  })

  test('has nothing that a liar made up, and what is true of a liar’s answer counts up to the lie', async () => {
    const { network, nodes } = await networkOf(6)
    const [owner, liar, ...others] = nodes as [FakeNode, FakeNode, ...FakeNode[]]
    for (const value of [1, 2, 3]) await owner.dht.registers.set('name', Uint8Array.of(value), {})
    const [newest, middle, oldest] = await ask(others[0]!, liar, owner)
    const stranger = new FakeNode(network, { serves: false })
    const foreign = recordOf(stranger, { sequence: 2 })
    const reader = new FakeNode(network, { serves: false })
    await reader.dht.start()
    await reader.dht.bootstrap([owner.peer])
    const read = async (lie: readonly SignedRecord[]) => {
      for (const node of [owner, ...others]) node.port.handle(getHistory, () => [])
      liar.port.handle(getHistory, () => lie)
      const found = await reader.dht.registers.history('name', { owner: owner.id })
      return found.map(({ sequence }) => sequence)
    }

    expect(await read([newest!, middle!, oldest!])).toEqual([3, 2, 1])
    expect(await read([newest!, { ...middle!, signature: newest!.signature }, oldest!])).toEqual([3])
    expect(await read([foreign])).toEqual([])
    expect(await read([newest!, foreign])).toEqual([3])
    expect(await read([recordOf(owner, { sequence: 2, name: 'another' })])).toEqual([])
    // A record that says nothing readable is signed all the same.
    expect(await read([recordOf(owner, { sequence: 9, payload: Uint8Array.of(1) })])).toEqual([])
    expect(await read([oldest!, newest!])).toEqual([])
    expect(await read([newest!, newest!])).toEqual([])
    await stopAll([reader, ...nodes])
  })

  test('of two versions with one sequence shows the one with the lower hash', async () => {
    const { nodes } = await networkOf(4)
    const [owner, reader, ...others] = nodes as [FakeNode, FakeNode, ...FakeNode[]]
    const rivals = [1, 2].map((value) => recordOf(owner, { sequence: 5, value }))
    const [low, high] = rivals.sort((a, b) => compareVersions(owner.env.crypto, a, b))
    for (const [at, node] of [owner, ...others].entries()) {
      node.port.handle(getHistory, () => [at % 2 === 0 ? high! : low!])
    }
    // So that all have the key of the owner.
    await owner.dht.registers.set('other', Uint8Array.of(0), {})

    const found = await reader.dht.registers.history('name', { owner: owner.id })

    expect(found.map(({ value }) => value[0])).toEqual([low!.body.payload.at(-2)])
    await stopAll(nodes)
  })
})

test('a reader takes of two versions with one sequence the one with the lower hash, as the keepers do', async () => {
  const { network, nodes } = await networkOf(6)
  const [owner, reader, ...others] = nodes as [FakeNode, FakeNode, ...FakeNode[]]
  const { crypto } = owner.env
  // So that all have the key of the owner.
  await owner.dht.registers.set('other', Uint8Array.of(0), {})
  // By their bytes they come in the other order.
  const [low, high] = Array.from({ length: 64 }, (_, at) =>
    [at, at + 1].map((value) => recordOf(owner, { sequence: 5, value })),
  )
    .map((rivals) => rivals.sort((a, b) => compareVersions(crypto, a, b)))
    .find(([a, b]) => Buffer.compare(a!.bodyBytes, b!.bodyBytes) > 0)!
  for (const [at, { port }] of [owner, ...others].entries()) {
    port.handle(getRecord, () => ({ record: at % 2 === 0 ? high : low, peers: [] }))
  }

  const read = await network.world.runUntil(
    reader.dht.registers.get('name', { owner: owner.id, consistency: 'quorum' }),
  )

  expect(read?.value).toEqual(Uint8Array.of(low!.body.payload.at(-2)!))
  await stopAll(nodes)
})

describe('a keeper', () => {
  test('keeps eight earlier versions of a register over a restart, for 30 days', async () => {
    const { network, keeper, author, put, kept } = await pair(QUIET)
    for (let sequence = 1; sequence <= 11; sequence += 1) await put({ sequence })
    expect(await kept()).toEqual([11, 10, 9, 8, 7, 6, 5, 4, 3])
    expect(keeper.dht.registers.supersededCount).toBe(8)

    await keeper.dht.stop()
    const again = new FakeNode(network, {
      ...QUIET,
      crypto: keeper.env.crypto,
      port: keeper.port,
      store: keeper.store,
    })
    await again.dht.start()
    expect(await kept()).toEqual([11, 10, 9, 8, 7, 6, 5, 4, 3])
    expect(again.dht.registers.supersededCount).toBe(8)
    await network.world.run(31 * DAY_MS)

    expect(await kept()).toEqual([11])
    expect(again.dht.registers.supersededCount).toBe(0)
    await stopAll([again, author])
  })

  test('has no more records than its limits in all, and newer ones of anybody come before history', async () => {
    const { keeper, put, kept, stop } = await pair({ maxRecords: 4, maxPerOwner: 4, maxPerSource: 4 })
    for (let sequence = 1; sequence <= 6; sequence += 1) await put({ sequence })
    expect(await kept()).toEqual([6, 5, 4, 3])

    expect((await put({ sequence: 1, name: 'second' })).kind).toBe('stored')
    expect((await put({ sequence: 1, name: 'third' })).kind).toBe('stored')
    expect(await kept()).toEqual([6, 5])
    expect((await put({ sequence: 1, name: 'fourth' })).kind).toBe('stored')
    expect((await put({ sequence: 1, name: 'fifth' })).kind).toBe('full')
    expect(await kept()).toEqual([6])
    expect(keeper.dht.registers.supersededCount + keeper.dht.recordCount).toBe(4)
    expect(await keeper.store.count('records')).toBe(4)
    await stop()
  })

  test('keeps neither what comes late nor the loser of two versions with one sequence', async () => {
    const { put, kept, keeper, author, stop } = await pair()
    const rivals = [1, 2].map((value) => recordOf(author, { sequence: 5, value }))
    const [low, high] = rivals.sort((a, b) => compareVersions(author.env.crypto, a, b))
    const offer = (record: SignedRecord) => offerTo(keeper, author, record)

    expect((await put({ sequence: 3 })).kind).toBe('stored')
    expect((await offer(high!)).kind).toBe('stored')
    expect((await offer(low!)).kind).toBe('stored')
    expect((await put({ sequence: 2 })).kind).toBe('stale')
    expect(await kept()).toEqual([5, 3])
    expect(keeper.dht.registers.supersededCount).toBe(1)
    await stop()
  })

  test('whose disk is full keeps the history that it had', async () => {
    const { put, kept, keeper, stop } = await pair()
    await put({ sequence: 1 })
    await put({ sequence: 2 })
    const write = keeper.store.write.bind(keeper.store)
    keeper.store.write = () => Promise.reject(new Error('the disk is full'))

    await expect(put({ sequence: 3 })).rejects.toThrow()
    keeper.store.write = write

    expect(await kept()).toEqual([2, 1])
    expect(keeper.dht.registers.supersededCount).toBe(1)
    await put({ sequence: 4 })
    expect(await kept()).toEqual([4, 2, 1])
    await stop()
  })

  test('lets go of the key of an owner of whom nothing is left', async () => {
    const { network, keeper, author, stop } = await pair({ maxRecords: 3 })
    const expiresUnixMs = network.world.clock.unixMs() + DAY_MS
    await offerTo(keeper, author, recordOf(author, { sequence: 1, lifetimeMs: 3 * DAY_MS }))
    await offerTo(keeper, author, recordOf(author, { sequence: 2, expiresUnixMs }))
    await network.world.run(2 * DAY_MS)
    // Of the register only the earlier version is left, which lives longer.
    expect([keeper.dht.recordCount, keeper.dht.registers.supersededCount]).toEqual([0, 1])
    expect(await keeper.store.count('publicKeys')).toBe(1)
    const other = new FakeNode(network, { serves: false })
    await other.dht.start()
    for (const name of ['a', 'b', 'c']) await offerTo(keeper, other, recordOf(other, { sequence: 1, name }))

    expect([keeper.dht.recordCount, keeper.dht.registers.supersededCount]).toEqual([3, 0])
    expect(await keeper.store.count('publicKeys')).toBe(1)
    await other.dht.stop()
    await stop()
  })

  test('tells each peer 32 histories a second and no more', async () => {
    const { keeper, author, put, network, stop } = await pair()
    await put({ sequence: 1 })
    const outcomes = await Promise.all(
      Array.from({ length: 140 }, () =>
        ask(author, keeper, author).then(
          () => 'ok',
          (error: unknown) => (error as { readonly code: string }).code,
        ),
      ),
    )

    expect(outcomes.filter((outcome) => outcome === 'RATE_LIMITED').length).toBe(12)
    expect(keeper.env.metrics.counter('refusals', { reason: 'registers' }).value).toBe(12)
    await network.world.run(1_000)
    expect((await ask(author, keeper, author)).length).toBe(1)
    await stop()
  })
})

/** What `keeper` tells of the register `name` of `owner`. */
function ask(asker: FakeNode, keeper: FakeNode, owner: FakeNode, earlier = 8) {
  const subject = subjectOfName(owner.env.crypto, 'name')
  const key = keyOfRecord(owner.env.crypto, { kind: 'REGISTER_POINTER', subject, owner: owner.id })
  return asker.port.request(keeper.peer, getHistory, { sender: SENDER, key, earlier })
}

/** A keeper, and an author that offers it records by hand. */
async function pair(limits: ConstructorParameters<typeof FakeNode>[1] = {}) {
  const network = new FakeNetwork('history')
  const keeper = new FakeNode(network, limits)
  const author = new FakeNode(network, { ...QUIET, serves: false })
  await keeper.dht.start()
  await author.dht.start()
  const put = (change: Parameters<typeof recordOf>[1]) => offerTo(keeper, author, recordOf(author, change))
  const kept = async () => (await ask(author, keeper, author)).map(({ body }) => body.sequence)
  return { network, keeper, author, put, kept, stop: () => stopAll([keeper, author]) }
}
