import { randomBytes } from 'node:crypto'
import { Registry } from 'prom-client'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { giveReceipts } from '../../ts/dht/provider-wire.ts'
import { exportNode } from '../../ts/metrics/exporter.ts'
import { createHasher } from '../../ts/native/hash.ts'
import { encodeSegment } from '../../ts/native/segment.ts'
import type { QuicTransport } from '../../ts/net/quic.ts'
import type { EspalierNode } from '../../ts/node/node.ts'
import { PUT_SHARDS } from '../../ts/objects/wire.ts'
import { readExposition, total } from './exposition.ts'
import {
  addressOf,
  announce,
  block,
  changed,
  connect,
  makeLossyPath,
  makeWorld,
  peerOf,
  scrape,
  sendPacket,
  sourceOf,
  type World,
} from './world.ts'

/** A protocol that no service has. */
const UNKNOWN = 0x7fff

let world: World

beforeAll(async () => {
  world = await makeWorld()
})

afterAll(() => world.end())

/** Does what a metric counts. Whether it then shows is looked at by the test. */
interface Case {
  readonly labels?: Readonly<Record<string, string>>
  /** By how much it has to grow at least. */
  readonly by: number
  readonly act: () => Promise<unknown>
  /** What must be undone before the next case. */
  readonly after?: () => Promise<void> | void
}

const toDispose: (() => void)[] = []
const dispose = (): void => {
  for (const end of toDispose.splice(0)) end()
}

