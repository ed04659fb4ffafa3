import { systemClock } from '../base/clock.ts'
import type { Env } from '../base/env.ts'
import { toEspalierError, type EspalierError } from '../base/error.ts'
import { Meter } from '../base/metrics.ts'
import { systemRng } from '../base/rng.ts'
import { Dht } from '../dht/dht.ts'
import { nodeCrypto } from '../native/crypto.ts'
import { Identity } from '../native/key-file.ts'
import type { Address, PeerAddress } from '../net/address.ts'
import { localAddresses } from '../net/local-addresses.ts'
import { QuicTransport } from '../net/quic.ts'
import { Rpc } from '../net/rpc.ts'
import { Objects } from '../objects/objects.ts'
import { DataDirectory } from '../storage/data-directory.ts'
import { openDatabase } from '../storage/database.ts'
import { ShardFiles } from '../storage/shard-files.ts'
import type { ShardStore } from '../storage/store.ts'
import { resolveBootstrap } from './bootstrap.ts'
import type { CheckedOptions } from './check-options.ts'
import { MonitorServer } from '../metrics/http.ts'
import { NodeMetrics } from '../metrics/node-metrics.ts'
import { Closers } from './closers.ts'
import { NodeProviders } from './providers.ts'
import { NodeRegisters } from './registers.ts'

/** The running parts of a node. */
export interface Services {
  readonly identity: Identity
  readonly rpc: Rpc
  readonly dht: Dht
  readonly objects: Objects
  readonly providers: NodeProviders
  readonly registers: NodeRegisters
  /** Nothing for `clientOnly`. */
  readonly shards: ShardStore | undefined
  readonly metrics: NodeMetrics
  /** Where `/metrics`, `/health` and `/ready` are served. */
  readonly monitorAddress: Address | undefined
  /** What this node tells others. */
  readonly addresses: readonly Address[]
  /** Closes everything in the reverse of the order in which it was opened. */
  close(): Promise<void>
}

/**
 * Opens the parts one after another. A failure half-way closes what was opened and is thrown:
 * `STORAGE_BUSY`, `STORAGE_CORRUPT`, `KEY_INVALID`, `INVALID_ARGUMENT` (a port that is taken, a
 * directory that can't be used), `PEER_UNREACHABLE`, `ABORTED`.
 */
export async function openServices(options: CheckedOptions, signal: AbortSignal): Promise<Services> {
  const closers = new Closers()
  try {
    return await open(options, signal, closers)
  } catch (error) {
    await closers.run().catch((failure: unknown) => {
      const { code, message } = toEspalierError(failure, 'INVALID_STATE', 'closing failed')
      options.log.error('a part did not close after a start that failed', { code, message })
    })
    throw toEspalierError(error, 'INVALID_STATE', 'the node could not start')
  }
}

