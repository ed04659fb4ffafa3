import type { NodeId } from '../base/identity.ts'
import type { ContactRows } from './contact-rows.ts'
import { NOWHERE, type NetworkKind, type NetworkPlace } from './diversity.ts'
import { headOfNode, type KeyHead } from './key.ts'

/** A node that completed a handshake with us. */
export interface Contact {
  readonly id: NodeId
  /** When it last proved to be there; −∞ when it took a place after waiting and was not asked since. */
  readonly seenAtMs: number
  /** Requests in a row that it did not answer; 0 means known alive. */
  readonly failures: number
}

/** A contact that stays silent this often in a row leaves even when nobody waits for its place. */
export const MAX_FAILURES = 3

/** What came of a sighting. */
export type Sighting =
  | { readonly kind: 'known' | 'waiting' }
  /** `evicted` had to make room for a sibling. */
  | { readonly kind: 'added'; readonly evicted: NodeId | undefined }
  /** Too many contacts come from its network. */
  | { readonly kind: 'refused'; readonly network: NetworkKind }

/** Where a node is, when the table has room for one more from there; else the network that has none. */
export type Admission = NetworkPlace | NetworkKind

/** Whether a contact left, because it failed, moved or said so, and who took its place. */
export interface Departure {
  readonly removed: boolean
  readonly promoted: NodeId | undefined
}

// A sighting comes with every request and every answer.
const ADDED: Sighting = { kind: 'added', evicted: undefined }
const KNOWN: Sighting = { kind: 'known' }
const WAITING: Sighting = { kind: 'waiting' }
const KEPT: Departure = { removed: false, promoted: undefined }

/**
 * Contacts of one distance class. Old contacts are preferred: the longer a node has been up, the likelier
 * it stays, and an attacker cannot push them out by number.
 */
export class Bucket {
  readonly #rows: ContactRows
  readonly #maxWaiting: number
  readonly #admit: (id: NodeId) => Admission
  /** Its block of rows; the first `size` of them are taken. */
  readonly first: number
  size = 0
  /** Newcomers that found the bucket full, latest last. Bounded by `maxWaiting`; most buckets never need it. */
  #waiting: NodeId[] | undefined

  constructor(
    rows: ContactRows,
    options: { readonly maxWaiting: number; readonly admit: (id: NodeId) => Admission },
  ) {
    this.#rows = rows
    this.#maxWaiting = options.maxWaiting
    this.#admit = options.admit
    this.first = rows.addBlock()
  }

  get isFull(): boolean {
    return this.size >= this.#rows.blockSize
  }

  has(id: NodeId): boolean {
    return this.#rowOf(id) >= 0
  }

  /** A node answered, or asked from a proved connection. In a full bucket it waits until a contact fails. */
  seen(id: NodeId, sighting: { readonly head: KeyHead; readonly nowMs: number }): Sighting {
    const rows = this.#rows
    const known = this.#rowOf(id)
    if (known >= 0) {
      rows.seenAtMs[known] = sighting.nowMs
      rows.failures[known] = 0
      return KNOWN
    }
    if (!this.isFull) {
      this.#stopWaiting(id)
      const place = this.#admit(id)
      if (typeof place === 'string') return { kind: 'refused', network: place }
      this.#append(id, { ...sighting, place })
      return ADDED
    }
    this.#wait(id)
    return WAITING
  }

  /** Gives the place of a live contact to another; the contact waits for the next that gets free. */
  replace(row: number, id: NodeId, sighting: { readonly head: KeyHead; readonly nowMs: number }): Sighting {
    const place = this.#admit(id)
    if (typeof place === 'string') return { kind: 'refused', network: place }
    const evicted = this.#rows.ids[row]
    this.#stopWaiting(id)
    this.#free(row)
    this.#append(id, { ...sighting, place })
    if (evicted !== undefined) this.#wait(evicted)
    return { kind: 'added', evicted }
  }

  /** A request to it failed. */
  failed(id: NodeId): Departure {
    this.#stopWaiting(id)
    const row = this.#rowOf(id)
    if (row < 0) return KEPT
    const failures = (this.#rows.failures[row] ?? 0) + 1
    if ((this.#waiting === undefined || this.#waiting.length === 0) && failures < MAX_FAILURES) {
      // Its time stays: silence is no sighting.
      this.#rows.failures[row] = failures
      return KEPT
    }
    return { removed: true, promoted: this.#replace(row) }
  }

  /** Takes a contact out. */
  remove(id: NodeId): Departure {
    this.#stopWaiting(id)
    const row = this.#rowOf(id)
    return row < 0 ? KEPT : { removed: true, promoted: this.#replace(row) }
  }

  /** A contact is somewhere else now. It leaves when that network is full. */
  move(id: NodeId): Departure {
    const row = this.#rowOf(id)
    if (row < 0) return KEPT
    this.#rows.setPlace(row, NOWHERE)
    const place = this.#admit(id)
    if (typeof place === 'string') return this.remove(id)
    this.#rows.setPlace(row, place)
    return KEPT
  }

  /** When somebody of it was heard of last; −∞ for an empty one. */
  seenLastAtMs(): number {
    const { seenAtMs } = this.#rows
    let latest = Number.NEGATIVE_INFINITY
    for (let row = this.first; row < this.first + this.size; row += 1) {
      latest = Math.max(latest, seenAtMs[row] ?? latest)
    }
    return latest
  }

  #rowOf(id: NodeId): number {
    const { ids } = this.#rows
    const end = this.first + this.size
    for (let row = this.first; row < end; row += 1) if (ids[row] === id) return row
    return -1
  }

  #append(
    id: NodeId,
    contact: { readonly head: KeyHead; readonly place: NetworkPlace; readonly nowMs: number },
  ): void {
    const row = this.first + this.size
    this.size += 1
    const rows = this.#rows
    rows.ids[row] = id
    rows.high[row] = contact.head.high
    rows.low[row] = contact.head.low
    rows.setPlace(row, contact.place)
    rows.seenAtMs[row] = contact.nowMs
    rows.failures[row] = 0
  }

  #free(row: number): void {
    this.size -= 1
    const last = this.first + this.size
    this.#rows.move(last, row)
    this.#rows.clear(last)
  }

  /** The latest of those that wait is the likeliest to be alive; one whose network is full has waited in vain. */
  #replace(row: number): NodeId | undefined {
    this.#free(row)
    for (let next = this.#waiting?.pop(); next !== undefined; next = this.#waiting?.pop()) {
      const place = this.#admit(next)
      if (typeof place === 'string') continue
      this.#append(next, { head: headOfNode(next), place, nowMs: Number.NEGATIVE_INFINITY })
      return next
    }
    return undefined
  }

  #wait(id: NodeId): void {
    this.#stopWaiting(id)
    this.#waiting ??= []
    this.#waiting.push(id)
    if (this.#waiting.length > this.#maxWaiting) this.#waiting.shift()
  }

  #stopWaiting(id: NodeId): void {
    const at = this.#waiting?.indexOf(id) ?? -1
    if (at >= 0) this.#waiting?.splice(at, 1)
  }
}
