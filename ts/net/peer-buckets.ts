import type { NodeId } from '../base/identity.ts'
import { TokenBucket } from './token-bucket.ts'

/** A token bucket for each peer; the peer that was silent for longest is forgotten. */
export class PeerBuckets {
  readonly #options: PeerBucketOptions
  /** In the order of use. Bounded by `maxPeers`. */
  readonly #buckets = new Map<NodeId, TokenBucket>()

  constructor(options: PeerBucketOptions) {
    this.#options = options
  }

  /** Takes one token of a peer; 0 when there was one, else the milliseconds until there will be, rounded up. */
  take(peer: NodeId, nowMs: number): number {
    const { maxPeers, ...rates } = this.#options
    const bucket = this.#buckets.get(peer) ?? new TokenBucket({ ...rates, nowMs })
    this.#buckets.delete(peer)
    this.#buckets.set(peer, bucket)
    const [oldest] = this.#buckets.keys()
    if (this.#buckets.size > maxPeers && oldest !== undefined) this.#buckets.delete(oldest)
    return bucket.take(nowMs)
  }
}

export interface PeerBucketOptions {
  readonly ratePerSecond: number
  readonly burst: number
  readonly maxPeers: number
}
