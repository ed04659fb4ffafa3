import type { SummaryShape } from './provider-summary.ts'

/** Fewest and most places for ids of one summary: 1 to 64 kB. */
const MIN_PLACES = 256
const MAX_PLACES = 16_384

/** Memory of the ids that a summary was asked for. */
export function testedBytes(shape: SummaryShape): number {
  return placesFor(shape) * 4
}

/**
 * Which ids one summary was asked for lately, by their fingerprints of 32 bits. Each has one place, and one that
 * comes later takes it, but none that is denied takes that of one that is claimed. So an id may be forgotten,
 * and none is remembered that never came.
 */
export class TestedIds {
  /** Fingerprints whose last bit says whether the id is claimed; zero where nothing is. */
  readonly #places: Uint32Array

  constructor(shape: SummaryShape) {
    this.#places = new Uint32Array(placesFor(shape))
  }

  /** Whether it was not remembered. */
  add(fingerprint: number, { isClaimed }: { readonly isClaimed: boolean }): boolean {
    const at = this.#placeOf(fingerprint)
    const mark = markOf(fingerprint, isClaimed)
    const current = this.#places[at] ?? 0
    if (current === mark) return false
    if (isClaimed || (current & 1) === 0) this.#places[at] = mark
    return true
  }

  /** Whether a claimed one is remembered. */
  hasClaimed(fingerprint: number): boolean {
    return this.#places[this.#placeOf(fingerprint)] === markOf(fingerprint, true)
  }

  #placeOf(fingerprint: number): number {
    return (fingerprint >>> 1) % this.#places.length
  }
}

/** Twice as many as the summary has ids, so that those who ask for them all forget few. */
function placesFor({ count }: SummaryShape): number {
  const places = 2 ** Math.ceil(Math.log2(2 * count))
  return Math.min(Math.max(places, MIN_PLACES), MAX_PLACES)
}

function markOf(fingerprint: number, isClaimed: boolean): number {
  return ((fingerprint & ~1) | Number(isClaimed)) >>> 0
}
