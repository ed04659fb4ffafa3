import { equalBytes, toHex } from '../base/bytes.ts'
import type { NodeCrypto } from '../base/env.ts'
import { EspalierError } from '../base/error.ts'
import {
  INDEX_ENTRY_BYTES,
  decodeSegment,
  firstValueOf,
  fitsIndex,
  hashOfIndex,
  indexOf,
  isShape,
  segmentsOf,
  summaryKey,
  valueOfHash,
  type SummaryName,
  type SummaryShape,
} from './provider-summary.ts'
import { testedBytes } from './provider-tested.ts'
import { sipHash, type SipKey } from './siphash.ts'

/** Added ids that may follow a summary before it is issued anew. */
export const MAX_DELTA_IDS = 64
/** Ids of one summary that are remembered to be missing. */
const MAX_MISSED = 16_384
/** Memory of an id in hexadecimal in a set, about. */
const NAME_BYTES = 128

/** `unknown`: the segment at `position` has to be fetched first. */
export type Answer =
  | { readonly kind: 'yes'; readonly isExact: boolean }
  | { readonly kind: 'no' }
  | { readonly kind: 'unknown'; readonly position: number }

const ADDED: Answer = { kind: 'yes', isExact: true }
const CLAIMED: Answer = { kind: 'yes', isExact: false }
const DENIED: Answer = { kind: 'no' }

const scratch = new Uint32Array(2)

/**
 * A summary as a reader has it: as many of its segments as were fetched, each checked against the hash in the
 * record of the provider, the ids that were added since, and those that turned out to be missing.
 */
export class SummaryView {
  readonly name: SummaryName
  readonly shape: SummaryShape
  readonly #crypto: Pick<NodeCrypto, 'deriveKey' | 'hash'>
  readonly #hash: Uint8Array
  readonly #key: SipKey
  /** Decoded values of each segment, one place for each. Bounded by the shape, 256. */
  readonly #segments: (Uint32Array | undefined)[]
  #index: Uint8Array | undefined
  /** Hexadecimal ids. Bounded by {@link MAX_DELTA_IDS}. */
  readonly #added = new Set<string>()
  /** Hexadecimal ids. Bounded by {@link MAX_MISSED}. */
  readonly #missed = new Set<string>()
  #bytes = 0
  /** Segments that are there. */
  #known = 0

  /** Throws `PROTOCOL_VIOLATION` for a shape that can't be. */
  constructor(
    crypto: Pick<NodeCrypto, 'deriveKey' | 'hash'>,
    summary: { readonly name: SummaryName; readonly shape: SummaryShape; readonly hash: Uint8Array },
  ) {
    if (!isShape(summary.shape))
      throw new EspalierError('PROTOCOL_VIOLATION', 'a summary of no possible shape')
    this.name = summary.name
    this.shape = summary.shape
    this.#crypto = crypto
    this.#hash = summary.hash
    this.#key = summaryKey(crypto, summary.name)
    this.#segments = new Array<Uint32Array | undefined>(segmentsOf(summary.shape.count)).fill(undefined)
  }

  /** Memory of decoded values, index, added and missing ids, and of what it was asked for. */
  get bytes(): number {
    const names = this.#added.size + this.#missed.size
    return this.#bytes + (this.#index?.byteLength ?? 0) + names * NAME_BYTES + testedBytes(this.shape)
  }

  /** Added ids so far. */
  get added(): number {
    return this.#added.size
  }

  /** Whether every question can be answered. */
  get isWhole(): boolean {
    return this.#known === this.#segments.length
  }

