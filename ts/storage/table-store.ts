import { checkChanges, checkKey, checkLimit, checkTable, closedError } from './checks.ts'
import type { Change, Row, Store, TableName } from './store.ts'

/** Rows of one table in the order of their keys, those left out that have expired at `nowUnixMs`. */
export interface Table {
  get(key: Uint8Array, nowUnixMs: number): Row | undefined
  scan(range: { readonly from?: Uint8Array; readonly limit: number }, nowUnixMs: number): Row[]
  takeExpired(limit: number, nowUnixMs: number): Row[]
  count(nowUnixMs: number): number
}

/** What a {@link TableStore} is over. */
export interface Tables {
  table(name: TableName): Table
  /** All of them or none. Takes what it needs of the arrays before it returns. */
  write(changes: readonly Change[]): Promise<void>
  unixMs(): number
}

/**
 * A store over tables of this process: what it refuses, and that it answers in a later turn, so that callers can't come
 * to depend on less, is as of the durable one.
 */
export class TableStore implements Store {
  /** Let go at `close`: a store that has nothing else forgets everything then. */
  #tables: Tables | undefined
  #isCutOff = false
  #pendingCalls = 0

  constructor(tables: Tables) {
    this.#tables = tables
  }

  get isClosed(): boolean {
    return this.#tables === undefined
  }

  get pendingCalls(): number {
    return this.#pendingCalls
  }

  async get(table: TableName, key: Uint8Array): Promise<Row | undefined> {
    return this.#read(table, (rows, nowUnixMs) => {
      checkKey(key)
      return rows.get(key, nowUnixMs)
    })
  }

  async write(changes: readonly Change[]): Promise<void> {
    return this.#run((tables) => {
      checkChanges(changes)
      return tables.write(changes)
    })
  }

  async scan(
    table: TableName,
    range: { readonly from?: Uint8Array; readonly limit: number },
  ): Promise<readonly Row[]> {
    return this.#read(table, (rows, nowUnixMs) => {
      checkLimit(range.limit)
      if (range.from !== undefined) checkKey(range.from)
      return rows.scan(range, nowUnixMs)
    })
  }

  async takeExpired(table: TableName, options: { readonly limit: number }): Promise<readonly Row[]> {
    return this.#read(table, (rows, nowUnixMs) => {
      checkLimit(options.limit)
      return rows.takeExpired(options.limit, nowUnixMs)
    })
  }

  async count(table: TableName): Promise<number> {
    return this.#read(table, (rows, nowUnixMs) => rows.count(nowUnixMs))
  }

  async close(): Promise<void> {
    this.#tables = undefined
    return Promise.resolve()
  }

  /** As `kill -9`: what is under way is answered by `CLOSED`, for nobody is there to hear. */
  cutOff(): void {
    this.#tables = undefined
    this.#isCutOff = true
  }

  #read<T>(name: TableName, look: (rows: Table, nowUnixMs: number) => T): Promise<T> {
    return this.#run((tables) => {
      checkTable(name)
      return look(tables.table(name), tables.unixMs())
    })
  }

  async #run<T>(action: (tables: Tables) => Promise<T> | T): Promise<T> {
    if (this.#tables === undefined) throw closedError()
    this.#pendingCalls += 1
    try {
      const result = await action(this.#tables)
      if (this.#isCutOff) throw closedError()
      return result
    } finally {
      this.#pendingCalls -= 1
    }
  }
}
