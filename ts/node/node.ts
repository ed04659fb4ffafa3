import { EspalierError, toEspalierError } from '../base/error.ts'
import type { NodeId } from '../base/identity.ts'
import type { LookupReport } from '../dht/lookup-trace.ts'
import type { Address } from '../net/address.ts'
import type { Objects } from '../objects/objects.ts'
import {
  checkGetValue,
  checkLookup,
  checkStart,
  type GetValueOptions,
  type LookupOptions,
  type PutValueOptions,
} from './check-call.ts'
import { checkNodeOptions, type CheckedOptions } from './check-options.ts'
import type { NodeOptions } from './options.ts'
import type { NodeProviders } from './providers.ts'
import type { NodeRegisters } from './registers.ts'
import { openServices, type Services } from './services.ts'
import {
  summarizeConnections,
  summarizeStatus,
  type ConnectionSummary,
  type NodeStatus,
  type PeerSummary,
} from './status.ts'

// The longest that Node's timers know: 2³¹ − 1.
const MAX_TIMER_MS = 2_147_483_647

type Phase =
  | { readonly name: 'new' }
  | { readonly name: 'starting'; readonly interrupt: AbortController; readonly done: Promise<void> }
  | { readonly name: 'running'; readonly services: Services }
  | { readonly name: 'stopped'; readonly done: Promise<void>; readonly id: NodeId | undefined }

/**
 * Makes a node; nothing is opened or sent before `start`. Throws `INVALID_ARGUMENT` for an option that
 * is unknown or out of range.
 *
 * @example
 * ```ts
 * import { createNode, privateNetwork } from 'espalier'
 *
 * const node = createNode({ dataDir: 'node', port: 0, ...privateNetwork() })
 * await node.start()
 * console.log(node.id.length, node.addresses.length > 0) // 52 true
 * await node.stop()
 * ```
 *
 * @category Node
 */
export function createNode(options: NodeOptions): EspalierNode {
  return new EspalierNode(checkNodeOptions(options))
}

/**
 * One node of the network: what {@link createNode} returns. It runs from `start` to `stop` and is not
 * started again; the same directory gives the same identity to a new one.
 * Every call before `start` ends with `INVALID_STATE`, every call after `stop` with `CLOSED`.
 *
 * @category Node
 */
export class EspalierNode implements AsyncDisposable {
  readonly #options: CheckedOptions
  #phase: Phase = { name: 'new' }
  /** Timers of services don't keep a process alive; a node that runs does, as a server would. */
  #keepAlive: NodeJS.Timeout | undefined

  /** @internal */
  constructor(options: CheckedOptions) {
    this.#options = options
  }

