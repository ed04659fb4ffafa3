import { keyOfNode, type Key, type NodeId } from '../base/identity.ts'
import { Bucket, type Contact, type Sighting } from './bucket.ts'
import { KEY_BITS, commonPrefixBits, compareDistance } from './key.ts'

/**
 * Who is where in the key space, as far as this node has spoken with them itself. What others tell
 * about a node changes nothing here. Bounded by 256 buckets of `capacity` contacts; in a network of
 * N nodes about capacity · log₂(N / capacity) are filled.
 */
export class RoutingTable {
  readonly #own: Key
  readonly #buckets: readonly Bucket[]
  /** When a look-up last went into each bucket's range. */
  readonly #touchedAtMs: number[] = Array.from({ length: KEY_BITS }, () => Number.NEGATIVE_INFINITY)
  #size = 0
  /** No bucket beyond this one ever had a contact. */
  #deepest = -1

  constructor(
    own: NodeId,
    options: {
      /** Contacts of one bucket, k. Default 20. */
      readonly capacity?: number
      /** Newcomers remembered for a full bucket. Default 10. */
      readonly maxWaiting?: number
    } = {},
  ) {
    this.#own = keyOfNode(own)
    const { capacity = 20, maxWaiting = 10 } = options
    this.#buckets = Array.from({ length: KEY_BITS }, () => new Bucket({ capacity, maxWaiting }))
  }

  get size(): number {
    return this.#size
  }

  /** A serving node proved its id to us now. This node itself is ignored. */
  seen(id: NodeId, nowMs: number): Sighting {
    const key = keyOfNode(id)
    const sighting = this.#bucketOf(key)?.seen({ id, key, seenAtMs: nowMs, failures: 0 })
    if (sighting?.kind === 'added') {
      this.#size += 1
      this.#deepest = Math.max(this.#deepest, commonPrefixBits(this.#own, key))
    }
    return sighting ?? { kind: 'known' }
  }

  /** A request to it failed. A full bucket replaces it at once; otherwise it gets {@link MAX_FAILURES} chances. */
  failed(id: NodeId): ReturnType<Bucket['failed']> {
    const outcome = this.#bucketOf(keyOfNode(id))?.failed(id) ?? { removed: false, promoted: undefined }
    if (outcome.removed && outcome.promoted === undefined) this.#size -= 1
    return outcome
  }

  /** A check of it ended without telling whether it is alive; another may start. */
  endCheck(id: NodeId): void {
    this.#bucketOf(keyOfNode(id))?.endCheck(id)
  }

  /** It no longer serves. */
  remove(id: NodeId): void {
    const bucket = this.#bucketOf(keyOfNode(id))
    const before = bucket?.contacts.length ?? 0
    bucket?.remove(id)
    this.#size += (bucket?.contacts.length ?? 0) - before
  }

  has(id: NodeId): boolean {
    return this.#bucketOf(keyOfNode(id))?.contacts.some((contact) => contact.id === id) ?? false
  }

  /**
   * The contacts nearest to `target`, nearest first. Walks whole buckets in the order of their
   * distance and sorts only those that are needed.
   */
  closest(
    target: Key,
    options: {
      readonly count: number
      /** Leave out contacts whose last request failed. */
      readonly aliveOnly: boolean
    },
  ): Contact[] {
    const found: Contact[] = []
    const takeBuckets = (first: number, last: number): void => {
      const group: Contact[] = []
      for (let at = first; at <= Math.min(last, this.#deepest); at += 1) {
        for (const contact of this.#buckets[at]?.contacts ?? []) {
          if (!options.aliveOnly || contact.failures === 0) group.push(contact)
        }
      }
      group.sort((x, y) => compareDistance(target, { a: x.key, b: y.key }))
      found.push(...group)
    }
    // With c shared bits between us and the target: bucket c is nearest (it shares more bits with the
    // target than we do), then all deeper ones together, then c − 1, c − 2, … each farther than the last.
    const shared = commonPrefixBits(this.#own, target)
    takeBuckets(shared, shared)
    if (found.length < options.count) takeBuckets(shared + 1, KEY_BITS - 1)
    for (let at = Math.min(shared - 1, this.#deepest); at >= 0 && found.length < options.count; at -= 1) {
      takeBuckets(at, at)
    }
    return found.slice(0, options.count)
  }

  /** All contacts, nearest bucket last. */
  contacts(): Contact[] {
    return this.#buckets.flatMap(({ contacts }) => contacts)
  }

  /** A look-up goes towards `target`: its bucket needs no refresh for a while. */
  touch(target: Key, nowMs: number): void {
    const shared = commonPrefixBits(this.#own, target)
    if (shared < KEY_BITS) this.#touchedAtMs[shared] = nowMs
  }

  /** Buckets, by shared bits, where no look-up went since `sinceMs`; only down to the deepest that has contacts. */
  staleBuckets(sinceMs: number): number[] {
    const deepest = this.#buckets.findLastIndex(({ contacts }) => contacts.length > 0)
    return this.#touchedAtMs.slice(0, deepest + 1).flatMap((atMs, index) => (atMs < sinceMs ? [index] : []))
  }

  #bucketOf(key: Key): Bucket | undefined {
    return this.#buckets[commonPrefixBits(this.#own, key)]
  }
}
