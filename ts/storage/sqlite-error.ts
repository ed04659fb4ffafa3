import { EspalierError, type ErrorCode } from '../base/error.ts'

// What the disk says when it takes no more: ENOSPC is SQLITE_FULL; a file-size limit, a disk quota and a write
// that fails half-way are input/output errors, after which reading goes on and a later write may succeed.
const FULL = /^SQLITE_(FULL|IOERR_(WRITE|FSYNC|DIR_FSYNC|TRUNCATE|SHMSIZE|SHMOPEN|DELETE))$/
const BUSY = /^SQLITE_(BUSY|LOCKED|PROTOCOL)/
const UNUSABLE = /^SQLITE_(CANTOPEN|PERM|READONLY|AUTH)/

/** The typed error for anything that better-sqlite3 throws; `details.sqlite` keeps its own code. */
export function storageError(thrown: unknown, what: string): EspalierError {
  if (thrown instanceof EspalierError) return thrown
  const sqlite = sqliteCode(thrown)
  const reason = thrown instanceof Error ? thrown.message : String(thrown)
  return new EspalierError(
    isUnloadable(thrown) ? 'NATIVE_UNAVAILABLE' : codeFor(sqlite),
    `${what}: ${reason}`,
    {
      cause: thrown,
      details: sqlite === undefined ? {} : { sqlite },
    },
  )
}

/** SQLite's extended result code as text, or `undefined` for another kind of error. */
export function sqliteCode(thrown: unknown): string | undefined {
  if (!(thrown instanceof Error) || !('code' in thrown)) return undefined
  return typeof thrown.code === 'string' && thrown.code.includes('SQLITE') ? thrown.code : undefined
}

/** The addon of better-sqlite3 is missing, or built for another Node. */
function isUnloadable(thrown: unknown): boolean {
  if (!(thrown instanceof Error)) return false
  const code = 'code' in thrown ? thrown.code : undefined
  return (
    code === 'ERR_DLOPEN_FAILED' ||
    code === 'MODULE_NOT_FOUND' ||
    thrown.message.startsWith('Could not locate the bindings file')
  )
}

function codeFor(sqlite: string | undefined): ErrorCode {
  // better-sqlite3 throws a plain TypeError when the folder of the file is missing.
  if (sqlite === undefined || UNUSABLE.test(sqlite)) return 'INVALID_ARGUMENT'
  if (FULL.test(sqlite)) return 'STORAGE_FULL'
  if (BUSY.test(sqlite)) return 'STORAGE_BUSY'
  // CORRUPT, NOTADB, IOERR_READ, and ERROR: our statements are right, so a schema that refuses them is not ours.
  return 'STORAGE_CORRUPT'
}
