import { compareBytes } from '../base/bytes.ts'
import { encodeRecord, type SignedRecord } from '../base/record.ts'
import { decodeRegister, versionOf, type RegisterVersion } from './register.ts'

/**
 * Proof that an owner signed two values under one sequence.
 *
 * @category Named values
 */
export interface RegisterEquivocation {
  readonly sequence: number
  /** The value that counts on every node: that of the record with the lower hash. */
  readonly kept: Uint8Array
  readonly rejected: Uint8Array
  /** Both records as they were signed, the one that counts first (docs/PROTOCOL.md §5). */
  readonly proof: readonly [Uint8Array, Uint8Array]
}

/**
 * A change of a named value.
 *
 * @category Named values
 */
export interface RegisterChange extends RegisterVersion {
  /** There when the owner has signed two values under one sequence since the change before. */
  readonly equivocation?: RegisterEquivocation
}

/** A record with the hash of its body. */
export interface HashedRecord {
  readonly record: SignedRecord
  readonly bodyHash: Uint8Array
}

/** What a verified record changes. */
export interface Newer {
  readonly record: SignedRecord
  readonly equivocation: RegisterEquivocation | undefined
}

/** The newest version of one register that was seen. It never goes back. */
export class NewestVersion {
  #newest: HashedRecord | undefined
  /** Whether it is known that the owner signed two values under the newest sequence. */
  #isEquivocal = false

  get newest(): HashedRecord | undefined {
    return this.#newest
  }

  /** Whether a record that is not yet verified could change anything. */
  judge({ record, bodyHash }: HashedRecord): 'news' | 'known' | 'stale' {
    const newest = this.#newest
    if (newest === undefined || record.body.sequence > newest.record.body.sequence) return 'news'
    if (record.body.sequence < newest.record.body.sequence) return 'stale'
    const order = compareBytes(bodyHash, newest.bodyHash)
    return order === 0 || (order > 0 && this.#isEquivocal) ? 'known' : 'news'
  }

  /** Takes a verified record; nothing when it changes nothing. */
  take(seen: HashedRecord): Newer | undefined {
    if (this.judge(seen) !== 'news') return undefined
    const former = this.#newest
    const isRival = former?.record.body.sequence === seen.record.body.sequence
    if (former === undefined || !isRival) {
      this.#newest = seen
      this.#isEquivocal = false
      return { record: seen.record, equivocation: undefined }
    }
    const [kept, rejected] =
      compareBytes(seen.bodyHash, former.bodyHash) < 0 ? [seen, former] : [former, seen]
    this.#newest = kept
    this.#isEquivocal = true
    return { record: kept.record, equivocation: equivocationOf(kept.record, rejected.record) }
  }
}

/** What one consumer has not taken yet: the newest version alone, however slow it is. */
export class ChangeSlot {
  #floor: number
  #pending: SignedRecord | undefined
  #equivocation: RegisterEquivocation | undefined

  /** `after`: only what has a higher sequence is of interest. */
  constructor(after: number) {
    this.#floor = after
  }

  /** Answers whether there is something to take now. */
  offer({ record, equivocation }: Newer): boolean {
    const { sequence } = record.body
    if (sequence < this.#floor || (sequence === this.#floor && equivocation === undefined)) return false
    this.#pending = record
    this.#equivocation = equivocation ?? this.#equivocation
    return true
  }

  take(): RegisterChange | undefined {
    if (this.#pending === undefined) return undefined
    const [version, equivocation] = [versionOf(this.#pending), this.#equivocation]
    this.#floor = version.sequence
    this.#pending = undefined
    this.#equivocation = undefined
    return equivocation === undefined ? version : { ...version, equivocation }
  }
}

function equivocationOf(kept: SignedRecord, rejected: SignedRecord): RegisterEquivocation {
  return {
    sequence: kept.body.sequence,
    kept: decodeRegister(kept.body),
    rejected: decodeRegister(rejected.body),
    proof: [encodeRecord(kept), encodeRecord(rejected)],
  }
}
