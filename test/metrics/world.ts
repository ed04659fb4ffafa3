import { randomBytes } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Meter } from '../../ts/base/metrics.ts'
import { Identity } from '../../ts/native/key-file.ts'
import type { Address } from '../../ts/net/address.ts'
import { QuicTransport } from '../../ts/net/quic.ts'
import type { MetricsSource } from '../../ts/metrics/source.ts'
import type { Connection, Inbound } from '../../ts/net/transport.ts'
import { createNode, type EspalierNode } from '../../ts/node/node.ts'
import type { NodeOptions } from '../../ts/node/options.ts'
import { readExposition, total, type Exposition } from './exposition.ts'

/** Long enough for everything that comes to pass by itself. */
const PATIENCE_MS = 20_000

/** Two real nodes that know each other, and whatever else a test needs. */
export interface World {
  /** The node that is watched. */
  readonly a: EspalierNode
  /** Its neighbour. */
  readonly b: EspalierNode
  node(options?: Partial<NodeOptions>): Promise<EspalierNode>
  /** A bare transport, which may do what no node does. */
  stranger(): Promise<QuicTransport>
  end(): Promise<void>
}

export async function makeWorld(): Promise<World> {
  const directory = await mkdtemp(join(tmpdir(), 'espalier-metrics-'))
  const ends: (() => Promise<void>)[] = []
  let made = 0
  const node = async (options: Partial<NodeOptions> = {}): Promise<EspalierNode> => {
    const dataDir = join(directory, `node-${made++}`)
    const started = createNode({ dataDir, hosts: ['127.0.0.1'], allowPrivate: true, ...options })
    ends.push(() => started.stop())
    await started.start()
    return started
  }
  const a = await node({ metrics: { port: 0 } })
  const b = await node({ bootstrap: [peerOf(a)], quotaBytes: 50_000_000 })
  return {
    a,
    b,
    node,
    stranger: async () => {
      const identity = await Identity.create({ path: join(directory, `${made++}.key`) })
      const transport = QuicTransport.create({ identity, port: 0, hosts: ['127.0.0.1'] })
      ends.push(async () => {
        await transport.close()
        identity[Symbol.dispose]()
      })
      await transport.listen(deaf)
      return transport
    },
    end: async () => {
      for (const end of ends.reverse()) await end()
      await rm(directory, { recursive: true })
    },
  }
}

/** Takes nothing. */
const deaf: Inbound = {
  onRequest: () => Promise.reject(new Error('nobody asks a stranger')),
  onStream: (_, stream) => stream.reset(0),
  onDatagram: () => undefined,
  onConnection: () => undefined,
}

export function peerOf(node: EspalierNode): string {
  return `${node.id}@127.0.0.1:${addressOf(node).port}`
}

export function addressOf(node: EspalierNode): Address {
  const [address] = node.addresses
  if (address === undefined) throw new Error('the node has no address')
  return address
}

/** Announces a root that nobody announced before. */
export async function announce(node: EspalierNode): Promise<Uint8Array> {
  const root = randomBytes(32)
  await node.providers.announce(root, [root])
  return root
}

export function connect(stranger: QuicTransport, node: EspalierNode): Promise<Connection> {
  return stranger.connect({ id: node.id, addresses: [addressOf(node)] })
}

/** A scrape; anything that Prometheus would not like is an error. */
export async function scrape(node: EspalierNode): Promise<Exposition> {
  const read = readExposition(await node.metrics())
  if (read.problems.length > 0) throw new Error(read.problems.join('\n'))
  return read
}

/** Scrapes until the total of a metric is another than `before`, and answers it. */
export async function changed(
  node: EspalierNode,
  name: string,
  { before, labels = {} }: { readonly before: number; readonly labels?: Readonly<Record<string, string>> },
): Promise<number> {
  const endAtMs = performance.now() + PATIENCE_MS
  for (;;) {
    const now = total(await scrape(node), name, labels)
    if (now !== before) return now
    if (performance.now() > endAtMs) throw new Error(`${name} stayed ${before}`)
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
}

/** Keeps the JavaScript thread busy while native threads go on. */
export function block(durationMs: number): void {
  const endAtMs = performance.now() + durationMs
  while (performance.now() < endAtMs);
}

/** One UDP packet from nowhere. */
export function sendPacket(to: Address, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = createSocket('udp4')
    socket.once('error', reject)
    socket.send(bytes, to.port, to.host, () => socket.close(() => resolve()))
  })
}

/** A way to `target` on which each third packet back is lost once `lossy` is set. */
export async function makeLossyPath(
  target: Address,
): Promise<{ readonly address: Address; lossy: boolean; close(): void }> {
  const front = createSocket('udp4')
  const back = createSocket('udp4')
  let client: { readonly port: number; readonly address: string } | undefined
  let count = 0
  const path = {
    address: { host: '127.0.0.1', port: 0 },
    lossy: false,
    close: () => {
      front.close()
      back.close()
    },
  }
  front.on('message', (bytes, from) => {
    client = from
    back.send(bytes, target.port, target.host)
  })
  back.on('message', (bytes) => {
    count += 1
    if (client === undefined || (path.lossy && count % 3 === 0)) return
    front.send(bytes, client.port, client.address)
  })
  await new Promise<void>((resolve) => back.bind(0, '127.0.0.1', resolve))
  await new Promise<void>((resolve) => front.bind(0, '127.0.0.1', resolve))
  path.address = { host: '127.0.0.1', port: front.address().port }
  return path
}

/** A node that is nothing but a transport. */
export function sourceOf(transport: QuicTransport): MetricsSource {
  return {
    metrics: new Meter(),
    transport,
    rpc: {
      load: () => ({ underWay: 0, queued: 0, served: 0, dials: 0 }),
      connectionCounts: () => ({ inbound: 0, outbound: 0 }),
    },
    dht: {
      peerCount: 0,
      evenness: 1,
      networkSize: undefined,
      recordCount: 0,
      registers: { supersededCount: 0, watchedCount: 0, leaseCounts: { granted: 0, held: 0 } },
      providers: { keptCount: 0, announcedCount: 0, cachedBytes: 0 },
    },
    store: { pendingCalls: 0 },
    shards: undefined,
  }
}