/** One for each metric; a metric that is neither here nor in `SPECIAL` fails the first test. */
const CASES: Readonly<Record<string, Case>> = {
  handshakes_total: {
    labels: { direction: 'inbound', outcome: 'full' },
    by: 1,
    act: async () => connect(await world.stranger(), world.a),
  },
  early_requests_total: { by: 1, act: async () => askEarly(await world.stranger()) },
  connections: {
    labels: { direction: 'inbound' },
    by: 1,
    act: async () => connect(await world.stranger(), world.a),
  },
  round_trip_seconds: { by: 1, act: () => scrape(world.a) },
  packets_lost_total: { by: 1, act: () => losePackets() },
  udp_bytes_total: { labels: { direction: 'inbound' }, by: 1000, act: () => ask(1000) },
  foreign_packets_total: { by: 1, act: () => sendPacket(addressOf(world.a), Uint8Array.of(1)) },
  payload_bytes_total: { labels: { direction: 'inbound', class: 'request' }, by: 1000, act: () => ask(1000) },
  datagrams_total: {
    labels: { direction: 'inbound' },
    by: 1,
    act: async () => (await connect(await world.stranger(), world.a)).sendDatagram(1, new Uint8Array(10)),
  },
  open_streams: {
    by: 1,
    act: async () => {
      const connection = await connect(await world.stranger(), world.a)
      const stream = await connection.openStream(PUT_SHARDS.protocol)
      toDispose.push(() => stream.reset(0))
    },
    after: dispose,
  },
  requests_total: { labels: { protocol: 'unknown', outcome: 'UNSUPPORTED' }, by: 1, act: () => ask(1) },
  request_duration_seconds: {
    labels: { protocol: 'unknown', direction: 'inbound' },
    by: 1,
    act: () => ask(1),
  },
  streams_total: {
    labels: { protocol: 'unknown', direction: 'inbound', outcome: 'UNSUPPORTED' },
    by: 1,
    act: async () => (await connect(await world.stranger(), world.a)).openStream(UNKNOWN),
  },
  refusals_total: { labels: { reason: 'rate_limited' }, by: 1, act: () => askTooMuch() },
  queue_length: {
    labels: { queue: 'native_requests' },
    by: 10,
    act: () => askBlocked({ requests: 10, bytes: 1 }),
  },
  native_waiting: { labels: { queue: 'events' }, by: 10, act: () => askBlocked({ requests: 10, bytes: 1 }) },
  native_waiting_bytes: { by: 50_000, act: () => askBlocked({ requests: 10, bytes: 5000 }) },
  peer_bytes: {
    labels: { kind: 'requests' },
    by: 50_000,
    act: () => askBlocked({ requests: 10, bytes: 5000 }),
  },
  routing_table_peers: { by: 1, act: () => world.node({ bootstrap: [peerOf(world.a)] }) },
  stored_records: { by: 1, act: () => world.b.put(`record ${Math.random()}`, Uint8Array.of(1)) },
  watched_registers: { by: 1, act: () => watch(world.a, world.b) },
  register_leases: { labels: { direction: 'inbound' }, by: 1, act: () => watch(world.b, world.a) },
  lease_requests_total: { labels: { outcome: 'granted' }, by: 1, act: () => watch(world.b, world.a) },
  register_pushes_total: { labels: { direction: 'outbound', outcome: 'ok' }, by: 1, act: () => pushOne() },
  stored_announcements: { by: 1, act: () => announce(world.b) },
  announced_roots: { by: 1, act: () => announce(world.a) },
  provider_cache_bytes: { by: 4, act: () => readAnnounced() },
  announcements_total: { labels: { outcome: 'stored' }, by: 1, act: () => announce(world.b) },
  receipts_total: { labels: { outcome: 'useless' }, by: 1, act: () => giveUselessReceipt() },
  summaries_total: { labels: { outcome: 'ok' }, by: 1, act: () => readAnnounced() },
  neighbourhoods_total: {
    labels: { verdict: 'honest' },
    by: 1,
    act: () => putTwo(),
  },
  lookups_total: {
    labels: { purpose: 'record', outcome: 'NOT_FOUND' },
    by: 1,
    act: () => world.a.get('nothing'),
  },
  lookup_duration_seconds: { labels: { purpose: 'record' }, by: 1, act: () => world.a.get('nothing') },
  lookup_requests: { labels: { purpose: 'record' }, by: 1, act: () => world.a.get('nothing') },
  transfers_total: { labels: { operation: 'put', outcome: 'ok' }, by: 1, act: () => store(10) },
  transfer_bytes_total: { labels: { operation: 'put' }, by: 123_456, act: () => store(123_456) },
  transfer_duration_seconds: { labels: { operation: 'put' }, by: 1, act: () => store(10) },
  storage_used_bytes: { by: 1000, act: () => store(10_000) },
  storage_shards: { by: 1, act: () => store(10) },
  event_loop_delay_seconds: {
    labels: { stat: 'max' },
    by: 0.1,
    act: async () => {
      await new Promise((resolve) => setTimeout(resolve, 30))
      block(200)
      await new Promise((resolve) => setTimeout(resolve, 30))
    },
  },
  native_handles: {
    labels: { kind: 'hasher' },
    by: 1,
    act: () => {
      // Enough that it is not hashed in JavaScript's own memory.
      const hasher = createHasher().update(new Uint8Array(1_000_000))
      toDispose.push(() => hasher[Symbol.dispose]())
      return Promise.resolve()
    },
    after: dispose,
  },
  native_jobs: {
    labels: { pool: 'compute' },
    by: 1,
    act: () => {
      const layout = { dataShards: 8, parityShards: 4 }
      const plaintext = new Uint8Array(4_000_000)
      const jobs = [1, 2, 3, 4, 5, 6, 7, 8].map((index) =>
        encodeSegment({ key: new Uint8Array(32), index, plaintext, layout }),
      )
      pending.push(Promise.all(jobs))
      return Promise.resolve()
    },
    after: settle,
  },
}

/** Shown by tests of their own, because no act of `a` changes them. */
const SPECIAL = [
  'connect_duration_seconds',
  'contacts_refused_total',
  'dials_total',
  'early_data_total',
  'equivocations_total',
  'network_size_nodes',
  'peer_bytes_limit',
  'routing_table_evenness',
  'storage_quota_bytes',
  'stored_superseded_records',
]

/** What a case has begun and not awaited. */
const pending: Promise<unknown>[] = []
async function settle(): Promise<void> {
  await Promise.allSettled(pending.splice(0))
}

