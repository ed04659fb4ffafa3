import type { Clock } from '../base/clock.ts'
import { EspalierError, type ErrorCode } from '../base/error.ts'
import type { NodeId } from '../base/identity.ts'
import type { Call } from './call.ts'
import type { Peers } from './peers.ts'
import type { CallOptions, Connection, Dialled, FirstRequest, KnownPeer, Transport } from './transport.ts'

/** Failures of the peer, not of the caller: it rests for a while. */
const PEER_FAULTS: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'PEER_UNREACHABLE',
  'PEER_REFUSED',
  'PEER_MISMATCH',
  'TIMEOUT',
])

interface Dial {
  readonly connection: Promise<Connection>
  readonly controller: AbortController
  /** Callers that wait; the dial is given up when the last one leaves. */
  waiting: number
}

/** Dials known peers: one dial for all callers who want the same peer, with back-off after failures. */
export class Dialler {
  readonly #transport: Pick<Transport, 'connect' | 'connectAndAsk'>
  readonly #clock: Clock
  readonly #peers: Peers
  /** Bounded by the callers that wait, which `Gates` bounds. */
  readonly #dials = new Map<NodeId, Dial>()

  constructor(transport: Pick<Transport, 'connect' | 'connectAndAsk'>, peers: Peers, clock: Clock) {
    this.#transport = transport
    this.#peers = peers
    this.#clock = clock
  }

  /** Dials under way. */
  get size(): number {
    return this.#dials.size
  }

  /** Codes: those of `Transport.connect`. `details.retryAfterMs` tells how long a failed peer rests. */
  async dial(id: NodeId, call: Call): Promise<Connection> {
    const dial =
      this.#dials.get(id) ??
      this.#start(id, (peer, options) => ({ connection: this.#transport.connect(peer, options) }))
    return this.#wait(id, dial, call.race(dial.connection))
  }

  /**
   * Dials and asks in one go; nothing when the peer is being dialled already. The dial goes on when the answer
   * comes first. Codes: those of `dial` and of the peer's handler.
   */
  ask(id: NodeId, call: Call, request: FirstRequest): Promise<Uint8Array> | undefined {
    if (this.#dials.has(id)) return undefined
    const dial = this.#start(id, (peer, options) => this.#transport.connectAndAsk(peer, request, options))
    return this.#wait(id, dial, call.race(dial.answer))
  }

  async #wait<T>(id: NodeId, dial: Dial, outcome: Promise<T>): Promise<T> {
    dial.waiting += 1
    try {
      return await outcome
    } catch (error) {
      const isLast = dial.waiting === 1 && this.#dials.get(id) === dial
      if (isLast && error instanceof EspalierError) this.#leave(id, dial, error.code)
      throw error
    } finally {
      dial.waiting -= 1
    }
  }

  /** The last caller leaves a dial that has not ended. */
  #leave(id: NodeId, dial: Dial, code: ErrorCode): void {
    // What a handler answered says nothing against the connection that is about to come.
    if (code !== 'TIMEOUT' && code !== 'ABORTED') return
    // The peer was given all of the time that its only caller had.
    if (code === 'TIMEOUT') this.#peers.failed(id, this.#clock.nowMs())
    this.#dials.delete(id)
    dial.controller.abort()
  }

  #start<D extends Pick<Dialled, 'connection'>>(
    id: NodeId,
    begin: (peer: KnownPeer, options: CallOptions) => D,
  ): D & Dial {
    const addresses = this.#peers.addressesOf(id)
    if (addresses.length === 0) {
      throw new EspalierError('PEER_UNREACHABLE', `no address of ${id} is known`)
    }
    const retryAfterMs = Math.ceil(this.#peers.restMs(id, this.#clock.nowMs()))
    if (retryAfterMs > 0) {
      throw new EspalierError('PEER_UNREACHABLE', `${id} did not answer; it is not dialled again yet`, {
        details: { retryAfterMs },
      })
    }
    const controller = new AbortController()
    const dialled = begin({ id, addresses }, { signal: controller.signal })
    const { connection } = dialled
    const dial = { ...dialled, controller, waiting: 0 }
    this.#dials.set(id, dial)
    const finish = () => {
      if (this.#dials.get(id) === dial) this.#dials.delete(id)
    }
    connection.then(finish, (error: unknown) => {
      // An abandoned dial is no longer in the map, and its failure is counted already.
      if (this.#dials.get(id) === dial && error instanceof EspalierError) this.#learnFailure(id, error.code)
      finish()
    })
    return dial
  }

  #learnFailure(id: NodeId, code: ErrorCode): void {
    // Somebody else lives at all of its addresses: they are worth nothing.
    if (code === 'PEER_MISMATCH') this.#peers.forget(id)
    else if (PEER_FAULTS.has(code)) this.#peers.failed(id, this.#clock.nowMs())
  }
}
