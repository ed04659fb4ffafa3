import type { NodeId } from '../base/identity.ts'
import type { ContactRows } from './contact-rows.ts'
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

/** What came of a sighting. `check` names the contact to ping before it may lose its place. */
export type Sighting =
  { readonly kind: 'added' | 'known' } | { readonly kind: 'waiting'; readonly check: NodeId | undefined }

/** What came of a failure: whether the contact left, and who took its place. */
export interface Failure {
  readonly removed: boolean
  readonly promoted: NodeId | undefined
}

// A sighting comes with every request and every answer.
const ADDED: Sighting = { kind: 'added' }
const KNOWN: Sighting = { kind: 'known' }
const WAITING: Sighting = { kind: 'waiting', check: undefined }
const KEPT: Failure = { removed: false, promoted: undefined }

/**
 * Contacts of one distance class. Old contacts are preferred: the longer a node has been up, the likelier
 * it stays, and an attacker cannot push them out by number.
 */
export class Bucket {
  readonly #rows: ContactRows
  readonly #maxWaiting: number
  /** Its block of rows; the first `size` of them are taken. */
  readonly first: number
  size = 0
  /** Newcomers that found the bucket full, latest last. Bounded by `maxWaiting`; most buckets never need it. */
  #waiting: NodeId[] | undefined
  #checking: NodeId | undefined

  constructor(rows: ContactRows, options: { readonly maxWaiting: number }) {
    this.#rows = rows
    this.#maxWaiting = options.maxWaiting
    this.first = rows.addBlock()
  }

  has(id: NodeId): boolean {
    return this.#rowOf(id) >= 0
  }

  /**
   * A node answered, or asked from a proved connection. A full bucket has the contact heard of longest ago
   * checked, unless it was heard of within `freshMs`.
   */
  seen(
    id: NodeId,
    sighting: { readonly head: KeyHead; readonly nowMs: number; readonly freshMs: number },
  ): Sighting {
    const rows = this.#rows
    this.endCheck(id)
    const known = this.#rowOf(id)
    if (known >= 0) {
      rows.seenAtMs[known] = sighting.nowMs
      rows.failures[known] = 0
      return KNOWN
    }
    if (this.size < rows.blockSize) {
      this.#append(id, sighting.head, sighting.nowMs)
      this.#stopWaiting(id)
      return ADDED
    }
    this.#wait(id)
    return this.#startCheck(sighting.nowMs - sighting.freshMs)
  }

  /** A request to it failed. */
  failed(id: NodeId): Failure {
    this.endCheck(id)
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

  endCheck(id: NodeId): void {
    if (id === this.#checking) this.#checking = undefined
  }

  /** Takes a contact out; answers who took its place. */
  remove(id: NodeId): NodeId | undefined {
    this.endCheck(id)
    this.#stopWaiting(id)
    const row = this.#rowOf(id)
    return row < 0 ? undefined : this.#replace(row)
  }

  #rowOf(id: NodeId): number {
    const { ids } = this.#rows
    const end = this.first + this.size
    for (let row = this.first; row < end; row += 1) if (ids[row] === id) return row
    return -1
  }

  #append(id: NodeId, head: KeyHead, seenAtMs: number): void {
    const row = this.first + this.size
    this.size += 1
    const rows = this.#rows
    rows.ids[row] = id
    rows.high[row] = head.high
    rows.low[row] = head.low
    rows.seenAtMs[row] = seenAtMs
    rows.failures[row] = 0
  }

  /** The latest of those that wait is the likeliest to be alive. */
  #replace(row: number): NodeId | undefined {
    this.size -= 1
    const last = this.first + this.size
    this.#rows.move(last, row)
    this.#rows.ids[last] = undefined
    const next = this.#waiting?.pop()
    if (next !== undefined) this.#append(next, headOfNode(next), Number.NEGATIVE_INFINITY)
    return next
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

  /** At most one check at a time, of the contact heard of longest ago. */
  #startCheck(unlessSinceMs: number): Sighting {
    if (this.#checking !== undefined) return WAITING
    const { ids, seenAtMs } = this.#rows
    let oldest = this.first
    for (let row = this.first + 1; row < this.first + this.size; row += 1) {
      if ((seenAtMs[row] ?? 0) < (seenAtMs[oldest] ?? 0)) oldest = row
    }
    if ((seenAtMs[oldest] ?? 0) > unlessSinceMs) return WAITING
    this.#checking = ids[oldest]
    return { kind: 'waiting', check: this.#checking }
  }
}
