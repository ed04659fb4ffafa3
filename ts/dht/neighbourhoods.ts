import type { Key } from '../base/identity.ts'
import { judgeNeighbourhood } from './eclipse.ts'
import { SizeEstimate, type NetworkSize } from './size-estimate.ts'

/** A size that is known worse than this raises false alarms (Sridhar et al., NDSS 2024, §6.3). */
const MAX_ERROR_RATIO = 0.075

/** What is thought of the nodes nearest to a key: `unknown` while the size of the network is. */
export type Verdict = 'unknown' | 'honest' | 'crowded'

/** What complete look-ups tell of the network: how large it is, and where somebody has made ids for a place. */
export class Neighbourhoods {
  readonly #estimate: SizeEstimate

  constructor(options: {
    /** Nodes that a look-up ends with in a network that has so many. */
    readonly k: number
  }) {
    this.#estimate = new SizeEstimate(options)
  }

  /** The size of the network; nothing before the first look-up. */
  get size(): NetworkSize | undefined {
    return this.#estimate.size
  }

  /** A look-up of `target` ended with these nodes, which all answered. */
  observe(target: Key, closest: readonly Key[]): Verdict {
    // Judged by what was known before: a neighbourhood does not speak for itself.
    const { size } = this.#estimate
    this.#estimate.observe(target, closest)
    if (size === undefined || size.errorRatio > MAX_ERROR_RATIO) return 'unknown'
    const { isCrowded } = judgeNeighbourhood(target, { closest, networkSize: Math.round(size.nodes) })
    return isCrowded ? 'crowded' : 'honest'
  }
}
