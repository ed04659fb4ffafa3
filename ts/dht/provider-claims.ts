import type { NodeId } from '../base/identity.ts'
import { tailOfPoisson } from './poisson.ts'
import { TestedIds } from './provider-tested.ts'
import type { Answer, SummaryView } from './provider-view.ts'

/** Providers whose record is kept; the least recently told of is forgotten. */
const MAX_PROVIDERS = 1_024
/** Misses of one provider that are counted: who was not shown to lie by then does what chance makes. */
const MAX_MISSES = 1_024
/** A miss that chance explains less often than this is a lie. */
const MIN_PROBABILITY = 1e-6

interface Tally {
  /** False positives that chance makes of the questions that were put to its summaries. */
  expected: number
  /** Fingerprints of misses: they differ between summaries. Bounded by {@link MAX_MISSES}. */
  readonly missed: Set<number>
  /** What each summary was asked for. It goes with the tally: a miss counts only where its question did. */
  readonly tested: WeakMap<SummaryView, TestedIds>
  isReported: boolean
}

/**
 * Finds those who claim what they do not have. A summary answers a known share of questions wrongly, so one
 * miss proves nothing; more misses than its rate explains do. An id that was added by itself is never wrong.
 */
export class Claims {
  /** The latest told of last. Bounded by {@link MAX_PROVIDERS}. */
  readonly #tallies = new Map<NodeId, Tally>()

  /** Puts a question to a summary. The first time, as far as memory goes, it counts as one that chance may answer. */
  ask(view: SummaryView, id: Uint8Array): Answer {
    const { answer, fingerprint } = view.ask(id)
    if (answer.kind === 'unknown' || (answer.kind === 'yes' && answer.isExact)) return answer
    const tally = this.#tally(view.name.provider)
    let tested = tally.tested.get(view)
    if (tested === undefined) {
      tested = new TestedIds(view.shape)
      tally.tested.set(view, tested)
    }
    const isNew = tested.add(fingerprint, { isClaimed: answer.kind === 'yes' })
    if (isNew) tally.expected += 2 ** -view.shape.parameter
    return answer
  }

  /**
   * The provider did not have an id that its summary claims. Whether that shows a lie; each provider is told of
   * once. A miss counts once, and only when its question was counted: a summary that is asked of nothing but its
   * false positives would look like a lie.
   */
  onMissed(view: SummaryView, id: Uint8Array): boolean {
    const { answer, fingerprint } = view.ask(id)
    if (answer.kind !== 'yes') return false
    const tally = this.#tally(view.name.provider)
    const counts = answer.isExact || tally.tested.get(view)?.hasClaimed(fingerprint) === true
    if (!counts || tally.isReported || tally.missed.size >= MAX_MISSES) return false
    tally.missed.add(fingerprint)
    tally.isReported = answer.isExact || tailOfPoisson(tally.expected, tally.missed.size) < MIN_PROBABILITY
    return tally.isReported
  }

  #tally(provider: NodeId): Tally {
    const tally = this.#tallies.get(provider) ?? {
      expected: 0,
      missed: new Set<number>(),
      tested: new WeakMap<SummaryView, TestedIds>(),
      isReported: false,
    }
    this.#tallies.delete(provider)
    this.#tallies.set(provider, tally)
    if (this.#tallies.size > MAX_PROVIDERS) this.#forgetOldest()
    return tally
  }

  #forgetOldest(): void {
    const [oldest] = this.#tallies.keys()
    if (oldest !== undefined) this.#tallies.delete(oldest)
  }
}
