import { CborReader, CborWriter } from '../base/codec.ts'
import type { Env } from '../base/env.ts'
import { EspalierError, type ErrorCode } from '../base/error.ts'
import { keyOfNode, nodeIdFromBytes, type Key, type NodeId } from '../base/identity.ts'
import type { Address } from '../net/address.ts'
import type { MessageType } from '../net/message.ts'
import type { Caller, RpcPort } from '../net/rpc-port.ts'
import { rowsWithPrefix } from '../storage/rows.ts'
import type { Change, Store } from '../storage/store.ts'
import type { Departure } from './bucket.ts'
import { networkPlaceOf, NOWHERE, type NetworkKnowledge } from './diversity.ts'
import type { Peer } from './lookup.ts'
import { Lost } from './lost.ts'
import { MAX_ADDRESSES_BYTES, readAddresses, writeAddresses } from './peer-codec.ts'
import { RoutingTable } from './routing-table.ts'
import { ping, type Sender } from './wire.ts'

/** Outcomes that say nothing about whether the peer is alive and serving. */
const NEUTRAL: ReadonlySet<ErrorCode> = new Set([
  'ABORTED',
  'CLOSED',
  'LIMIT_EXCEEDED',
  'RATE_LIMITED',
  'INVALID_ARGUMENT',
  'INVALID_STATE',
  'RECORD_INVALID',
  'STORAGE_FULL',
])

/** Newcomers remembered; more than this at once find their records by the hourly republishing. */
const MAX_NEWCOMERS = 256

/** Changes that are kept for another try when they can't be written: as many contacts as a table has room for, and more. */
const MAX_UNSAVED = 8_192

/** Rows of one write. */
const PAGE = 500
const ALL = new Uint8Array(0)

/** One request; without a signal it goes on to its answer or its time-out, whatever becomes of its caller. */
interface Question<Request, Response> {
  readonly type: MessageType<Request, Response>
  readonly request: Request
  readonly signal?: AbortSignal
}

/**
 * Talks to other nodes and keeps the routing table by what comes of it: an answer is a sighting, a
 * failure counts against the peer. The table is kept on disk too.
 */
export class Contacts {
  readonly table: RoutingTable
  readonly #rpc: RpcPort
  readonly #env: Env
  readonly #store: Store
  readonly #serves: boolean
  readonly #ownAddresses: () => readonly Address[]
  readonly #requestTimeoutMs: number
  readonly #onChange: () => void
  readonly #lost = new Lost()
  /**
   * Whose row on disk is not what it should be. Bounded by {@link MAX_UNSAVED} and the contacts that come and go
   * between two {@link save}s.
   */
  readonly #changed = new Set<NodeId>()
  /** Read from disk, and not heard of since. Bounded by the table of the run before. */
  readonly #unproved = new Set<NodeId>()
  /** Came into the table since {@link takeNewcomers}. Bounded by {@link MAX_NEWCOMERS}. */
  #newcomers = new Set<NodeId>()

