import { EspalierError } from '../base/error.ts'
import type { NodeId } from '../base/identity.ts'
import { PeerBuckets } from './peer-buckets.ts'

/** What one peer and all peers together may ask of this node. Decides only. */
export class Intake {
  readonly #limits: IntakeLimits
  /** A peer that leaves keeps its bucket. */
  readonly #buckets: PeerBuckets
  /** Requests being served. Bounded by `maxServed`. */
  readonly #served = new Map<NodeId, number>()
  #total = 0

  constructor(limits: IntakeLimits) {
    this.#limits = limits
    this.#buckets = new PeerBuckets({
      ratePerSecond: limits.requestsPerSecond,
      burst: limits.requestBurst,
      maxPeers: limits.maxPeers,
    })
  }

  /** Requests and streams being served. */
  get served(): number {
    return this.#total
  }

  /** Counts a request in, or throws `RATE_LIMITED` (with `details.retryAfterMs`) or `LIMIT_EXCEEDED`. */
  begin(peer: NodeId, nowMs: number): void {
    const retryAfterMs = this.#buckets.take(peer, nowMs)
    if (retryAfterMs > 0) {
      const details = { retryAfterMs }
      throw new EspalierError('RATE_LIMITED', `too many requests; retry after ${retryAfterMs} ms`, {
        details,
      })
    }
    const served = this.#served.get(peer) ?? 0
    if (served >= this.#limits.maxServedPerPeer || this.#total >= this.#limits.maxServed) {
      throw new EspalierError('LIMIT_EXCEEDED', 'too many requests are being served')
    }
    this.#served.set(peer, served + 1)
    this.#total += 1
  }

  /** The request that `begin` counted in is answered. */
  finish(peer: NodeId): void {
    const served = this.#served.get(peer) ?? 0
    if (served > 1) this.#served.set(peer, served - 1)
    else this.#served.delete(peer)
    this.#total -= 1
  }
}

export interface IntakeLimits {
  readonly maxServedPerPeer: number
  readonly maxServed: number
  readonly requestsPerSecond: number
  readonly requestBurst: number
  readonly maxPeers: number
}