  /**
   * Opens the directory and the port and joins through `bootstrap`. Whatever fails, nothing stays
   * open and the node counts as stopped. Codes: `STORAGE_BUSY` (another node uses the directory),
   * `STORAGE_CORRUPT`, `KEY_INVALID`, `INVALID_ARGUMENT` (port taken, directory unusable),
   * `PEER_UNREACHABLE` (no bootstrap node answered and no other is known), `ABORTED`,
   * `NATIVE_UNAVAILABLE`; a second call is `INVALID_STATE`.
   */
  async start(options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    if (this.#phase.name === 'stopped') throw closed()
    if (this.#phase.name !== 'new') throw new EspalierError('INVALID_STATE', 'the node was started before')
    const given = checkStart(options)
    const interrupt = new AbortController()
    const signal = given === undefined ? interrupt.signal : AbortSignal.any([given, interrupt.signal])
    this.#keepAlive = setInterval(() => undefined, MAX_TIMER_MS)
    const done = this.#open(signal)
    this.#phase = { name: 'starting', interrupt, done }
    await done
  }

  /**
   * Ends every connection, frees the port and the directory, and resolves when all is closed: the
   * process then ends by itself. A start under way is given up. Idempotent; also before `start`.
   */
  stop(): Promise<void> {
    const phase = this.#phase
    if (phase.name === 'stopped') return phase.done
    const done = this.#end(phase)
    const id = phase.name === 'running' ? phase.services.identity.id : undefined
    this.#phase = { name: 'stopped', done, id }
    return done
  }

  /** The same as {@link stop}, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  /** This node's name, proved in every handshake. Known after `start`. */
  get id(): NodeId {
    if (this.#phase.name === 'stopped' && this.#phase.id !== undefined) return this.#phase.id
    return this.#running().identity.id
  }

  /** Where others reach this node: a wildcard is told as the machine's own addresses. */
  get addresses(): readonly Address[] {
    return this.#running().addresses
  }

  /** Objects of any size: put and get, encrypted and erasure-coded. */
  get objects(): Objects {
    return this.#running().objects
  }

  /** Who has which children of a root: announce what this node has, find who has the rest. */
  get providers(): NodeProviders {
    return this.#running().providers
  }

  /** Small named values: write, read, read what they were before, watch. */
  get registers(): NodeRegisters {
    return this.#running().registers
  }

  /**
   * Stores a small named value that only this node can change. Resolves after at least one other node
   * (or, alone in the network, this one) has stored it. Codes: `VALUE_TOO_LARGE` (over 256 bytes),
   * `QUORUM_FAILED`, `RECORD_STALE` (`details.sequence` is the current one), `INVALID_ARGUMENT`, `TIMEOUT`
   * (default 30,000 ms), `ABORTED`.
   *
   * @example
   * ```ts
   * import { localNetwork } from 'espalier/testing'
   *
   * const network = await localNetwork(3)
   * const [alice, bob] = network.nodes
   * const { sequence } = await alice!.put('season', Buffer.from('winter'))
   * const found = await bob!.get('season', { owner: alice!.id })
   * console.log(sequence, Buffer.from(found!.value).toString()) // 1 winter
   * await network.stop()
   * ```
   */
  async put(
    name: string,
    value: Uint8Array,
    options: PutValueOptions = {},
  ): Promise<{ readonly sequence: number; readonly accepted: readonly NodeId[] }> {
    return this.registers.set(name, value, options)
  }

  /**
   * Reads the newest version of a named value that the nodes asked could prove, never an older one than this
   * node has read before, of the last 256 names read since it started, or nothing when none of them has it. Codes:
   * `QUORUM_FAILED` (a read by quorum that too few holders answered, or with older versions than this node has
   * read; `details` has `found` and `needed`), `INVALID_ARGUMENT`, `TIMEOUT` (default 30,000 ms), `ABORTED`.
   */
  async get(
    name: string,
    options: GetValueOptions = {},
  ): Promise<{ readonly value: Uint8Array; readonly sequence: number } | undefined> {
    const { dht, identity } = this.#running()
    return dht.registers.get(name, checkGetValue({ name, self: identity.id }, options))
  }

  /**
   * Looks for a node in the network and tells how: whom each of the disjoint paths asked, what came of it, and
   * what proves that the node is there. Nothing found is no error. Codes: `INVALID_ARGUMENT`, `TIMEOUT`
   * (default 30,000 ms), `ABORTED`.
   *
   * @example
   * ```ts
   * import { localNetwork } from 'espalier/testing'
   *
   * const network = await localNetwork(3)
   * const [alice, bob] = network.nodes
   * const { found, requests } = await alice!.lookup(bob!.id, { secure: true })
   * console.log(found, requests > 0) // true true
   * await network.stop()
   * ```
   */
  async lookup(id: string, options: LookupOptions = {}): Promise<LookupReport> {
    const { dht } = this.#running()
    const checked = checkLookup(id, options)
    return dht.lookup(checked.id, checked.options)
  }

  /** Counts and sizes of this moment. */
  status(): NodeStatus {
    return summarizeStatus(this.#running())
  }

  /**
   * The metrics of this node in the text format of Prometheus, for a server of your own; with
   * `metrics.registry` all that is in the registry. Codes: `INVALID_ARGUMENT` when the registry can't take them.
   */
  async metrics(): Promise<string> {
    return this.#running().metrics.text()
  }

  /** Where `/metrics`, `/health` and `/ready` are served; nothing without `metrics.port`. */
  get metricsAddress(): Address | undefined {
    return this.#running().monitorAddress
  }

  /** Live connections with what their handshakes negotiated. */
  connections(): readonly ConnectionSummary[] {
    return summarizeConnections(this.#running().rpc)
  }

  /** Nodes in the routing table. */
  peers(): readonly PeerSummary[] {
    return this.#running().dht.peers()
  }

  #running(): Services {
    if (this.#phase.name === 'running') return this.#phase.services
    if (this.#phase.name === 'stopped') throw closed()
    throw new EspalierError('INVALID_STATE', 'the node is not started')
  }

  async #open(signal: AbortSignal): Promise<void> {
    try {
      const services = await openServices(this.#options, signal)
      if (signal.aborted) await services.close()
      // `stop` may have come after the last check of the signal; it aborts the signal.
      signal.throwIfAborted()
      this.#phase = { name: 'running', services }
    } catch (error) {
      if (this.#phase.name === 'starting')
        this.#phase = { name: 'stopped', done: Promise.resolve(), id: undefined }
      clearInterval(this.#keepAlive)
      throw signal.aborted ? abortedBy(signal) : error
    }
  }

  async #end(phase: Phase): Promise<void> {
    try {
      if (phase.name === 'running') await phase.services.close()
      if (phase.name !== 'starting') return
      phase.interrupt.abort(new EspalierError('ABORTED', 'the node was stopped while it started'))
      // `start` reports the failure to its caller; here only that it has ended matters.
      await phase.done.catch(() => undefined)
    } finally {
      clearInterval(this.#keepAlive)
    }
  }
}

function abortedBy(signal: AbortSignal): EspalierError {
  return toEspalierError(signal.reason, 'ABORTED', 'the start was given up')
}

function closed(): EspalierError {
  return new EspalierError('CLOSED', 'the node was stopped')
}
