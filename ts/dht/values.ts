import { compareBytes, toHex } from '../base/bytes.ts'
import type { Key, NodeId } from '../base/identity.ts'
import type { RecordKind } from '../base/record.ts'
import type { SupersededRoom } from './superseded.ts'

/** Room for records of others, earlier ones of registers included: these give way to newer ones. */
export interface ValueLimits {
  /** Records in all. Default 65,536, about 400 MB on disk. */
  readonly maxRecords: number
  /** Records of one owner. Default 8,192. */
  readonly maxPerOwner: number
  /** Records that one peer brought. Default 16,384. */
  readonly maxPerSource: number
}

export const DEFAULT_VALUE_LIMITS: ValueLimits = {
  maxRecords: 65_536,
  maxPerOwner: 8_192,
  maxPerSource: 16_384,
}

/** What has to be known of a record to decide whether it is kept. */
export interface Entry {
  readonly kind: RecordKind
  readonly key: Key
  readonly owner: NodeId
  /** The peer that brought it. */
  readonly source: NodeId
  readonly sequence: number
  /** Hash of the canonical body. */
  readonly bodyHash: Uint8Array
  readonly expiresUnixMs: number
}

/** `equivocation`: two bodies of one sequence; the one with the lower hash is kept, on every node the same. */
export type Verdict =
  | { readonly kind: 'keep' | 'same' | 'stale' }
  | { readonly kind: 'equivocation'; readonly keep: boolean }
  | { readonly kind: 'full'; readonly quota: 'all' | 'owner' | 'source' }

/**
 * Decides which verified record wins on its key, and who has room left. One record for each kind and
 * key: a key belongs to one owner, because it is derived from the owner's id.
 */
export class Values {
  readonly #limits: ValueLimits
  /** Bounded by `maxRecords`. */
  readonly #entries = new Map<string, Entry>()
  /** Bounded by the number of entries: a count of zero is removed. */
  readonly #perOwner = new Map<NodeId, number>()
  /** Bounded by the number of entries: a count of zero is removed. */
  readonly #perSource = new Map<NodeId, number>()

  constructor(limits: Partial<ValueLimits> = {}) {
    this.#limits = { ...DEFAULT_VALUE_LIMITS, ...limits }
  }

  get size(): number {
    return this.#entries.size
  }

  /** All entries of this moment. */
  entries(): Entry[] {
    return [...this.#entries.values()]
  }

  get(place: Pick<Entry, 'kind' | 'key'>): Entry | undefined {
    return this.#entries.get(placeOf(place))
  }

  /** Whether any record of this owner is kept; otherwise its public key is of no more use. */
  hasOwner(owner: NodeId): boolean {
    return this.#perOwner.has(owner)
  }

  /** What is left of each limit. */
  roomOf({ owner, source }: Pick<Entry, 'owner' | 'source'>): SupersededRoom {
    return {
      inAll: this.#limits.maxRecords - this.size,
      ofOwner: this.#limits.maxPerOwner - (this.#perOwner.get(owner) ?? 0),
      ofSource: this.#limits.maxPerSource - (this.#perSource.get(source) ?? 0),
    }
  }

  judge(entry: Entry): Verdict {
    const current = this.get(entry)
    if (current === undefined) return this.#judgeRoom(entry)
    if (entry.sequence > current.sequence) return { kind: 'keep' }
    if (entry.sequence < current.sequence) return { kind: 'stale' }
    const order = compareBytes(entry.bodyHash, current.bodyHash)
    return order === 0 ? { kind: 'same' } : { kind: 'equivocation', keep: order < 0 }
  }

  /** Records that it is kept, in place of what was there. Whoever brought the first keeps being charged. */
  set(entry: Entry): void {
    const current = this.get(entry)
    if (current !== undefined) {
      this.#entries.set(placeOf(entry), { ...entry, source: current.source })
      return
    }
    this.#entries.set(placeOf(entry), entry)
    add(this.#perOwner, entry.owner)
    add(this.#perSource, entry.source)
  }

  delete(place: Pick<Entry, 'kind' | 'key'>): void {
    const current = this.get(place)
    if (current === undefined) return
    this.#entries.delete(placeOf(place))
    subtract(this.#perOwner, current.owner)
    subtract(this.#perSource, current.source)
  }

  #judgeRoom(entry: Entry): Verdict {
    if (this.size >= this.#limits.maxRecords) return { kind: 'full', quota: 'all' }
    if ((this.#perOwner.get(entry.owner) ?? 0) >= this.#limits.maxPerOwner)
      return { kind: 'full', quota: 'owner' }
    if ((this.#perSource.get(entry.source) ?? 0) >= this.#limits.maxPerSource)
      return { kind: 'full', quota: 'source' }
    return { kind: 'keep' }
  }
}

function placeOf(place: Pick<Entry, 'kind' | 'key'>): string {
  return `${place.kind} ${toHex(place.key)}`
}

function add(counts: Map<NodeId, number>, id: NodeId): void {
  counts.set(id, (counts.get(id) ?? 0) + 1)
}

function subtract(counts: Map<NodeId, number>, id: NodeId): void {
  const left = (counts.get(id) ?? 0) - 1
  if (left > 0) counts.set(id, left)
  else counts.delete(id)
}
