import { CborReader, CborWriter } from '../base/codec.ts'
import type { Env } from '../base/env.ts'
import { EspalierError, type ErrorCode } from '../base/error.ts'
import { keyOfNode, nodeIdFromBytes, type Key, type NodeId } from '../base/identity.ts'
import type { Address } from '../net/address.ts'
import type { MessageType } from '../net/message.ts'
import type { Caller, RpcPort } from '../net/rpc-port.ts'
import type { Change, Store } from '../storage/store.ts'
import type { Peer } from './lookup.ts'
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

/** Whom this node heard of within this time needs no ping for the sake of a newcomer. */
const FRESH_MS = 5 * 60_000

/** Rows of one write or scan. */
const PAGE = 500

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
  readonly #stopped: AbortSignal
  /** Rows on disk. Bounded by the table. */
  #saved = new Set<NodeId>()
  /** Came into the table since {@link takeNewcomers}. Bounded by {@link MAX_NEWCOMERS}. */
  #newcomers = new Set<NodeId>()

  constructor(
    deps: { readonly rpc: RpcPort; readonly env: Env; readonly store: Store },
    options: {
      readonly serves: boolean
      readonly ownAddresses: () => readonly Address[]
      readonly requestTimeoutMs: number
      readonly bucketSize: number
      readonly stopped: AbortSignal
    },
  ) {
    this.#rpc = deps.rpc
    this.#env = deps.env
    this.#store = deps.store
    this.#serves = options.serves
    this.#ownAddresses = options.ownAddresses
    this.#requestTimeoutMs = options.requestTimeoutMs
    this.#stopped = options.stopped
    this.table = new RoutingTable(deps.rpc.localId, { capacity: options.bucketSize, freshMs: FRESH_MS })
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
    let from: Uint8Array = Uint8Array.of(0)
    for (;;) {
      const rows = await this.#store.scan('peers', { from, limit: PAGE })
      for (const { key, value } of rows) peers.push(...decodeRow(key, value))
      const last = rows.at(-1)
      if (last === undefined || rows.length < PAGE) break
      from = Uint8Array.from([...last.key, 0])
    }
    this.#saved = new Set(peers.map(({ id }) => id))
    for (const peer of peers) this.#rpc.learn(peer)
    return peers
  }

  /** Whether contacts came or went since the table was written. */
  get isChanged(): boolean {
    const contacts = this.table.contacts()
    return contacts.length !== this.#saved.size || contacts.some(({ id }) => !this.#saved.has(id))
  }

  /** Writes the whole table; rows of nodes that left are removed. */
  async save(): Promise<void> {
    const peers = this.table.contacts().map(({ id }) => this.peerOf(id))
    const present = new Set(peers.map(({ id }) => id))
    const gone = [...this.#saved].filter((id) => !present.has(id))
    const changes: Change[] = [
      ...gone.map((id) => ({ table: 'peers' as const, key: keyOfNode(id), value: undefined })),
      ...peers.map(({ id, addresses }) => ({
        table: 'peers' as const,
        key: keyOfNode(id),
        value: encodeRow(addresses),
      })),
    ]
    this.#saved = present
    for (let at = 0; at < changes.length; at += PAGE) {
      await this.#store.write(changes.slice(at, at + PAGE))
    }
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
      if (!isNeutral && signal?.aborted !== true) this.table.failed(typeof peer === 'string' ? peer : peer.id)
      throw error
    }
  }

  #take(id: NodeId, sender: Sender): void {
    if (!sender.serves) {
      this.table.remove(id)
      return
    }
    this.#rpc.learn({ id, addresses: sender.addresses })
    this.#see(id)
  }

  #see(id: NodeId): void {
    const sighting = this.table.seen(id, this.#env.clock.nowMs())
    if (sighting.kind === 'added' && this.#newcomers.size < MAX_NEWCOMERS) this.#newcomers.add(id)
    if (sighting.kind !== 'waiting' || sighting.check === undefined) return
    // A full bucket: its oldest contact keeps the place if it answers.
    const { check } = sighting
    // The outcome is in the table; there is nobody to tell the error to.
    this.ping(check, this.#stopped).catch(() => this.table.endCheck(check))
  }
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
