import { keyOfNode, type Key, type NodeId } from '../base/identity.ts'
import { Bucket, type Admission, type Contact, type Departure, type Sighting } from './bucket.ts'
import { ContactRows } from './contact-rows.ts'
import { evennessOf, NOWHERE, refusalOf, type NetworkPlace } from './diversity.ts'
import {
  KEY_BITS,
  commonPrefixBits,
  compareDistance,
  distanceOfHeads,
  distanceOfWords,
  headOfKey,
  headOfNode,
  prefixBitsOfHeads,
  type KeyHead,
} from './key.ts'
import { Nearest } from './nearest.ts'

const NOT_REMOVED: Departure = { removed: false, promoted: undefined }

/**
 * Who is where in the key space, as far as this node has spoken with them itself. What others tell
 * about a node changes nothing here. Bounded by 256 buckets of `capacity` contacts; in a network of
 * N nodes about capacity · log₂(N / capacity) are filled.
 */
export class RoutingTable {
  readonly #own: Key
  readonly #ownHead: KeyHead
  readonly #maxWaiting: number
  readonly #locate: (id: NodeId) => NetworkPlace
  readonly #rows: ContactRows
  /** By shared bits, made when the first contact comes, so that nobody pays for those that nobody is in. Bounded by 256. */
  readonly #buckets: (Bucket | undefined)[] = []
  /** When a look-up last went into each bucket's range. Bounded by 256. */
  readonly #touchedAtMs: number[] = []
  #size = 0

  constructor(
    own: NodeId,
    options: {
      /** Contacts of one bucket, k. Default 20. */
      readonly capacity?: number
      /** Newcomers remembered for a full bucket. Default 10. */
      readonly maxWaiting?: number
      /** Where a node is, by the address that its packets come from. Default: nowhere, which nobody is counted by. */
      readonly locate?: (id: NodeId) => NetworkPlace
    } = {},
  ) {
    const { capacity = 20, maxWaiting = 10, locate = () => NOWHERE } = options
    this.#own = keyOfNode(own)
    this.#ownHead = headOfKey(this.#own)
    this.#maxWaiting = maxWaiting
    this.#locate = locate
    this.#rows = new ContactRows({ blockSize: capacity })
  }

  get size(): number {
    return this.#size
  }

