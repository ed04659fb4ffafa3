import type { Key } from '../base/identity.ts'
import { compareBytes } from '../base/bytes.ts'
import { distanceOfHeads, headOfKey } from './key.ts'

/** Look-ups that count: the latest of different targets. */
const MAX_SAMPLES = 64
/** Distances are read as 53 bits. */
const DISTANCE_UNIT = 2 ** -53
/** Standard deviation of a median over that of a mean, for many samples: √(π ÷ 2). */
const COST_OF_MEDIAN = 1.2533

/** How many nodes the network has, as far as look-ups tell. */
export interface NetworkSize {
  /** Nodes that serve, this one included. */
  readonly nodes: number
  /** Standard deviation over the size: 0.07 means that it is off by more than 7 % once in three times. */
  readonly errorRatio: number
  /** Look-ups that it comes from. */
  readonly lookups: number
}

interface Sample {
  readonly target: Key
  readonly found: number
  /** Of the farthest of the nearest, 0 to 1. */
  readonly distance: number
}

/**
 * Estimates the size of the network from how near the nearest nodes of different targets are. Among N nodes the k-th
 * nearest is at a distance of Gamma(k) ÷ N (in shares of the key space), whose median is (k − 1/3 + 0.02 ÷ k) ÷ N
 * (Berg & Pedersen, Methods Appl. Anal. 13, 2006). The median over the look-ups, not their mean: who owns the
 * neighbourhoods of less than half of the targets can't move it far. Decides only.
 */
export class SizeEstimate {
  readonly #k: number
  /** The latest last. Bounded by {@link MAX_SAMPLES}. */
  #samples: Sample[] = []

  constructor(options: {
    /** Nodes that a look-up ends with in a network that has so many. */
    readonly k: number
  }) {
    this.#k = options.k
  }

  /** A look-up of `target` ended with these nodes, which all answered; another of the same target replaces it. */
  observe(target: Key, closest: readonly Key[]): void {
    const head = headOfKey(target)
    const distances = closest.map((key) => distanceOfHeads(head, headOfKey(key)) * DISTANCE_UNIT)
    const sample = { target, found: closest.length, distance: Math.max(DISTANCE_UNIT, ...distances) }
    this.#samples = this.#samples.filter((known) => compareBytes(known.target, target) !== 0)
    this.#samples.push(sample)
    if (this.#samples.length > MAX_SAMPLES) this.#samples.shift()
  }

  /** The size now; nothing before the first look-up. */
  get size(): NetworkSize | undefined {
    const lookups = this.#samples.length
    if (lookups === 0) return undefined
    const whole = this.#samples.filter(({ found }) => found < this.#k).map(({ found }) => found)
    // Look-ups that end with fewer nodes have seen all there are.
    if (2 * whole.length > lookups) return { nodes: median(whole) + 1, errorRatio: 0, lookups }
    const distances = this.#samples.filter(({ found }) => found >= this.#k).map(({ distance }) => distance)
    const nodes = (this.#k - 1 / 3 + 0.02 / this.#k) / median(distances)
    const errorRatio = (distances.length > 1 ? COST_OF_MEDIAN : 1) / Math.sqrt(this.#k * distances.length)
    // Never fewer than those that were found, and this one.
    return { nodes: Math.max(this.#k, nodes) + 1, errorRatio, lookups }
  }
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? 0
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? 0)) / 2
}
