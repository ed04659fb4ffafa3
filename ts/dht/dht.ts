import { allowManyListeners } from '../base/abort.ts'
import type { Timer } from '../base/clock.ts'
import type { Env } from '../base/env.ts'
import { EspalierError, toEspalierError } from '../base/error.ts'
import type { Key, NodeId } from '../base/identity.ts'
import { keyOfRecord } from '../base/record.ts'
import { formatAddress, type Address, type PeerAddress } from '../net/address.ts'
import type { RpcPort } from '../net/rpc-port.ts'
import type { CallOptions } from '../net/transport.ts'
import type { Store } from '../storage/store.ts'
import { Calls } from './calls.ts'
import { Contacts } from './contacts.ts'
import { Handover } from './handover.ts'
import { Locator } from './locator.ts'
import type { LookupReport } from './lookup-trace.ts'
import { checkDhtOptions, type CheckedDhtOptions, type DhtOptions } from './options.ts'
import { decodePointer, encodePointer, type ObjectPointer } from './pointer.ts'
import { Providers } from './providers.ts'
import { PublicKeys } from './public-keys.ts'
import { Publisher } from './publisher.ts'
import { RecordShelf } from './record-shelf.ts'
import { Registers, type ReadOptions } from './registers.ts'
import type { RegisterVersion } from './register.ts'
import { Repeat } from './repeat.ts'
import type { Peer } from './lookup.ts'
import { Neighbourhoods } from './neighbourhoods.ts'
import { Search } from './search.ts'
import type { NetworkSize } from './size-estimate.ts'
import { Server } from './server.ts'
import { Upkeep } from './upkeep.ts'
import { Verifier } from './verifier.ts'

export type { ObjectPointer } from './pointer.ts'
export type { DhtOptions } from './options.ts'

/** How long a restart waits for one look at all saved peers before others matter more. */
const REVALIDATE_TIMEOUT_MS = 120_000
const UPKEEP_TIMEOUT_MS = 600_000
/** A contact that was heard of within so many check intervals needs no check. */
const CHECK_IDLE_RATIO = 10

/**
 * The distributed hash table (S/Kademlia): finds the nodes nearest to a key over disjoint paths, and
 * keeps signed records on them.
 */
export class Dht {
  /** Who has which children of a root. */
  readonly providers: Providers
  /** Small named values, of this node and of others. */
  readonly registers: Registers
  readonly #rpc: RpcPort
  readonly #env: Env
  readonly #options: CheckedDhtOptions
  readonly #stopping = new AbortController()
  readonly #calls: Calls
  readonly #contacts: Contacts
  readonly #shelf: RecordShelf
  readonly #search: Search
  readonly #neighbourhoods: Neighbourhoods
  readonly #locator: Locator
  readonly #publisher: Publisher
  readonly #upkeep: Upkeep
  readonly #handover: Handover
  readonly #server: Server
  /** The addresses that the network was told last. */
  #advertised = ''
  #repeats: readonly Repeat[] = []
  /** Set while the table has changes that are not saved. */
  #housekeeping: Timer | undefined
  #loaded: Promise<readonly Peer[]> | undefined
  #state: 'new' | 'running' | 'stopped' = 'new'