  /** How evenly the contacts spread over networks: 0 to 1 ({@link evennessOf}). */
  get evenness(): number {
    return evennessOf(this.#rows)
  }

  /**
   * A serving node proved its id to us now. This node itself is ignored, and one from a network that has as many
   * contacts as it may have is refused.
   */
  seen(id: NodeId, nowMs: number): Sighting {
    const head = headOfNode(id)
    const place = this.#placeOf(id, head)
    if (place >= KEY_BITS) return { kind: 'known' }
    const bucket = this.#bucketAt(place)
    const sighting = bucket.seen(id, { head, nowMs })
    if (sighting.kind === 'added') this.#size += 1
    if (sighting.kind !== 'waiting') return sighting
    const row = this.#rowForSibling(id, { place, bucket })
    return row === undefined ? sighting : bucket.replace(row, id, { head, nowMs })
  }

  /** A request to it failed. A full bucket replaces it at once; otherwise it gets {@link MAX_FAILURES} chances. */
  failed(id: NodeId): Departure {
    return this.#counted(this.#bucketOf(id)?.failed(id))
  }

  /** It no longer serves. */
  remove(id: NodeId): Departure {
    return this.#counted(this.#bucketOf(id)?.remove(id))
  }

  /** A contact's packets come from another address. It leaves when too many contacts are there already. */
  moved(id: NodeId): Departure {
    return this.#counted(this.#bucketOf(id)?.move(id))
  }

  has(id: NodeId): boolean {
    return this.#bucketOf(id)?.has(id) ?? false
  }

  /** Whether a node that is not in the table would get a place if it proved to be there. */
  wants(id: NodeId): boolean {
    const place = this.#placeOf(id, headOfNode(id))
    if (place >= KEY_BITS) return false
    const bucket = this.#buckets[place]
    if (bucket === undefined) return true
    if (bucket.has(id)) return false
    return !bucket.isFull || this.#rowForSibling(id, { place, bucket }) !== undefined
  }

  /** The contacts nearest to `target`, nearest first. Walks whole buckets in the order of their distance. */
  closest(
    target: Key,
    options: {
      readonly count: number
      /** Leave out contacts whose last request failed. */
      readonly aliveOnly: boolean
    },
  ): NodeId[] {
    const { count, aliveOnly } = options
    const nearest = new Nearest(this.#rows, { target, count })
    // With c shared bits between us and the target: bucket c is nearest (it shares more bits with the
    // target than we do), then all deeper ones together, then c − 1, c − 2, … each farther than the last.
    const shared = commonPrefixBits(this.#own, target)
    this.#offer(nearest, shared, aliveOnly)
    if (!nearest.isFull) {
      for (let at = shared + 1; at < this.#buckets.length; at += 1) this.#offer(nearest, at, aliveOnly)
    }
    for (let at = Math.min(shared, this.#buckets.length) - 1; at >= 0 && !nearest.isFull; at -= 1) {
      this.#offer(nearest, at, aliveOnly)
    }
    return nearest.ids
  }

  /** All contacts, nearest bucket last. */
  contacts(): Contact[] {
    const { ids, seenAtMs, failures } = this.#rows
    const contacts: Contact[] = []
    for (const bucket of this.#buckets) {
      if (bucket === undefined) continue
      for (let row = bucket.first; row < bucket.first + bucket.size; row += 1) {
        const id = ids[row]
        if (id === undefined) continue
        contacts.push({ id, seenAtMs: seenAtMs[row] ?? 0, failures: failures[row] ?? 0 })
      }
    }
    return contacts
  }

  /** A look-up goes towards `target`: its bucket needs no refresh for a while. */
  touch(target: Key, nowMs: number): void {
    const shared = commonPrefixBits(this.#own, target)
    if (shared >= KEY_BITS) return
    while (this.#touchedAtMs.length <= shared) this.#touchedAtMs.push(Number.NEGATIVE_INFINITY)
    this.#touchedAtMs[shared] = nowMs
  }

  /** A look-up saw everyone who shares at least `prefixBits` bits with this node. */
  touchDeeper(prefixBits: number, nowMs: number): void {
    while (this.#touchedAtMs.length < this.#buckets.length) this.#touchedAtMs.push(Number.NEGATIVE_INFINITY)
    if (prefixBits < this.#touchedAtMs.length) this.#touchedAtMs.fill(nowMs, prefixBits)
  }

  /** Buckets, by shared bits, where no look-up went since `sinceMs`; only down to the deepest that has contacts. */
  staleBuckets(sinceMs: number): number[] {
    const stale: number[] = []
    for (let at = 0; at <= this.#deepest(); at += 1) if (this.#touchedMs(at) < sinceMs) stale.push(at)
    return stale
  }

  /**
   * The bucket that no look-up went into for the longest time, before `sinceMs`. One that is full needs a
   * look-up only when nobody of it was heard of since either.
   */
  bucketToRefresh(sinceMs: number): number | undefined {
    let longest: number | undefined
    for (const at of this.staleBuckets(sinceMs)) {
      const bucket = this.#buckets[at]
      if (bucket?.isFull === true && bucket.seenLastAtMs() >= sinceMs) continue
      if (longest === undefined || this.#touchedMs(at) < this.#touchedMs(longest)) longest = at
    }
    return longest
  }

  /**
   * Whom to ask whether it is there: who failed most often and may have to leave, else who was heard of
   * longest ago and before `sinceMs`.
   */
  contactToCheck(sinceMs: number): NodeId | undefined {
    const { ids, seenAtMs, failures } = this.#rows
    let first = -1
    for (const bucket of this.#buckets) {
      if (bucket === undefined) continue
      for (let row = bucket.first; row < bucket.first + bucket.size; row += 1) {
        const failed = failures[row] ?? 0
        if (failed === 0 && (seenAtMs[row] ?? 0) >= sinceMs) continue
        const lead = first < 0 ? 1 : failed - (failures[first] ?? 0)
        if (lead > 0 || (lead === 0 && (seenAtMs[row] ?? 0) < (seenAtMs[first] ?? 0))) first = row
      }
    }
    return first < 0 ? undefined : ids[first]
  }

  /**
   * The row that a newcomer to a full bucket takes over when it is one of the nearest to this node: the
   * farthest of its bucket (S/Kademlia §4.2: who knows not all of its siblings stores records where nobody looks).
   */
  #rowForSibling(
    id: NodeId,
    { place, bucket }: { readonly place: number; readonly bucket: Bucket },
  ): number | undefined {
    const { ids, high, low, blockSize } = this.#rows
    let nearer = 0
    for (let at = place + 1; at < this.#buckets.length; at += 1) nearer += this.#buckets[at]?.size ?? 0
    if (nearer >= blockSize) return undefined
    const distance = distanceOfHeads(this.#ownHead, headOfNode(id))
    let farthest = -1
    let farthestDistance = -1
    for (let row = bucket.first; row < bucket.first + bucket.size; row += 1) {
      const there = distanceOfWords(
        (high[row] ?? 0) ^ this.#ownHead.high,
        (low[row] ?? 0) ^ this.#ownHead.low,
      )
      if (there < distance || (there === distance && this.#isNearer(ids[row], id))) nearer += 1
      if (there <= farthestDistance) continue
      farthest = row
      farthestDistance = there
    }
    return nearer < blockSize && farthestDistance > distance ? farthest : undefined
  }

  #isNearer(a: NodeId | undefined, b: NodeId): boolean {
    return a !== undefined && compareDistance(this.#own, { a: keyOfNode(a), b: keyOfNode(b) }) < 0
  }

  #counted(departure: Departure = NOT_REMOVED): Departure {
    if (departure.removed && departure.promoted === undefined) this.#size -= 1
    return departure
  }

  #touchedMs(place: number): number {
    return this.#touchedAtMs[place] ?? Number.NEGATIVE_INFINITY
  }

  #deepest(): number {
    return this.#buckets.findLastIndex((bucket) => bucket !== undefined && bucket.size > 0)
  }

  #offer(nearest: Nearest, place: number, aliveOnly: boolean): void {
    const bucket = this.#buckets[place]
    if (bucket === undefined) return
    const { failures } = this.#rows
    const end = bucket.first + bucket.size
    for (let row = bucket.first; row < end; row += 1) {
      if (!aliveOnly || failures[row] === 0) nearest.offer(row)
    }
  }

  #bucketAt(place: number): Bucket {
    while (this.#buckets.length <= place) this.#buckets.push(undefined)
    return (this.#buckets[place] ??= new Bucket(this.#rows, {
      maxWaiting: this.#maxWaiting,
      admit: (id) => this.#admit(id),
    }))
  }

  #admit(id: NodeId): Admission {
    const place = this.#locate(id)
    const { netHigh, netLow, asn } = this.#rows
    return refusalOf(place, { netHigh, netLow, asn, size: this.#size + 1 }) ?? place
  }

  #bucketOf(id: NodeId): Bucket | undefined {
    return this.#buckets[this.#placeOf(id, headOfNode(id))]
  }

  /** Bits that the node's key shares with ours; 256 for this node itself. */
  #placeOf(id: NodeId, head: KeyHead): number {
    const shared = prefixBitsOfHeads(this.#ownHead, head)
    return shared < 64 ? shared : commonPrefixBits(this.#own, keyOfNode(id))
  }
}
