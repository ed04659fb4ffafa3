import type { Database } from 'better-sqlite3'
import { EspalierError } from '../base/error.ts'
import { Ballast } from './ballast.ts'
import { TABLE_NAMES } from './checks.ts'
import type { Call, Result } from './database-messages.ts'
import { sqliteCode, storageError } from './sqlite-error.ts'
import { openSqliteFile } from './sqlite-file.ts'
import { SqliteTable, sqlName } from './sqlite-table.ts'
import type { TableName } from './store.ts'

/** A call that changes the file. */
export type Mutation = Extract<Call, { kind: 'write' | 'takeExpired' }>
/** A call that only reads it. */
export type Query = Extract<Call, { kind: 'get' | 'scan' | 'count' }>
/** How one mutation of a group ended. */
export type Outcome = { readonly result: Result } | { readonly error: EspalierError }

const NO_ROOM = 'the disk is full'

/** The open database: synchronous, for the worker thread. Arguments have been checked on the other side. */
export class SqliteStore {
  readonly #database: Database
  readonly #ballast: Ballast
  readonly #tables: ReadonlyMap<TableName, SqliteTable>

  /** Codes as in {@link openSqliteFile}. `ballastBytes` 0 keeps no ballast. */
  constructor(path: string, { ballastBytes }: { readonly ballastBytes: number }) {
    this.#database = openSqliteFile(path)
    this.#ballast = new Ballast(`${path}-ballast`, { sizeBytes: ballastBytes })
    try {
      this.#tables = new Map(TABLE_NAMES.map((name) => [name, new SqliteTable(this.#database, name)]))
      this.#ballast.ensure()
    } catch (thrown) {
      this.#database.close()
      throw storageError(thrown, 'the database cannot be opened')
    }
  }

  query(query: Query): Result {
    try {
      const table = this.#table(query.table)
      switch (query.kind) {
        case 'get':
          return table.get(query.key, query.nowUnixMs)
        case 'scan':
          return table.scan({ from: query.from ?? new Uint8Array(), limit: query.limit }, query.nowUnixMs)
        case 'count':
          return table.count(query.nowUnixMs)
      }
    } catch (thrown) {
      throw storageError(thrown, 'reading failed')
    }
  }

  /** Commits the group with one fsync; when that fails, each mutation alone, so that one can't take others down. */
  commit(group: readonly Mutation[]): Outcome[] {
    if (group.some(adds) && !this.#ballast.ensure()) return group.map((mutation) => this.#commitLow(mutation))
    try {
      return this.#transact(group).map((result) => ({ result }))
    } catch (thrown) {
      if (group.length > 1) return group.map((mutation) => this.#commitOne(mutation))
      return group.map((mutation) => this.#afterFailure(mutation, thrown))
    }
  }

  close(): void {
    this.#database.close()
  }

  /** The disk is so full that the ballast is gone: whatever makes room is done, nothing is added. */
  #commitLow(mutation: Mutation): Outcome {
    if (adds(mutation)) return { error: new EspalierError('STORAGE_FULL', NO_ROOM) }
    return this.#commitOne(mutation)
  }

  #commitOne(mutation: Mutation): Outcome {
    try {
      return { result: this.#transact([mutation])[0] }
    } catch (thrown) {
      return this.#afterFailure(mutation, thrown)
    }
  }

  #afterFailure(mutation: Mutation, thrown: unknown): Outcome {
    const error = storageError(thrown, 'the write was undone')
    const isHelped =
      (error.code === 'STORAGE_FULL' && !adds(mutation) && this.#ballast.release()) ||
      (sqliteCode(thrown) === 'SQLITE_CORRUPT_INDEX' && this.#rebuildIndexes(mutation))
    if (!isHelped) return { error }
    try {
      return { result: this.#transact([mutation])[0] }
    } catch (again) {
      return { error: storageError(again, 'the write was undone') }
    }
  }

  #transact(group: readonly Mutation[]): Result[] {
    return this.#database.transaction(() => group.map((mutation) => this.#apply(mutation))).immediate()
  }

  #apply(mutation: Mutation): Result {
    if (mutation.kind === 'takeExpired') {
      return this.#table(mutation.table).takeExpired(mutation.limit, mutation.nowUnixMs)
    }
    for (const change of mutation.changes) this.#table(change.table).apply(change)
    return undefined
  }

  /** A damaged expiry is missing in the index, so that its row can't be replaced before the index is made anew. */
  #rebuildIndexes(mutation: Mutation): boolean {
    const tables =
      mutation.kind === 'write' ? mutation.changes.map((change) => change.table) : [mutation.table]
    try {
      for (const table of new Set(tables)) this.#database.exec(`REINDEX ${sqlName(table)}`)
      return true
    } catch {
      return false
    }
  }

  #table(name: TableName): SqliteTable {
    const table = this.#tables.get(name)
    if (table === undefined) throw new EspalierError('INVALID_ARGUMENT', 'there is no such table')
    return table
  }
}

function adds(mutation: Mutation): boolean {
  return mutation.kind === 'write' && mutation.changes.some((change) => change.value !== undefined)
}
