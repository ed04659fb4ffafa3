import { EspalierError } from '../base/error.ts'
import type { NodeId } from '../base/identity.ts'
import { TokenBucket } from './token-bucket.ts'

/** What one peer and all peers together may ask of this node. Decides only. */
export class Intake {
  readonly #limits: IntakeLimits
  /** Bounded by `maxPeers`; in the order of use. A peer that leaves keeps its bucket. */
  readonly #buckets = new Map<NodeId, TokenBucket>()
  /** Requests being served. Bounded by `maxServed`. */
  readonly #served = new Map<NodeId, number>()
  #total = 0

  constructor(limits: IntakeLimits) {
    this.#limits = limits
  }

  /** Requests and streams being served. */
  get served(): number {
    return this.#total
  }

  /** Counts a request in, or throws `RATE_LIMITED` (with `details.retryAfterMs`) or `LIMIT_EXCEEDED`. */
  begin(peer: NodeId, nowMs: number): void {
    const retryAfterMs = this.#bucketOf(peer, nowMs).take(nowMs)
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

  #bucketOf(peer: NodeId, nowMs: number): TokenBucket {
    const { requestsPerSecond, requestBurst, maxPeers } = this.#limits
    const bucket =
      this.#buckets.get(peer) ??
      new TokenBucket({ ratePerSecond: requestsPerSecond, burst: requestBurst, nowMs })
    this.#buckets.delete(peer)
    this.#buckets.set(peer, bucket)
    if (this.#buckets.size > maxPeers) {
      const [oldest] = this.#buckets.keys()
      if (oldest !== undefined) this.#buckets.delete(oldest)
    }
    return bucket
  }
}

export interface IntakeLimits {
  readonly maxServedPerPeer: number
  readonly maxServed: number
  readonly requestsPerSecond: number
  readonly requestBurst: number
  readonly maxPeers: number
}
