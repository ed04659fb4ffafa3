import type { NodeId } from '../base/identity.ts'
import { tailOfPoisson } from './poisson.ts'

/** Providers whose record is kept; the least recently told of is forgotten. */
const MAX_PROVIDERS = 1_024
/** A miss that chance explains less often than this is a lie. */
const MIN_PROBABILITY = 1e-6

interface Tally {
  /** Questions that were put to summaries of this provider. */
  tested: number
  /** False positives that chance makes of them. */
  expected: number
  missed: number
  isReported: boolean
}

/**
 * Finds those who claim what they do not have. A summary answers a known share of questions wrongly, so one
 * miss proves nothing; more misses than its rate explains do. An id that was added by itself is never wrong.
 */
export class Claims {
  /** The latest told of last. Bounded by {@link MAX_PROVIDERS}. */
  readonly #tallies = new Map<NodeId, Tally>()

  /** A summary of this provider was asked about an id that was not asked about before. */
  onTested(provider: NodeId, parameter: number): void {
    const tally = this.#tally(provider)
    tally.tested += 1
    tally.expected += 2 ** -parameter
  }

  /**
   * The provider did not have an id that its summary claims. Whether that shows a lie; each provider is told of once.
   */
  onMissed(provider: NodeId, options: { readonly isExact: boolean }): boolean {
    const tally = this.#tally(provider)
    tally.missed += 1
    if (tally.isReported) return false
    tally.isReported = options.isExact || tailOfPoisson(tally.expected, tally.missed) < MIN_PROBABILITY
    return tally.isReported
  }

  #tally(provider: NodeId): Tally {
    const tally = this.#tallies.get(provider) ?? { tested: 0, expected: 0, missed: 0, isReported: false }
    this.#tallies.delete(provider)
    this.#tallies.set(provider, tally)
    const [oldest] = this.#tallies.keys()
    if (this.#tallies.size > MAX_PROVIDERS && oldest !== undefined) this.#tallies.delete(oldest)
    return tally
  }
}
