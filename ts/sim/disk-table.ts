import { EspalierError } from '../base/error.ts'
import type { Change, Row } from '../storage/store.ts'
import type { Table } from '../storage/table-store.ts'
import type { BytePool } from './byte-pool.ts'

/** In the column of values: the row was torn. */
const TORN = -1
const FIRST_ROOM = 8

/** The rows of one table on a simulated disk, in columns of numbers of a {@link BytePool}. */
export class DiskTable implements Table {
  readonly #pool: BytePool
  /** Columns of `#count` rows in no order. Bounded by what the owner of the table keeps. */
  #keys = new Int32Array(0)
  #values = new Int32Array(0)
  /** NaN for a row that does not expire. */
  #expires = new Float64Array(0)
  #count = 0
  /** Places in the order of their keys, between the pages of a scan. */
  #order: number[] | undefined

  constructor(pool: BytePool) {
    this.#pool = pool
  }

  /** Throws `STORAGE_CORRUPT` for a torn row. */
  get(key: Uint8Array, nowUnixMs: number): Row | undefined {
    const at = this.#placeOf(key)
    return at < 0 || !this.#isLive(at, nowUnixMs) ? undefined : this.#row(at)
  }

  apply({ key, value, expiresUnixMs }: Change): void {
    const at = this.#placeOf(key)
    if (value === undefined) {
      if (at >= 0) this.#remove(at)
      return
    }
    const held = this.#pool.hold(value)
    if (at >= 0) {
      this.#releaseValue(at)
      this.#values[at] = held
      this.#expires[at] = expiresUnixMs ?? NaN
      return
    }
    this.#order = undefined
    if (this.#count === this.#keys.length) this.#grow()
    this.#keys[this.#count] = this.#pool.hold(key)
    this.#values[this.#count] = held
    this.#expires[this.#count] = expiresUnixMs ?? NaN
    this.#count += 1
  }

  /** A write was cut off half-way: its row is there, also one that is new, and can't be read. */
  tear(change: Change): void {
    if (this.#placeOf(change.key) < 0) this.apply(change)
    const at = this.#placeOf(change.key)
    if (at < 0) return
    this.#releaseValue(at)
    this.#values[at] = TORN
  }

  /** Throws `STORAGE_CORRUPT` when a torn row is among them. */
  scan(range: { readonly from?: Uint8Array; readonly limit: number }, nowUnixMs: number): Row[] {
    const order = (this.#order ??= this.#sorted())
    const first = range.from === undefined ? 0 : this.#firstAtLeast(order, range.from)
    const rows: Row[] = []
    for (let at = first; at < order.length && rows.length < range.limit; at += 1) {
      const place = order[at] ?? 0
      if (this.#isLive(place, nowUnixMs)) rows.push(this.#row(place))
    }
    if (rows.length < range.limit) this.#order = undefined
    return rows
  }

  takeExpired(limit: number, nowUnixMs: number): Row[] {
    const places: number[] = []
    for (let at = 0; at < this.#count; at += 1) if (!this.#isLive(at, nowUnixMs)) places.push(at)
    places.sort((a, b) => (this.#expires[a] ?? 0) - (this.#expires[b] ?? 0) || this.#compareKeys(a, b))
    const rows = places.slice(0, limit).map((at) => this.#row(at))
    for (const { key } of rows) this.#remove(this.#placeOf(key))
    return rows
  }

  count(nowUnixMs: number): number {
    let live = 0
    for (let at = 0; at < this.#count; at += 1) if (this.#isLive(at, nowUnixMs)) live += 1
    return live
  }

  #placeOf(key: Uint8Array): number {
    const number = this.#pool.find(key)
    if (number === undefined) return -1
    const at = this.#keys.indexOf(number)
    return at < this.#count ? at : -1
  }

  #row(at: number): Row {
    const value = this.#values[at] ?? TORN
    if (value === TORN) throw new EspalierError('STORAGE_CORRUPT', 'a row of the store is damaged')
    const expiresUnixMs = this.#expires[at] ?? NaN
    const row = { key: this.#pool.bytes(this.#keys[at] ?? 0), value: this.#pool.bytes(value) }
    return Number.isNaN(expiresUnixMs) ? row : { ...row, expiresUnixMs }
  }

  #remove(at: number): void {
    this.#order = undefined
    this.#pool.release(this.#keys[at] ?? 0)
    this.#releaseValue(at)
    this.#count -= 1
    const last = this.#count
    this.#keys[at] = this.#keys[last] ?? 0
    this.#values[at] = this.#values[last] ?? 0
    this.#expires[at] = this.#expires[last] ?? 0
  }

  #releaseValue(at: number): void {
    const value = this.#values[at] ?? TORN
    if (value !== TORN) this.#pool.release(value)
  }

  #isLive(at: number, nowUnixMs: number): boolean {
    return !((this.#expires[at] ?? NaN) <= nowUnixMs)
  }

  #compareKeys(a: number, b: number): number {
    return this.#pool.compare(this.#keys[a] ?? 0, this.#keys[b] ?? 0)
  }

  #sorted(): number[] {
    return Array.from({ length: this.#count }, (_, at) => at).sort((a, b) => this.#compareKeys(a, b))
  }

  /** Index in `order` of the first row whose key is not below `from`. */
  #firstAtLeast(order: readonly number[], from: Uint8Array): number {
    const bound = this.#pool.hold(from)
    let low = 0
    let high = order.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#pool.compare(this.#keys[order[middle] ?? 0] ?? 0, bound) < 0) low = middle + 1
      else high = middle
    }
    this.#pool.release(bound)
    return low
  }

  #grow(): void {
    const room = Math.max(FIRST_ROOM, this.#count + (this.#count >> 1))
    const [keys, values, expires] = [
      new Int32Array(room).fill(-1),
      new Int32Array(room),
      new Float64Array(room),
    ]
    keys.set(this.#keys)
    values.set(this.#values)
    expires.set(this.#expires)
    this.#keys = keys
    this.#values = values
    this.#expires = expires
  }
}
