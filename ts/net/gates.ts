import { EspalierError } from '../base/error.ts'
import type { NodeId } from '../base/identity.ts'
import type { Call } from './call.ts'
import { Gate } from './gate.ts'

/** Own requests under way: at most so many to one peer, so many to all, and so many that wait. */
export class Gates {
  readonly #total: Gate
  readonly #maxPerPeer: number
  readonly #maxQueued: number
  /** Gates in use. Bounded by the requests that are inside or wait. */
  readonly #perPeer = new Map<NodeId, Gate>()
  #queued = 0
  #closed: EspalierError | undefined

  constructor(options: {
    readonly maxRequests: number
    readonly maxRequestsPerPeer: number
    readonly maxQueuedRequests: number
  }) {
    this.#total = new Gate(options.maxRequests)
    this.#maxPerPeer = options.maxRequestsPerPeer
    this.#maxQueued = options.maxQueuedRequests
  }

  /** Requests and openings of streams that are under way, and those that wait for their turn. */
  get load(): { readonly underWay: number; readonly queued: number } {
    return { underWay: this.#total.inside, queued: this.#queued }
  }

  /** The function that frees the place, when nobody has to wait. Throws `CLOSED`. */
  tryEnter(peer: NodeId): (() => void) | undefined {
    if (this.#closed !== undefined) throw this.#closed
    const gate = this.#gateOf(peer)
    if (!gate.pass()) return undefined
    if (this.#total.pass()) return () => this.#leave(peer, gate)
    this.#leaveOwn(peer, gate)
    return undefined
  }

  /**
   * Waits and answers the function that frees the place. Codes: `LIMIT_EXCEEDED` when too many wait
   * already, `TIMEOUT`, `ABORTED`, `CLOSED`.
   */
  async enter(peer: NodeId, call: Call): Promise<() => void> {
    const gate = this.#gateOf(peer)
    // The peer's own gate comes first, so that a slow peer's crowd takes no place from the others.
    await this.#pass(gate, call)
    try {
      await this.#pass(this.#total, call)
    } catch (error) {
      this.#leaveOwn(peer, gate)
      throw error
    }
    return () => this.#leave(peer, gate)
  }

  close(error: EspalierError): void {
    this.#closed = error
    this.#total.close(error)
    for (const gate of this.#perPeer.values()) gate.close(error)
  }

  #gateOf(peer: NodeId): Gate {
    let gate = this.#perPeer.get(peer)
    if (gate === undefined) {
      gate = new Gate(this.#maxPerPeer)
      this.#perPeer.set(peer, gate)
    }
    return gate
  }

  async #pass(gate: Gate, call: Call): Promise<void> {
    if (this.#closed !== undefined) throw this.#closed
    if (gate.pass()) return
    if (this.#queued >= this.#maxQueued) {
      throw new EspalierError('LIMIT_EXCEEDED', `${this.#queued} requests wait for their turn already`)
    }
    const ticket = gate.queue()
    this.#queued += 1
    try {
      await call.race(ticket.turn)
    } catch (error) {
      ticket.leave()
      throw error
    } finally {
      this.#queued -= 1
    }
  }

  #leave(peer: NodeId, gate: Gate): void {
    this.#total.leave()
    this.#leaveOwn(peer, gate)
  }

  #leaveOwn(peer: NodeId, gate: Gate): void {
    gate.leave()
    if (gate.isIdle) this.#perPeer.delete(peer)
  }
}