describe('every metric moves', () => {
  test('there is a case for each metric that is registered, and no other', async () => {
    const registered = [...(await scrape(world.a)).families.keys()]

    expect(registered.sort()).toEqual(
      [...Object.keys(CASES), ...SPECIAL].map((name) => `espalier_${name}`).sort(),
    )
  })

  test.each(Object.entries(CASES))('%s', async (name, { labels = {}, by, act, after }) => {
    const full = `espalier_${name}`
    const before = total(await scrape(world.a), full, labels)

    await act()
    // Nothing may come between, where a level is looked at that falls again by itself.
    let now = total(await scrape(world.a), full, labels)
    if (now === before) now = await changed(world.a, full, { before, labels })

    expect(now - before).toBeGreaterThanOrEqual(by)
    await settle()
    await after?.()
  })

  test('dials_total and connect_duration_seconds', async () => {
    const [alone, joined] = [await world.node(), await world.node({ bootstrap: [peerOf(world.a)] })]

    const before = await scrape(alone)
    expect(total(before, 'espalier_dials_total')).toBe(0)
    expect(total(before, 'espalier_connect_duration_seconds')).toBe(0)
    const after = await scrape(joined)
    expect(total(after, 'espalier_dials_total', { outcome: 'ok' })).toBeGreaterThan(0)
    expect(total(after, 'espalier_connect_duration_seconds')).toBeGreaterThan(0)
  })

  test('early_data_total', async () => {
    const stranger = await world.stranger()
    const registry = new Registry()
    const detach = exportNode(sourceOf(stranger), { registry, prefix: 'x_', name: undefined })
    const read = async () => total(readExposition(await registry.metrics()), 'x_early_data_total')

    expect(await read()).toBe(0)
    await resumeAndAsk(stranger)
    expect(await read()).toBe(1)
    detach()
  })

  test('storage_quota_bytes', async () => {
    const [a, b] = [await scrape(world.a), await scrape(world.b)]

    expect(total(a, 'espalier_storage_quota_bytes')).toBe(2 ** 30)
    expect(total(b, 'espalier_storage_quota_bytes')).toBe(50_000_000)
  })

  test('peer_bytes_limit', async () => {
    expect(total(await scrape(world.a), 'espalier_peer_bytes_limit')).toBe(512 * 2 ** 20)
  })
})

async function readAnnounced(): Promise<void> {
  const root = await announce(world.b)
  expect((await world.a.providers.find(root, { root })).map(({ id }) => id)).toEqual([world.b.id])
}

/** Of a root that nobody announces, under a name. */
async function giveUselessReceipt(): Promise<void> {
  const receipts = [{ root: randomBytes(32), epoch: 1, window: 1, chunks: 1 }]
  const proof = { kind: 'pseudonym' as const, tags: [randomBytes(32)] }
  const body = giveReceipts.encodeRequest({ receipts, proof, publicKey: undefined })
  const answer = await (await connect(await world.stranger(), world.a)).request(giveReceipts.protocol, body)
  expect(giveReceipts.decodeResponse(answer)).toEqual({ kind: 'taken', count: 0 })
}

/** A request that is answered UNSUPPORTED. */
async function ask(bytes: number): Promise<void> {
  const connection = await connect(await world.stranger(), world.a)
  await expect(connection.request(UNKNOWN, new Uint8Array(bytes))).rejects.toMatchObject({
    code: 'UNSUPPORTED',
  })
}

/** Requests that reach the native side of `a` and wait there for its JavaScript thread, which is this one. */
async function askBlocked({ requests, bytes }: { readonly requests: number; readonly bytes: number }) {
  const connection = await connect(await world.stranger(), world.a)
  for (let sent = 0; sent < requests; sent += 1) {
    pending.push(connection.request(UNKNOWN, new Uint8Array(bytes)))
  }
  // The batch leaves at the end of this turn.
  await Promise.resolve()
  block(300)
}