  constructor(
    deps: { readonly rpc: RpcPort; readonly env: Env; readonly store: Store },
    options: {
      readonly serves: boolean
      readonly ownAddresses: () => readonly Address[]
      readonly requestTimeoutMs: number
      readonly bucketSize: number
      readonly networks: NetworkKnowledge & { readonly allowPrivate: boolean }
      /** Contacts came or went, or moved: there is something to save. */
      readonly onChange: () => void
    },
  ) {
    this.#rpc = deps.rpc
    this.#env = deps.env
    this.#store = deps.store
    this.#serves = options.serves
    this.#ownAddresses = options.ownAddresses
    this.#requestTimeoutMs = options.requestTimeoutMs
    this.#onChange = options.onChange
    this.table = new RoutingTable(deps.rpc.localId, {
      capacity: options.bucketSize,
      // The first address is that of the last handshake.
      locate: (id) => {
        const [address] = deps.rpc.addressesOf(id)
        return address === undefined ? NOWHERE : networkPlaceOf(address.host, options.networks)
      },
    })
    // Each handshake may come from elsewhere.
    deps.rpc.onPeer(({ id }) => this.#changeIfGone(id, this.table.moved(id)))
  }

  /** What this node says about itself. */
  sender(): Sender {
    return { serves: this.#serves, addresses: this.#ownAddresses() }
  }

  /** One request. Whoever answers it serves, and is seen. Codes: those of `RpcPort.request`. */
  async ask<Request, Response>(
    peer: Peer | NodeId,
    question: Question<Request, Response>,
  ): Promise<Response> {
    const id = typeof peer === 'string' ? peer : peer.id
    const response = await this.#request(peer, question)
    this.#see(id)
    return response
  }

  /** Whether a peer is there and serves. Codes: those of `RpcPort.request`. */
  async ping(peer: Peer | NodeId, signal: AbortSignal): Promise<boolean> {
    const id = typeof peer === 'string' ? peer : peer.id
    const answer = await this.#request(peer, { type: ping, request: this.sender(), signal })
    this.#take(id, answer)
    return answer.serves
  }

  /** A request came in from `caller`, over a connection that proved its id. */
  heard(caller: Caller, sender: Sender): void {
    this.#take(caller.id, sender)
  }

  /** The contacts nearest to `target`, with their addresses; those without one can't be told or asked. */
  closest(
    target: Key,
    options: { readonly count: number; readonly aliveOnly: boolean; readonly except?: NodeId },
  ): Peer[] {
    const { count, aliveOnly, except } = options
    const peers: Peer[] = []
    for (const id of this.table.closest(target, {
      count: count + (except === undefined ? 0 : 1),
      aliveOnly,
    })) {
      if (id === except || peers.length === count) continue
      const addresses = this.#rpc.addressesOf(id)
      if (addresses.length > 0) peers.push({ id, addresses })
    }
    return peers
  }

  peerOf(id: NodeId): Peer {
    return { id, addresses: this.#rpc.addressesOf(id) }
  }

  /** Who came into the table since the last call. */
  takeNewcomers(): ReadonlySet<NodeId> {
    const newcomers = this.#newcomers
    this.#newcomers = new Set()
    return newcomers
  }

  /** The saved table, for {@link ping}: a peer enters only after it has answered again. */
  async load(): Promise<Peer[]> {
    const peers: Peer[] = []
    for await (const rows of rowsWithPrefix(this.#store, { table: 'peers', prefix: ALL })) {
      for (const { key, value } of rows) peers.push(...decodeRow(key, value))
    }
    for (const peer of peers) {
      this.#unproved.add(peer.id)
      this.#rpc.learn(peer)
    }
    return peers
  }

  /** Who left the table because it was silent, to be tried once more; each in turn. */
  nextLost(): Peer | undefined {
    return this.#lost.next(this.#env.clock.nowMs())
  }

  /**
   * Writes the contacts that came, moved or left since the last time. While the table is empty nobody is
   * removed: a node without a network would forget the only way back. What can't be written is written the next
   * time. Codes: those of `Store.write`.
   */
  async save(): Promise<void> {
    if (this.table.size === 0) return
    const ids = [...this.#changed]
    this.#changed.clear()
    let written = 0
    try {
      for (; written < ids.length; written += PAGE) {
        await this.#store.write(ids.slice(written, written + PAGE).map((id) => this.#rowOf(id)))
      }
    } catch (error) {
      for (const id of ids.slice(written, written + MAX_UNSAVED)) this.#changed.add(id)
      throw error
    }
  }

  #rowOf(id: NodeId): Change {
    const value = this.table.has(id) ? encodeRow(this.#rpc.addressesOf(id)) : undefined
    return { table: 'peers', key: keyOfNode(id), value }
  }

  async #request<Request, Response>(
    peer: Peer | NodeId,
    question: Question<Request, Response>,
  ): Promise<Response> {
    const { type, request, signal } = question
    const timeoutMs = this.#requestTimeoutMs
    const call = signal === undefined ? { timeoutMs } : { signal, timeoutMs }
    try {
      return await this.#rpc.request(peer, type, request, call)
    } catch (error) {
      const isNeutral = error instanceof EspalierError && NEUTRAL.has(error.code)
      if (!isNeutral && signal?.aborted !== true) this.#miss(typeof peer === 'string' ? peer : peer.id)
      throw error
    }
  }

  #take(id: NodeId, sender: Sender): void {
    if (!sender.serves) {
      this.#changeIfGone(id, this.table.remove(id))
      return
    }
    const before = this.#rpc.addressesOf(id)
    this.#rpc.learn({ id, addresses: sender.addresses })
    this.#see(id)
    if (!isSame(before, this.#rpc.addressesOf(id)) && this.table.has(id)) this.#change(id)
  }

  #see(id: NodeId): void {
    const sighting = this.table.seen(id, this.#env.clock.nowMs())
    if (this.#unproved.size > 0) this.#unproved.delete(id)
    if (sighting.kind === 'refused') {
      this.#env.metrics.counter('contactsRefused', { network: sighting.network }).add()
    }
    if (sighting.kind !== 'added') return
    this.#lost.delete(id)
    if (this.#newcomers.size < MAX_NEWCOMERS) this.#newcomers.add(id)
    if (sighting.evicted !== undefined) this.#change(sighting.evicted)
    this.#change(id)
  }

  #miss(id: NodeId): void {
    const { removed, promoted } = this.table.failed(id)
    if (!removed && !this.#unproved.delete(id)) return
    this.#lost.add(this.peerOf(id), this.#env.clock.nowMs())
    this.#change(id)
    if (promoted !== undefined) this.#change(promoted)
  }

  #changeIfGone(id: NodeId, { removed, promoted }: Departure): void {
    if (!removed) return
    this.#change(id)
    if (promoted !== undefined) this.#change(promoted)
  }

  #change(id: NodeId): void {
    this.#changed.add(id)
    this.#onChange()
  }
}

function isSame(a: readonly Address[], b: readonly Address[]): boolean {
  if (a === b) return true
  return a.length === b.length && a.every(({ host, port }, at) => host === b[at]?.host && port === b[at].port)
}

function encodeRow(addresses: readonly Address[]): Uint8Array {
  const writer = new CborWriter().array(2)
  writeAddresses(writer, addresses)
  return writer.extensions().finish()
}

/** A row that a later or an older version wrote differently is left out: the peer is found again. */
function decodeRow(key: Uint8Array, value: Uint8Array): Peer[] {
  try {
    const id = nodeIdFromBytes(key)
    const reader = new CborReader(value, { maxBytes: MAX_ADDRESSES_BYTES + 16, what: 'saved peer' })
    reader.array(2)
    const addresses = readAddresses(reader)
    reader.extensions()
    reader.end()
    return [{ id, addresses }]
  } catch {
    return []
  }
}
