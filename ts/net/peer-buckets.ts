import type { NodeId } from '../base/identity.ts'
import { TokenBucket } from './token-bucket.ts'

/** A token bucket for each peer; the peer that was silent for longest is forgotten. */
export class PeerBuckets {
  readonly #rates: Omit<PeerBucketOptions, 'maxPeers'>
  readonly #maxPeers: number
  /** In the order of use. Bounded by `maxPeers`. */
  readonly #buckets = new Map<NodeId, TokenBucket>()

  constructor({ maxPeers, ...rates }: PeerBucketOptions) {
    this.#rates = rates
    this.#maxPeers = maxPeers
  }

  /** Takes one token of a peer; 0 when there was one, else the milliseconds until there will be, rounded up. */
  take(peer: NodeId, nowMs: number): number {
    const bucket = this.#buckets.get(peer) ?? new TokenBucket({ ...this.#rates, nowMs })
    this.#buckets.delete(peer)
    this.#buckets.set(peer, bucket)
    if (this.#buckets.size > this.#maxPeers) this.#forgetOldest()
    return bucket.take(nowMs)
  }

  #forgetOldest(): void {
    const [oldest] = this.#buckets.keys()
    if (oldest !== undefined) this.#buckets.delete(oldest)
  }
}

export interface PeerBucketOptions {
  readonly ratePerSecond: number
  readonly burst: number
  readonly maxPeers: number
}
