import type { Database } from 'better-sqlite3'
import { EspalierError } from '../base/error.ts'

/** `Espa` as SQLite's application id: tells our file from any other SQLite database. */
export const APPLICATION_ID = 0x45737061

/** One step forward; runs whole or not at all. */
export interface Migration {
  /** What it brings, for people who read the log of a failed start. */
  readonly name: string
  readonly statements: readonly string[]
}

/** Step `n` leads to `user_version` n + 1. Append only: a step that was released never changes. */
export const MIGRATIONS: readonly Migration[] = [
  {
    name: 'six tables of rows with expiry and hash',
    statements: ['records', 'public_keys', 'peers', 'shards', 'objects', 'meta'].flatMap((table) => [
      // WITHOUT ROWID keeps the rows in key order, so that a scan is one walk.
      `CREATE TABLE ${table} (
         key BLOB NOT NULL PRIMARY KEY,
         value BLOB NOT NULL,
         expires_unix_ms INTEGER,
         hash BLOB NOT NULL
       ) STRICT, WITHOUT ROWID`,
      `CREATE INDEX ${table}_expiry ON ${table} (expires_unix_ms) WHERE expires_unix_ms IS NOT NULL`,
    ]),
  },
]

/**
 * Brings the file to the newest schema, each step in a transaction of its own that also moves `user_version`:
 * a process killed in between finds either the old or the new schema. Throws `STORAGE_CORRUPT` when
 * a step does not fit what the file holds.
 */
export function migrate(database: Database, steps: readonly Migration[] = MIGRATIONS): void {
  for (let version = schemaVersion(database); version < steps.length; version++) {
    const step = steps[version]
    if (step === undefined) return
    database
      .transaction(() => {
        for (const statement of step.statements) runStatement(database, statement, step.name)
        database.pragma(`application_id = ${APPLICATION_ID}`)
        database.pragma(`user_version = ${version + 1}`)
      })
      .immediate()
  }
}

/** The number of steps that the file has behind it. */
export function schemaVersion(database: Database): number {
  return Number(database.pragma('user_version', { simple: true }))
}

function runStatement(database: Database, statement: string, step: string): void {
  try {
    database.exec(statement)
  } catch (thrown) {
    // SQLITE_ERROR is "table already exists" and the like: the version number is not that of the content.
    if (thrown instanceof Error && 'code' in thrown && thrown.code === 'SQLITE_ERROR') {
      throw new EspalierError('STORAGE_CORRUPT', `the schema does not fit its version: ${step}`, {
        cause: thrown,
      })
    }
    throw thrown
  }
}
