import { statSync } from 'node:fs'
import Sqlite, { type Database } from 'better-sqlite3'
import { EspalierError } from '../base/error.ts'
import { APPLICATION_ID, migrate, MIGRATIONS, schemaVersion } from './migrations.ts'
import { storageError } from './sqlite-error.ts'

/** How long an open waits for a process that is just ending. */
const BUSY_TIMEOUT_MS = 1_000
/** The write-ahead log is cut back to this after a checkpoint; a burst must not keep the disk. */
const JOURNAL_LIMIT_BYTES = 4 * 1024 * 1024
/** The smallest page there is. SQLite takes a shorter file for an empty database and writes over it. */
const MIN_FILE_BYTES = 512
/** `PRAGMA synchronous` as a number. */
const FULL = 2

/**
 * Opens the database file, or makes it. A file that is damaged or not ours is left as it is.
 * Codes: `STORAGE_CORRUPT` (damaged, not a database, another program's), `UNSUPPORTED` (a newer schema, or
 * a file system that keeps no write-ahead log), `STORAGE_BUSY` (another process has it), `STORAGE_FULL`,
 * `INVALID_ARGUMENT` (no such folder, no permission).
 */
export function openSqliteFile(path: string): Database {
  let database: Database | undefined
  try {
    refuseFragment(path)
    database = new Sqlite(path, { timeout: BUSY_TIMEOUT_MS })
    // One owner for as long as it is open: a second process can't write behind the checks, and no -shm file is needed.
    database.pragma('locking_mode = EXCLUSIVE')
    // All reading comes before the first pragma that may write.
    refuseForeign(database)
    checkStructure(database)
    makeDurable(database)
    migrate(database)
    return database
  } catch (thrown) {
    database?.close()
    throw storageError(thrown, 'the database cannot be opened')
  }
}

function refuseFragment(path: string): void {
  const sizeBytes = statSync(path, { throwIfNoEntry: false })?.size ?? 0
  if (sizeBytes > 0 && sizeBytes < MIN_FILE_BYTES) {
    throw new EspalierError('STORAGE_CORRUPT', `a file of ${sizeBytes} bytes is no database`)
  }
}

function refuseForeign(database: Database): void {
  const version = schemaVersion(database)
  const applicationId = database.pragma('application_id', { simple: true })
  const objects = database.prepare('SELECT count(*) FROM sqlite_schema').pluck().get()
  if (version === 0 && applicationId === 0 && objects === 0) return
  if (applicationId !== APPLICATION_ID) {
    throw new EspalierError('STORAGE_CORRUPT', 'the file is not a database of Espalier')
  }
  if (version > MIGRATIONS.length) {
    throw new EspalierError(
      'UNSUPPORTED',
      `the database has schema ${version}; this release knows up to ${MIGRATIONS.length}`,
      { details: { found: version, newest: MIGRATIONS.length } },
    )
  }
}

function checkStructure(database: Database): void {
  const verdict = database.pragma('quick_check(1)', { simple: true })
  if (verdict !== 'ok') {
    throw new EspalierError('STORAGE_CORRUPT', `the database is damaged: ${String(verdict).slice(0, 200)}`)
  }
}

function makeDurable(database: Database): void {
  const mode = database.pragma('journal_mode = WAL', { simple: true })
  // better-sqlite3 is compiled so that a WAL file opened again has synchronous NORMAL, which loses
  // acknowledged writes when the power goes: it has to be set on every open, and is read back.
  database.pragma('synchronous = FULL')
  if (mode !== 'wal' || database.pragma('synchronous', { simple: true }) !== FULL) {
    throw new EspalierError('UNSUPPORTED', `the file system gives no durable log: ${String(mode)}`)
  }
  database.pragma(`journal_size_limit = ${JOURNAL_LIMIT_BYTES}`)
}