async function open(options: CheckedOptions, signal: AbortSignal, closers: Closers): Promise<Services> {
  const storage = await openStorage(options, signal, closers)
  const { identity, store, shards } = storage
  const metrics = new Meter()
  const crypto = nodeCrypto(identity)
  const env: Env = { clock: systemClock, rng: systemRng, log: options.log, metrics, crypto }
  const { hosts, port, allowPrivate, mode, peerBytes } = options

  const transport = QuicTransport.create({
    identity,
    port,
    hosts,
    accepts: mode === 'p2p',
    ...(peerBytes === undefined ? {} : { peerBytes }),
  })
  closers.add(() => transport.close())
  const rpc = new Rpc({ transport, env }, { allowPrivate })
  // A client can't be dialled by others: it names no address.
  let addresses: readonly Address[] = []
  const dht = new Dht(
    { rpc, env, store },
    { serves: mode === 'p2p', ownAddresses: () => (mode === 'p2p' ? addresses : []), allowPrivate },
  )
  const objects = new Objects({
    rpc,
    env,
    store,
    shards,
    eligible: () => dht.eligible(),
    publish: (pointer, call) => dht.publishPointer(pointer, call),
    find: (query, call) => dht.findPointer(query, call),
    locate: (id, call) => dht.locate(id, call),
  })

  const shown = new NodeMetrics({ metrics, transport, rpc, dht, store, shards }, options.metrics)
  closers.add(() => rpc.stop())
  closers.add(() => dht.stop())
  closers.add(() => objects.stop())
  closers.add(() => shown.close())
  // Who wants to see them does so from now on; others pay nothing.
  if (options.metrics.registry !== undefined || options.metrics.port !== undefined) await shown.open()
  let isJoined = false
  const unready = (): string | undefined => {
    if (!isJoined) return 'the node is starting'
    return dht.peerCount === 0 && options.bootstrap.length > 0 ? 'no other node is known' : undefined
  }
  const monitor = await openMonitor({ shown, unready, options })
  if (monitor !== undefined) closers.add(() => monitor.close())
  signal.throwIfAborted()
  // Both serve before the port opens, so that nobody who dials early is turned away.
  await dht.load()
  await objects.start()
  signal.throwIfAborted()
  addresses = localAddresses(await rpc.start())
  signal.throwIfAborted()
  await dht.start()
  await join({ dht, options }, signal)
  isJoined = true
  const providers = new NodeProviders(dht.providers)
  const registers = new NodeRegisters(dht.registers)
  const parts = { providers, registers, identity, rpc, dht, objects, shards, addresses, metrics: shown }
  return { ...parts, monitorAddress: monitor?.address, close: () => closers.run() }
}

/** The HTTP server, where one is wanted: open before the node has joined, so that readiness can be waited for. */
async function openMonitor({
  shown,
  unready,
  options,
}: {
  readonly shown: NodeMetrics
  readonly unready: () => string | undefined
  readonly options: CheckedOptions
}): Promise<MonitorServer | undefined> {
  const { host, port } = options.metrics
  if (port === undefined) return undefined
  const read = async () => ({ text: await shown.text(), contentType: await shown.contentType() })
  return MonitorServer.open({ metrics: read, unready }, { host, port, log: options.log })
}

async function openStorage(options: CheckedOptions, signal: AbortSignal, closers: Closers) {
  const directory = await DataDirectory.open(options.dataDir)
  closers.add(() => directory.release())
  signal.throwIfAborted()
  const identity = await Identity.openOrCreate({
    path: directory.identityPath,
    ...(options.passphrase === undefined ? {} : { passphrase: options.passphrase }),
  })
  closers.add(() => identity[Symbol.dispose]())
  signal.throwIfAborted()
  const store = await openDatabase(directory.databasePath)
  closers.add(() => store.close())
  signal.throwIfAborted()
  if (options.mode === 'clientOnly') return { identity, store, shards: undefined }
  const shards = await ShardFiles.open({
    directory: directory.shardsPath,
    store,
    quotaBytes: options.quotaBytes,
    clock: systemClock,
    log: options.log,
  })
  closers.add(() => shards.close())
  return { identity, store, shards }
}

/** Joins through the entries that were given; one name that does not resolve is no reason to give up. */
async function join(
  { dht, options }: { readonly dht: Dht; readonly options: CheckedOptions },
  signal: AbortSignal,
): Promise<void> {
  if (options.bootstrap.length === 0) return
  const outcomes = await Promise.allSettled(options.bootstrap.map(resolveBootstrap))
  signal.throwIfAborted()
  const peers: PeerAddress[] = []
  const failures: EspalierError[] = []
  for (const outcome of outcomes) {
    if (outcome.status === 'fulfilled') peers.push(outcome.value)
    else failures.push(toEspalierError(outcome.reason, 'INVALID_ARGUMENT', 'a bootstrap entry'))
  }
  for (const { code, message } of failures) options.log.warn(message, { code })
  if (peers.length === 0 && failures[0] !== undefined) throw failures[0]
  await dht.bootstrap(peers, { signal })
}
