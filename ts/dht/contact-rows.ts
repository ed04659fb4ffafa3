import type { NodeId } from '../base/identity.ts'
import { NOWHERE, type NetworkColumns, type NetworkPlace } from './diversity.ts'

/** Bytes of one row besides the reference to its id: a time, two words of the key, three of the network, a count. */
const ROW_BYTES = 8 + 2 * 4 + 3 * 4 + 1

/**
 * The contacts of one table in columns, in blocks of one bucket each: an object for each contact, with its
 * key, would take many times the memory, which ten thousand simulated nodes can't afford.
 */
export class ContactRows implements NetworkColumns {
  readonly blockSize: number
  /** All columns are bounded by `blockSize` for each of at most 256 buckets. */
  ids: (NodeId | undefined)[] = []
  high = new Int32Array(0)
  low = new Int32Array(0)
  netHigh = new Uint32Array(0)
  netLow = new Uint32Array(0)
  asn = new Uint32Array(0)
  seenAtMs = new Float64Array(0)
  failures = new Uint8Array(0)
  #blocks = 0

  constructor(options: { readonly blockSize: number }) {
    this.blockSize = options.blockSize
  }

  /** The first row of a new block. */
  addBlock(): number {
    const first = this.#blocks * this.blockSize
    this.#blocks += 1
    if (first + this.blockSize > this.failures.length) this.#grow(first + this.blockSize)
    return first
  }

  move(from: number, to: number): void {
    this.ids[to] = this.ids[from]
    this.high[to] = this.high[from] ?? 0
    this.low[to] = this.low[from] ?? 0
    this.netHigh[to] = this.netHigh[from] ?? 0
    this.netLow[to] = this.netLow[from] ?? 0
    this.asn[to] = this.asn[from] ?? 0
    this.seenAtMs[to] = this.seenAtMs[from] ?? 0
    this.failures[to] = this.failures[from] ?? 0
  }

  /** Nobody is in the row any more. */
  clear(row: number): void {
    this.ids[row] = undefined
    this.setPlace(row, NOWHERE)
  }

  setPlace(row: number, place: NetworkPlace): void {
    this.netHigh[row] = place.high
    this.netLow[row] = place.low
    this.asn[row] = place.asn
  }

  #grow(needed: number): void {
    // Three blocks more at a time: a network of ten thousand fills about twelve.
    const rows = needed + (this.#blocks > 1 ? 2 * this.blockSize : 0)
    const { ids, high, low, netHigh, netLow, asn, seenAtMs, failures } = this
    // Eight-byte rows first, so that every view is aligned.
    const memory = new ArrayBuffer(rows * ROW_BYTES)
    this.seenAtMs = new Float64Array(memory, 0, rows)
    this.high = new Int32Array(memory, rows * 8, rows)
    this.low = new Int32Array(memory, rows * 12, rows)
    this.netHigh = new Uint32Array(memory, rows * 16, rows)
    this.netLow = new Uint32Array(memory, rows * 20, rows)
    this.asn = new Uint32Array(memory, rows * 24, rows)
    this.failures = new Uint8Array(memory, rows * 28, rows)
    this.seenAtMs.set(seenAtMs)
    this.high.set(high)
    this.low.set(low)
    this.netHigh.set(netHigh)
    this.netLow.set(netLow)
    this.asn.set(asn)
    this.failures.set(failures)
    // An array of fixed length: growing it by pushing would leave half of it unused.
    this.ids = new Array<NodeId | undefined>(rows).fill(undefined)
    for (const [row, id] of ids.entries()) this.ids[row] = id
  }
}