/** Follows a register that nobody has written yet, to the end of this file. */
function watch(node: EspalierNode, owner: EspalierNode, name = `watched ${Math.random()}`) {
  const changes = node.registers.watch(owner.id, name)
  void changes.next()
  return Promise.resolve()
}

/** `b` watches a register that `a` keeps too, and then it changes. */
async function pushOne(): Promise<void> {
  const leases = async () =>
    total(await scrape(world.b), 'espalier_register_leases', { direction: 'outbound' })
  const before = await leases()
  const name = `pushed ${Math.random()}`
  await watch(world.b, world.b, name)
  await vi.waitUntil(async () => (await leases()) > before, { timeout: 20_000 })
  await world.b.registers.set(name, Uint8Array.of(1))
}

/** The first complete look-up of a node tells how large the network is, the next one is judged by that. */
async function putTwo(): Promise<void> {
  for (const name of ['one', 'two']) await world.a.put(name, Uint8Array.of(1))
}

/** Asks more than one peer may in one second, until something is refused: a busy machine takes longer, and 2,000 requests a second are allowed. */
async function askTooMuch(): Promise<void> {
  const connection = await connect(await world.stranger(), world.a)
  for (let rounds = 0; rounds < 10; rounds += 1) {
    const asked = Array.from({ length: 6000 }, () => connection.request(UNKNOWN, new Uint8Array(1)))
    const outcomes = await Promise.allSettled(asked)
    if (outcomes.some(isRateLimited)) return
  }
}

function isRateLimited(outcome: PromiseSettledResult<unknown>): boolean {
  return outcome.status === 'rejected' && (outcome.reason as { code?: unknown }).code === 'RATE_LIMITED'
}

/** Without distance a handshake may be done before what came early is served: then it is tried again. */
async function askEarly(stranger: QuicTransport): Promise<void> {
  const early = async () => total(await scrape(world.a), 'espalier_early_requests_total')
  const before = await early()
  for (let attempt = 0; attempt < 50 && (await early()) === before; attempt += 1) await resumeAndAsk(stranger)
}

/** Connects, forgets the connection, and asks in the first flight of the next. */
async function resumeAndAsk(stranger: QuicTransport): Promise<void> {
  const peer = { id: world.a.id, addresses: [addressOf(world.a)] }
  const inbound = async () => total(await scrape(world.a), 'espalier_connections', { direction: 'inbound' })
  const before = await inbound()
  const first = await connect(stranger, world.a)
  await first.request(UNKNOWN, new Uint8Array(1)).catch(() => undefined)
  // The ticket for the next connection comes after the handshake.
  await new Promise((resolve) => setTimeout(resolve, 100))
  first.close(0)
  await first.closed
  const { connection, answer } = stranger.connectAndAsk(peer, { protocol: UNKNOWN, body: Uint8Array.of(1) })
  await expect(answer).rejects.toMatchObject({ code: 'UNSUPPORTED' })
  const again = await connection
  again.close(0)
  await again.closed
  // The other side hears of it later, and must not count it in the midst of the next case.
  await vi.waitUntil(async () => (await inbound()) === before, { timeout: 20_000 })
}

/** Answers of `a` get lost on their way. */
async function losePackets(): Promise<void> {
  const stranger = await world.stranger()
  const path = await makeLossyPath(addressOf(world.a))
  const connection = await stranger.connect({ id: world.a.id, addresses: [path.address] })
  path.lossy = true
  const options = { timeoutMs: 500 }
  for (let round = 0; round < 3; round += 1) {
    const asked = Array.from({ length: 20 }, () => connection.request(UNKNOWN, new Uint8Array(100), options))
    await Promise.allSettled(asked)
  }
  path.lossy = false
  await connection.request(UNKNOWN, new Uint8Array(1)).catch(() => undefined)
  connection.close(0)
  path.close()
}

/** An object of this size, put by `a` and kept by `a` and `b`. */
async function store(bytes: number): Promise<void> {
  await world.a.objects.put(randomBytes(bytes))
}
