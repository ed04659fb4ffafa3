import type { Database, Statement } from 'better-sqlite3'
import { compareBytes, equalBytes, toHex } from '../base/bytes.ts'
import { EspalierError } from '../base/error.ts'
import { MAX_KEY_BYTES } from './checks.ts'
import { rowHash } from './row-hash.ts'
import type { Change, Row, TableName } from './store.ts'

/** A row as SQLite hands it out: on a damaged page any column may hold anything. */
interface Stored {
  readonly key: unknown
  readonly value: unknown
  readonly expires: unknown
  readonly hash: unknown
}

const COLUMNS = 'key, value, expires_unix_ms AS expires, hash'

/** One table of the open database. Every row is checked against its hash before it is handed out. */
export class SqliteTable {
  readonly #name: TableName
  readonly #get: Statement<[Uint8Array], Stored>
  readonly #before: Statement<[Uint8Array], Stored>
  readonly #from: Statement<[Uint8Array], Stored>
  readonly #put: Statement<[Uint8Array, Uint8Array, number | null, Uint8Array]>
  readonly #delete: Statement<[Uint8Array]>
  readonly #expired: Statement<[number, number], Stored>
  readonly #count: Statement<[number], number>

  constructor(database: Database, name: TableName) {
    const table = sqlName(name)
    this.#name = name
    this.#get = database.prepare(`SELECT ${COLUMNS} FROM ${table} WHERE key = ?`)
    this.#before = database.prepare(`SELECT ${COLUMNS} FROM ${table} WHERE key < ? ORDER BY key DESC LIMIT 1`)
    this.#from = database.prepare(`SELECT ${COLUMNS} FROM ${table} WHERE key >= ? ORDER BY key`)
    this.#put = database.prepare(
      `INSERT INTO ${table} (key, value, expires_unix_ms, hash) VALUES (?, ?, ?, ?)
       ON CONFLICT (key) DO UPDATE SET
         value = excluded.value, expires_unix_ms = excluded.expires_unix_ms, hash = excluded.hash`,
    )
    this.#delete = database.prepare(`DELETE FROM ${table} WHERE key = ?`)
    this.#expired = database.prepare(
      `SELECT ${COLUMNS} FROM ${table} WHERE expires_unix_ms <= ? ORDER BY expires_unix_ms, key LIMIT ?`,
    )
    this.#count = database
      .prepare<[number], number>(
        `SELECT count(*) FROM ${table} WHERE expires_unix_ms IS NULL OR expires_unix_ms > ?`,
      )
      .pluck()
  }

  get(key: Uint8Array, nowUnixMs: number): Row | undefined {
    const stored = this.#get.get(key)
    if (stored === undefined) {
      this.#checkGap(key)
      return undefined
    }
    // The search ran over the same page: only the row's own hash says that this is the row of that key.
    const row = this.#verified(stored)
    return isLive(row, nowUnixMs) ? row : undefined
  }

  scan({ from, limit }: { readonly from: Uint8Array; readonly limit: number }, nowUnixMs: number): Row[] {
    const rows: Row[] = []
    let last: Uint8Array | undefined
    for (const stored of this.#from.iterate(from)) {
      const row = this.#verified(stored)
      if (last !== undefined && compareBytes(last, row.key) >= 0) throw this.#damaged(row.key, 'out of order')
      last = row.key
      // Expiry is judged after the hash, so that a flipped bit can't hide a row.
      if (isLive(row, nowUnixMs)) rows.push(row)
      if (rows.length === limit) break
    }
    return rows
  }

  apply({ key, value, expiresUnixMs }: Change): void {
    if (value === undefined) {
      this.#delete.run(key)
      return
    }
    const row: Row = { key, value, ...(expiresUnixMs === undefined ? {} : { expiresUnixMs }) }
    this.#put.run(key, value, expiresUnixMs ?? null, rowHash(this.#name, row))
  }

  takeExpired(limit: number, nowUnixMs: number): Row[] {
    const rows = this.#expired.all(nowUnixMs, limit).map((stored) => this.#verified(stored))
    for (const row of rows) this.#delete.run(row.key)
    return rows
  }

  count(nowUnixMs: number): number {
    return this.#count.get(nowUnixMs) ?? 0
  }

  /** A flipped bit in a key makes the row unfindable, but leaves it beside the gap where it was looked for. */
  #checkGap(key: Uint8Array): void {
    const before = this.#before.get(key)
    if (before !== undefined) this.#verified(before)
    for (const after of this.#from.iterate(key)) {
      this.#verified(after)
      break
    }
  }

  #verified({ key, value, expires, hash }: Stored): Row {
    if (
      !(key instanceof Uint8Array) ||
      !(value instanceof Uint8Array) ||
      !(hash instanceof Uint8Array) ||
      (expires !== null && typeof expires !== 'number') ||
      key.byteLength > MAX_KEY_BYTES ||
      (expires !== null && !(Number.isSafeInteger(expires) && expires >= 0))
    ) {
      throw this.#damaged(key instanceof Uint8Array ? key : new Uint8Array(), 'wrong type')
    }
    const row: Row = { key, value, ...(expires === null ? {} : { expiresUnixMs: expires }) }
    if (!equalBytes(rowHash(this.#name, row), hash)) throw this.#damaged(key, 'wrong hash')
    return row
  }

  #damaged(key: Uint8Array, why: string): EspalierError {
    return new EspalierError('STORAGE_CORRUPT', `a row of ${this.#name} is damaged: ${why}`, {
      // With these the owner can delete the row and fetch it again.
      details: { table: this.#name, key: toHex(key.subarray(0, MAX_KEY_BYTES)), why },
    })
  }
}

/** The table's name in SQL: `publicKeys` is `public_keys`. */
export function sqlName(name: TableName): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}

function isLive(row: Row, nowUnixMs: number): boolean {
  return row.expiresUnixMs === undefined || nowUnixMs < row.expiresUnixMs
}
