import { keyOfNode, type Key, type NodeId } from '../base/identity.ts'
import type { ContactRows } from './contact-rows.ts'
import { compareDistance, distanceOfWords, headOfKey } from './key.ts'

/** The few contacts nearest to a key, nearest first, without sorting all that there are. */
export class Nearest {
  readonly #rows: ContactRows
  readonly #target: Key
  readonly #count: number
  readonly #high: number
  readonly #low: number
  /** Bounded by `count`, like the ids beside it. */
  readonly #distances: number[] = []
  readonly ids: NodeId[] = []

  constructor(rows: ContactRows, { target, count }: { readonly target: Key; readonly count: number }) {
    const { high, low } = headOfKey(target)
    this.#rows = rows
    this.#target = target
    this.#count = count
    this.#high = high
    this.#low = low
  }

  get isFull(): boolean {
    return this.ids.length >= this.#count
  }

  offer(row: number): void {
    const { ids, high, low } = this.#rows
    const id = ids[row]
    const distance = distanceOfWords((high[row] ?? 0) ^ this.#high, (low[row] ?? 0) ^ this.#low)
    let at = this.ids.length
    if (id === undefined || (at >= this.#count && !this.#isNearer(id, distance, at - 1))) return
    if (at >= this.#count) at -= 1
    for (; at > 0 && this.#isNearer(id, distance, at - 1); at -= 1) {
      this.ids[at] = this.ids[at - 1] as NodeId
      this.#distances[at] = this.#distances[at - 1] ?? 0
    }
    this.ids[at] = id
    this.#distances[at] = distance
  }

  #isNearer(id: NodeId, distance: number, place: number): boolean {
    const other = this.#distances[place] ?? 0
    if (distance !== other) return distance < other
    // 53 equal bits: somebody made the keys so. All of both decide.
    const known = this.ids[place]
    if (known === undefined) return false
    return compareDistance(this.#target, { a: keyOfNode(id), b: keyOfNode(known) }) < 0
  }
}
