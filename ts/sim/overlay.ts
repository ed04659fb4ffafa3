import type { NodeId } from '../base/identity.ts'
import { distanceOfWords, headOfNode } from '../dht/key.ts'
import type { Rng } from '../base/rng.ts'

/** Bits of a key that a double holds exactly: more than enough to tell any number of random nodes apart. */
const BITS = 53

/**
 * All nodes in the order of their keys, and who would know whom in a network that has stood for long: of
 * every distance class `bucketSize` nodes at random, or all where there are fewer.
 */
export class Overlay {
  readonly ids: readonly NodeId[]
  /** The first 53 bits of each key, ascending. */
  readonly #keys: Float64Array

  constructor(ids: readonly NodeId[]) {
    const byKey = ids.map((id): [number, NodeId] => [keyOf(id), id]).sort(([a], [b]) => a - b)
    this.ids = byKey.map(([, id]) => id)
    this.#keys = Float64Array.from(byKey, ([key]) => key)
  }

  /** Whom a settled node has in its table. */
  contactsOf(id: NodeId, { bucketSize, rng }: { readonly bucketSize: number; readonly rng: Rng }): NodeId[] {
    const own = keyOf(id)
    const contacts: NodeId[] = []
    for (let shared = 0; shared < BITS; shared += 1) {
      const width = 2 ** (BITS - shared - 1)
      const mine = Math.floor(own / width)
      const from = (mine % 2 === 0 ? mine + 1 : mine - 1) * width
      const [first, end] = [this.#firstAtLeast(from), this.#firstAtLeast(from + width)]
      for (const at of choose({ first, end, count: bucketSize }, rng)) contacts.push(this.ids[at] as NodeId)
      const [start, stop] = [this.#firstAtLeast(mine * width), this.#firstAtLeast((mine + 1) * width)]
      // Alone with the rest of its key: there is nobody nearer.
      if (stop - start <= 1) break
    }
    return contacts
  }

  /** The `count` nodes nearest to `target`, nearest first, by going through those that share its longest prefix. */
  nearest(target: NodeId, count: number): NodeId[] {
    const key = keyOf(target)
    let [first, end] = [0, this.ids.length]
    for (let shared = 1; shared < BITS; shared += 1) {
      const width = 2 ** (BITS - shared)
      const from = Math.floor(key / width) * width
      const range = [this.#firstAtLeast(from), this.#firstAtLeast(from + width)] as const
      if (range[1] - range[0] < count) break
      first = range[0]
      end = range[1]
    }
    const head = headOfNode(target)
    return this.ids
      .slice(first, end)
      .map((id): [number, NodeId] => {
        const other = headOfNode(id)
        return [distanceOfWords(other.high ^ head.high, other.low ^ head.low), id]
      })
      .sort(([a], [b]) => a - b)
      .slice(0, count)
      .map(([, id]) => id)
  }

  #firstAtLeast(key: number): number {
    let low = 0
    let high = this.#keys.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#keys[middle] ?? 0) < key) low = middle + 1
      else high = middle
    }
    return low
  }
}

function keyOf(id: NodeId): number {
  const { high, low } = headOfNode(id)
  return distanceOfWords(high, low)
}

/** `count` different numbers from `first` up to `end`, or all of them. */
function choose(
  { first, end, count }: { readonly first: number; readonly end: number; readonly count: number },
  rng: Rng,
): number[] {
  const size = end - first
  if (size <= count) return Array.from({ length: size }, (_, at) => first + at)
  const chosen = new Set<number>()
  while (chosen.size < count) chosen.add(first + rng.below(size))
  return [...chosen]
}