  /** Throws `INVALID_ARGUMENT` for an unknown option or a value out of range. */
  constructor(
    deps: { readonly rpc: RpcPort; readonly env: Env; readonly store: Store },
    options: DhtOptions = {},
  ) {
    const checked = checkDhtOptions(options)
    allowManyListeners(this.#stopping.signal)
    const { rpc, env, store } = deps
    const self = rpc.localId
    this.#rpc = rpc
    this.#env = env
    this.#options = checked
    this.#calls = new Calls(env, {
      stopped: this.#stopping.signal,
      defaultTimeoutMs: checked.callTimeoutMs,
    })
    this.#contacts = new Contacts(deps, {
      ...checked,
      bucketSize: checked.k,
      networks: checked,
      onChange: () => this.#onTableChange(),
    })
    const verifier = new Verifier(env.crypto)
    const publicKeys = new PublicKeys(deps, self)
    const contacts = this.#contacts
    const shelf = new RecordShelf({ env, store, verifier, publicKeys }, checked)
    this.#neighbourhoods = new Neighbourhoods(checked)
    const neighbourhoods = this.#neighbourhoods
    const search = new Search({ self, env, contacts, shelf, verifier, publicKeys, neighbourhoods }, checked)
    const publisher = new Publisher({ self, env, store, contacts, shelf, search, verifier }, checked)
    this.providers = new Providers(
      { self, rpc, env, store, contacts, search, publisher, verifier, publicKeys, calls: this.#calls },
      checked,
    )
    this.#shelf = shelf
    this.#search = search
    this.#locator = new Locator({ rpc, env, calls: this.#calls, search })
    this.#publisher = publisher
    this.registers = new Registers(
      { self, rpc, env, contacts, calls: this.#calls, search, publisher, shelf, verifier, publicKeys },
      checked,
    )
    this.#upkeep = new Upkeep({
      self,
      env,
      store,
      contacts,
      search,
      shelf,
      publisher,
      providers: this.providers,
      k: checked.k,
    })
    this.#handover = new Handover({ self, env, contacts, shelf, publicKeys }, checked)
    this.#server = new Server({ rpc, contacts, shelf, publicKeys }, checked)
  }

  /**
   * Loads records and the saved table, and answers others from the moment that the network runs: called
   * before it does, nobody who dials early hears that this node serves nothing. Again, it does nothing.
   */
  load(): Promise<readonly Peer[]> {
    this.#loaded ??= this.#load()
    return this.#loaded
  }

  /**
   * {@link load}, and starts the timers; the network has to run. The saved peers are asked again in the
   * background; only those that answer enter the table. Codes: `INVALID_STATE`, `CLOSED`, and those of the store.
   */
  async start(): Promise<void> {
    if (this.#state !== 'new') throw new EspalierError('INVALID_STATE', 'already started')
    this.#state = 'running'
    this.#calls.open()
    const saved = await this.load()
    // Nobody would stop the timers any more.
    if (this.#stopping.signal.aborted) throw new EspalierError('CLOSED', 'stopped while it started')
    this.#startTimers()
    // Who asked before this moment is in the table already.
    this.#onTableChange()
    this.providers.start()
    if (saved.length > 0) {
      this.#calls.inBackground('the saved table', REVALIDATE_TIMEOUT_MS, async (signal) => {
        await this.#upkeep.pingAll(saved, signal)
        await this.#upkeep.lookUpSelf(signal)
      })
    }
  }

  /** Ends every call with `CLOSED` and saves the table. Idempotent. */
  async stop(): Promise<void> {
    if (this.#state !== 'running') {
      this.#state = 'stopped'
      return
    }
    this.#state = 'stopped'
    for (const repeat of this.#repeats) repeat.stop()
    this.#housekeeping?.cancel()
    this.providers.stop()
    this.registers.stop()
    this.#stopping.abort()
    await this.#contacts.save()
  }

  /**
   * Joins through nodes that are known by address, then learns the own neighbourhood and the rest of
   * the key space. Codes: `PEER_UNREACHABLE` when none answered and no other node is known, `TIMEOUT`,
   * `ABORTED`, `CLOSED`.
   */
  async bootstrap(peers: readonly PeerAddress[], options: CallOptions = {}): Promise<void> {
    await this.#calls.run(options, async (signal) => {
      const outcomes = await Promise.allSettled(peers.map((peer) => this.#meet(peer, signal)))
      signal.throwIfAborted()
      const failure = outcomes.find((outcome) => outcome.status === 'rejected')
      if (failure !== undefined && this.#contacts.table.size === 0) {
        const cause = toEspalierError(failure.reason, 'PEER_UNREACHABLE', 'the bootstrap node')
        const message = `none of ${peers.length} bootstrap nodes answered: ${cause.message}`
        throw new EspalierError('PEER_UNREACHABLE', message, { cause, details: { tried: peers.length } })
      }
      const nearest = await this.#upkeep.lookUpSelf(signal)
      // Fewer than k nearest are all that there are; else every bucket that has no look-up yet.
      if (nearest.length >= this.#options.k) await this.#upkeep.refreshBuckets({ idleMs: 0, signal })
    })
    await this.#contacts.save()
    if (this.#options.serves) {
      this.#calls.inBackground('advertising', this.#options.callTimeoutMs, (signal) =>
        this.#advertise(signal),
      )
    }
  }

  /** The k nodes nearest to `target` that answered, nearest first; this node is not among them. */
  async findClosest(target: Key, options: CallOptions = {}): Promise<readonly PeerAddress[]> {
    return this.#calls.run(options, (signal) => this.#search.closest(target, signal))
  }

  /** Where a node can be reached, asked of the network when the book does not know; empty when nobody knows. */
  async locate(id: NodeId, options: CallOptions = {}): Promise<readonly Address[]> {
    return this.#locator.locate(id, options)
  }

  /**
   * Looks for a node and tells how: whom each path asked, what came of it and what proves that the node is
   * there. `secure` takes eight disjoint paths (default false). Codes: `TIMEOUT`, `ABORTED`, `CLOSED`.
   */
  async lookup(id: NodeId, options: CallOptions & { readonly secure?: boolean } = {}): Promise<LookupReport> {
    return this.#locator.look(id, options)
  }

  /** Nodes whose last request was answered and that keep data for others, this one included. Bounded by the table. */
  eligible(): readonly NodeId[] {
    const others = this.#contacts.table.contacts().filter(({ failures }) => failures === 0)
    const ids = others.map(({ id }) => id)
    return this.#options.serves ? [this.#rpc.localId, ...ids] : ids
  }

  /** The routing table. */
  peers(): readonly { readonly id: NodeId; readonly addresses: readonly Address[] }[] {
    return this.#contacts.table.contacts().map(({ id }) => this.#contacts.peerOf(id))
  }

  /** Nodes in the routing table. */
  get peerCount(): number {
    return this.#contacts.table.size
  }

  /** The size of the network, from complete look-ups; nothing before the first. */
  get networkSize(): NetworkSize | undefined {
    return this.#neighbourhoods.size
  }

  /** How evenly the table spreads over networks: 0 (all contacts in one) to 1 (each in its own). */
  get evenness(): number {
    return this.#contacts.table.evenness
  }

  /** Records kept for others now, announcements of providers apart. */
  get recordCount(): number {
    return this.#shelf.size
  }

  /**
   * Puts a signed pointer on the nodes nearest to its key, and again every hour while this node runs.
   * Codes: `QUORUM_FAILED` when nobody accepted it, `RECORD_STALE`, `INVALID_ARGUMENT`, `TIMEOUT`.
   */
  async publishPointer(
    pointer: ObjectPointer,
    options: CallOptions = {},
  ): Promise<{ readonly accepted: readonly NodeId[] }> {
    if (pointer.root.byteLength !== 32) {
      throw new EspalierError('INVALID_ARGUMENT', `a root has 32 bytes, not ${pointer.root.byteLength}`)
    }
    const place = { kind: 'DATA_POINTER', subject: Uint8Array.from(pointer.root) } as const
    const draft = { ...place, payload: encodePointer(pointer), expiresUnixMs: pointer.expiresUnixMs }
    return this.#calls.inTurn(place, options, async (signal) => {
      const last = await this.#publisher.lastSequence(place)
      const sequence = Math.max(this.#env.clock.unixMs(), last + 1)
      const { accepted } = await this.#publisher.publish(draft, { sequence, signal })
      return { accepted }
    })
  }

  /** The owner's pointer to an object, or nothing when nobody asked has a valid one. */
  async findPointer(
    query: { readonly root: Uint8Array; readonly owner: NodeId },
    options: CallOptions = {},
  ): Promise<ObjectPointer | undefined> {
    const { root, owner } = query
    const key = keyOfRecord(this.#env.crypto, { kind: 'DATA_POINTER', subject: root, owner })
    return this.#calls.run(options, async (signal) => {
      const wanted = { kind: 'DATA_POINTER', key, owner, enough: 1 } as const
      const record = await this.#search.record(wanted, signal)
      return record === undefined ? undefined : decodePointer(record.body)
    })
  }

  /** Writes this node's register `name`: see {@link Registers.set}. */
  async putValue(
    name: string,
    value: Uint8Array,
    options: Parameters<Registers['set']>[2] = {},
  ): Promise<{ readonly sequence: number; readonly accepted: readonly NodeId[] }> {
    return this.registers.set(name, value, options)
  }

  /** The owner's register `name`: see {@link Registers.get}. */
  async getValue(
    name: string,
    query: { readonly owner: NodeId },
    options: ReadOptions = {},
  ): Promise<RegisterVersion | undefined> {
    return this.registers.get(name, { ...options, ...query })
  }

  async #load(): Promise<readonly Peer[]> {
    await this.#shelf.load()
    await this.providers.load()
    this.registers.load()
    const saved = await this.#contacts.load()
    this.#server.start()
    return saved
  }

  /** Dials a bootstrap node and hears whether it serves. */
  async #meet(peer: PeerAddress, signal: AbortSignal): Promise<void> {
    const id = await this.#rpc.connect(peer, { signal, timeoutMs: this.#options.requestTimeoutMs })
    if (id === this.#rpc.localId) return
    await this.#contacts.ping(id, signal)
  }

  #startTimers(): void {
    const { selfLookupIntervalMs, refreshIntervalMs, checkIntervalMs } = this.#options
    const { republishIntervalMs, sweepIntervalMs } = this.#options
    const repeat = (name: string, intervalMs: number, work: (signal: AbortSignal) => Promise<unknown>) =>
      new Repeat(this.#env, {
        name,
        intervalMs,
        work: () => this.#calls.run({ timeoutMs: UPKEEP_TIMEOUT_MS }, work),
      })
    this.#repeats = [
      repeat('self look-up', selfLookupIntervalMs, (signal) => this.#upkeep.lookAround(signal)),
      repeat('table refresh', refreshIntervalMs, (signal) =>
        this.#upkeep.refreshOne({ idleMs: refreshIntervalMs, signal }),
      ),
      repeat('contact check', checkIntervalMs, async (signal) => {
        if (this.#isMoved()) await this.#advertise(signal)
        return this.#upkeep.checkOne({ idleMs: CHECK_IDLE_RATIO * checkIntervalMs, signal })
      }),
      repeat('republish', republishIntervalMs, async (signal) => {
        await this.#publisher.republish(signal)
        await this.#advertise(signal)
      }),
      repeat('removal of expired records', sweepIntervalMs, () => this.#upkeep.sweep()),
    ]
  }

  /** Changes come in crowds: one write and one handover serve those of some seconds. */
  #onTableChange(): void {
    if (this.#housekeeping !== undefined || this.#state !== 'running') return
    this.#housekeeping = this.#env.clock.setTimer(this.#options.housekeepingDelayMs, () => {
      this.#housekeeping = undefined
      this.#calls.inBackground('housekeeping', UPKEEP_TIMEOUT_MS, async (signal) => {
        await this.#contacts.save()
        if (this.#options.serves) await this.#handover.run(signal)
      })
    })
  }

  /** Whether this node is reached elsewhere than the network was told. */
  #isMoved(): boolean {
    return this.#options.serves && this.#options.ownAddresses().map(formatAddress).join() !== this.#advertised
  }

  /** A node that knows nobody, or that others can't reach, has nothing to say. */
  async #advertise(signal: AbortSignal): Promise<void> {
    const addresses = this.#options.ownAddresses()
    if (!this.#options.serves || addresses.length === 0 || this.#contacts.table.size === 0) return
    await this.#upkeep.advertise(addresses, signal)
    this.#advertised = addresses.map(formatAddress).join()
  }
}
