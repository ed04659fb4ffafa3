import { compareBytes, toHex } from '../base/bytes.ts'
import { systemClock, type Clock } from '../base/clock.ts'
import type { Change, Row, Store, TableName } from './store.ts'
import { TableStore, type Table } from './table-store.ts'

/**
 * A store that forgets everything at `close`: for tests, the simulator and clients without a data directory.
 * `clock` (default: the system's) decides what has expired.
 */
export function memoryStore(options: { readonly clock?: Clock } = {}): Store {
  const { clock = systemClock } = options
  /** Made when they are needed first. At most one for each name. */
  const tables = new Map<TableName, MemoryTable>()
  const table = (name: TableName): MemoryTable => {
    let found = tables.get(name)
    if (found === undefined) tables.set(name, (found = new MemoryTable()))
    return found
  }
  return new TableStore({
    table,
    write: (changes) => {
      for (const change of changes) table(change.table).apply(change)
      return Promise.resolve()
    },
    unixMs: () => clock.unixMs(),
  })
}

/** Rows by the hexadecimal of their key, whose text order is the byte order of the keys. */
class MemoryTable implements Table {
  /** Bounded by what its one owner keeps: the same rows would be on disk. */
  readonly #rows = new Map<string, Row>()
  /** The keys of `#rows` in order; `undefined` after a key came or went. Bounded by `#rows`. */
  #order: string[] | undefined = []

  get(key: Uint8Array, nowUnixMs: number): Row | undefined {
    const row = this.#rows.get(toHex(key))
    return row !== undefined && isLive(row, nowUnixMs) ? copyOf(row) : undefined
  }

  apply({ key, value, expiresUnixMs }: Change): void {
    const name = toHex(key)
    if (value === undefined) {
      if (this.#rows.delete(name)) this.#order = undefined
      return
    }
    if (!this.#rows.has(name)) this.#order = undefined
    this.#rows.set(name, copyOf({ key, value, ...(expiresUnixMs === undefined ? {} : { expiresUnixMs }) }))
  }

  scan(range: { readonly from?: Uint8Array; readonly limit: number }, nowUnixMs: number): Row[] {
    const order = this.#sorted()
    const found: Row[] = []
    const start = range.from === undefined ? 0 : firstAtLeast(order, toHex(range.from))
    for (let at = start; at < order.length && found.length < range.limit; at++) {
      const row = this.#rows.get(order[at] ?? '')
      if (row !== undefined && isLive(row, nowUnixMs)) found.push(copyOf(row))
    }
    return found
  }

  takeExpired(limit: number, nowUnixMs: number): Row[] {
    const taken = [...this.#rows.values()]
      .filter((row) => !isLive(row, nowUnixMs))
      .sort((a, b) => (a.expiresUnixMs ?? 0) - (b.expiresUnixMs ?? 0) || compareBytes(a.key, b.key))
      .slice(0, limit)
    for (const row of taken) this.#rows.delete(toHex(row.key))
    if (taken.length > 0) this.#order = undefined
    return taken
  }

  count(nowUnixMs: number): number {
    let live = 0
    for (const row of this.#rows.values()) if (isLive(row, nowUnixMs)) live++
    return live
  }

  #sorted(): string[] {
    return (this.#order ??= [...this.#rows.keys()].sort())
  }
}

function isLive(row: Row, nowUnixMs: number): boolean {
  return row.expiresUnixMs === undefined || nowUnixMs < row.expiresUnixMs
}

function copyOf(row: Row): Row {
  return { ...row, key: Uint8Array.from(row.key), value: Uint8Array.from(row.value) }
}

/** Index of the first name that is not below `name`. */
function firstAtLeast(order: readonly string[], name: string): number {
  let low = 0
  let high = order.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((order[middle] ?? '') < name) low = middle + 1
    else high = middle
  }
  return low
}
