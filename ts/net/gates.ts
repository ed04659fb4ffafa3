import { EspalierError } from '../base/error.ts'
import type { NodeId } from '../base/identity.ts'
import type { Call } from './call.ts'
import { Gate, type Ticket } from './gate.ts'

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

  /**
   * Resolves with the function that frees the place. Codes: `LIMIT_EXCEEDED` when too many wait
   * already, `TIMEOUT`, `ABORTED`, `CLOSED`.
   */
  async enter(peer: NodeId, call: Call): Promise<() => void> {
    const gate = this.#gateOf(peer)
    // The peer's own gate comes first, so that a slow peer's crowd takes no place from the others.
    const first = this.#take(gate)
    const leaveFirst = () => {
      first.leave()
      if (gate.isIdle) this.#perPeer.delete(peer)
    }
    try {
      if (first.turn !== undefined) await this.#wait(first.turn, call)
      const second = this.#take(this.#total)
      try {
        if (second.turn !== undefined) await this.#wait(second.turn, call)
      } catch (error) {
        second.leave()
        throw error
      }
      return () => {
        second.leave()
        leaveFirst()
      }
    } catch (error) {
      leaveFirst()
      throw error
    }
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

  #take(gate: Gate): Ticket {
    if (this.#closed !== undefined) throw this.#closed
    if (gate.isFull && this.#queued >= this.#maxQueued) {
      throw new EspalierError('LIMIT_EXCEEDED', `${this.#queued} requests wait for their turn already`)
    }
    return gate.enter()
  }

  async #wait(turn: Promise<void>, call: Call): Promise<void> {
    this.#queued += 1
    try {
      await call.race(turn)
    } finally {
      this.#queued -= 1
    }
  }
}
