import type { Env } from '../base/env.ts'
import { EspalierError } from '../base/error.ts'
import type { NodeId } from '../base/identity.ts'
import { PeerBuckets } from '../net/peer-buckets.ts'

/** Peers whose rates are remembered. */
const MAX_PEERS = 4_096

/** How often each peer may ask for one kind of thing; over it with `RATE_LIMITED`, which is counted. */
export class PeerRate {
  readonly #env: Env
  readonly #reason: string
  readonly #buckets: PeerBuckets

  /** `reason` is the label in the metrics. */
  constructor(
    env: Env,
    options: { readonly reason: string; readonly ratePerSecond: number; readonly burst: number },
  ) {
    const { reason, ...rates } = options
    this.#env = env
    this.#reason = reason
    this.#buckets = new PeerBuckets({ ...rates, maxPeers: MAX_PEERS })
  }

  /** Throws `RATE_LIMITED` (`details.retryAfterMs`). */
  take(peer: NodeId): void {
    const retryAfterMs = this.#buckets.take(peer, this.#env.clock.nowMs())
    if (retryAfterMs === 0) return
    this.#env.metrics.counter('refusals', { reason: this.#reason }).add()
    const details = { retryAfterMs }
    throw new EspalierError('RATE_LIMITED', `too many requests; retry after ${retryAfterMs} ms`, { details })
  }
}