  /** All segments at once. Throws `PROTOCOL_VIOLATION`; then nothing has changed. */
  setAll(segments: readonly Uint8Array[]): void {
    if (segments.length !== this.#segments.length) throw refused('another number of segments')
    const index = indexOf(this.#crypto, segments)
    this.#checkIndex(index)
    const decoded = segments.map((bytes, position) => this.#decode(bytes, { position, index }))
    this.#index = index
    for (const [position, values] of decoded.entries()) this.#take(position, values)
  }

  /** The index, from which on single segments can be taken. Throws `PROTOCOL_VIOLATION`. */
  setIndex(index: Uint8Array): void {
    this.#checkIndex(index)
    this.#index ??= index
  }

  /** One segment, after the index. Throws `PROTOCOL_VIOLATION`. */
  setSegment(position: number, bytes: Uint8Array): void {
    if (this.#index === undefined || position < 0 || position >= this.#segments.length) {
      throw refused('a segment that was not asked for')
    }
    if (!fitsIndex(this.#crypto, this.#index, { segment: bytes, position })) {
      throw refused('a segment that its index does not name')
    }
    this.#take(position, this.#decode(bytes, { position, index: this.#index }))
  }

  /** Ids that were added after `from` of them were known. Throws `PROTOCOL_VIOLATION` for more than fit. */
  addDelta(from: number, ids: readonly Uint8Array[]): void {
    if (from !== this.#added.size || from + ids.length > MAX_DELTA_IDS)
      throw refused('a delta that does not fit')
    for (const id of ids) {
      this.#added.add(toHex(id))
      this.#missed.delete(toHex(id))
    }
  }

  /** Whether the provider says that it has an id of 32 bytes. */
  has(id: Uint8Array): Answer {
    return this.ask(id).answer
  }

  /** The same, with 32 bits that stand for the id in this summary, and for another one in any other. */
  ask(id: Uint8Array): { readonly answer: Answer; readonly fingerprint: number } {
    sipHash(this.#key, id, scratch)
    const fingerprint = scratch[1] ?? 0
    const isAdded = this.#added.size > 0 && this.#added.has(toHex(id))
    return { fingerprint, answer: isAdded ? ADDED : this.#answer(valueOfHash(scratch, this.shape)) }
  }

  /** The provider did not have an id. Whether that is news: false for one that it does not claim, or that is known to be missing. */
  miss(id: Uint8Array): boolean {
    if (this.has(id).kind !== 'yes' || this.isMissed(id) || this.#missed.size >= MAX_MISSED) return false
    this.#missed.add(toHex(id))
    return true
  }

  isMissed(id: Uint8Array): boolean {
    return this.#missed.size > 0 && this.#missed.has(toHex(id))
  }

  #answer(value: number): Answer {
    const position = this.#positionOf(value)
    if (position === undefined) return DENIED
    const values = this.#segments[position]
    if (values === undefined) return { kind: 'unknown', position }
    return includes(values, value) ? CLAIMED : DENIED
  }

  /** The last segment that begins at or below `value`; equal numbers over its edge are found in either. */
  #positionOf(value: number): number | undefined {
    const index = this.#index
    if (index === undefined) return 0
    let low = 0
    let high = this.#segments.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (firstValueOf(index, middle) <= value) low = middle + 1
      else high = middle
    }
    return low === 0 ? undefined : low - 1
  }

  #checkIndex(index: Uint8Array): void {
    if (index.byteLength !== this.#segments.length * INDEX_ENTRY_BYTES)
      throw refused('an index of another length')
    if (!equalBytes(hashOfIndex(this.#crypto, index), this.#hash)) throw refused('not the hash of its record')
    for (let position = 1; position < this.#segments.length; position += 1) {
      if (firstValueOf(index, position) < firstValueOf(index, position - 1))
        throw refused('segments out of order')
    }
  }

  /** The values of a segment, none of which lies beyond where the next one begins. */
  #decode(
    bytes: Uint8Array,
    { position, index }: { readonly position: number; readonly index: Uint8Array },
  ): Uint32Array {
    const values = decodeSegment(bytes, this.shape, position)
    const hasNext = position + 1 < this.#segments.length
    if (hasNext && (values.at(-1) ?? 0) > firstValueOf(index, position + 1))
      throw refused('segments out of order')
    return values
  }

  #take(position: number, values: Uint32Array): void {
    if (this.#segments[position] === undefined) {
      this.#bytes += values.byteLength
      this.#known += 1
    }
    this.#segments[position] = values
  }
}

function includes(values: Uint32Array, wanted: number): boolean {
  let low = 0
  let high = values.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((values[middle] ?? 0) < wanted) low = middle + 1
    else high = middle
  }
  return values[low] === wanted
}

function refused(reason: string): EspalierError {
  return new EspalierError('PROTOCOL_VIOLATION', `provider summary: ${reason}`)
}
