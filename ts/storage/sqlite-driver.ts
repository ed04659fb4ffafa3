import { createRequire } from 'node:module'
import Sqlite from 'better-sqlite3'
import { EspalierError } from '../base/error.ts'
import { storageError } from './sqlite-error.ts'

/** From this release on better-sqlite3 calls functions of Node-API 10, which Node.js has from 22.14 on. */
const NODE_API_10_SINCE = 13

/** Which better-sqlite3 is installed, and what the Node below it offers. */
export interface SqliteDriver {
  /** As in its package.json: `13.2.0`. */
  readonly version: string
  readonly nodeApi: number
}

/**
 * Refuses a better-sqlite3 that this Node.js can't run: it would not fail to load but crash the process. npm chooses
 * the right one by itself; pnpm takes the newest, and a lock file that was made under another Node keeps its choice.
 *
 * Code: `NATIVE_UNAVAILABLE`.
 */
export function checkSqliteDriver({ version, nodeApi }: SqliteDriver): void {
  if (Number.parseInt(version, 10) < NODE_API_10_SINCE || nodeApi >= 10) return
  throw new EspalierError(
    'NATIVE_UNAVAILABLE',
    `better-sqlite3 ${version} needs Node.js 22.14 or newer; install better-sqlite3@12 beside espalier`,
    { details: { found: version } },
  )
}

/** The one that `import 'better-sqlite3'` gives. */
export function installedSqliteDriver(): SqliteDriver {
  const manifest = createRequire(import.meta.url)('better-sqlite3/package.json') as {
    readonly version?: unknown
  }
  return { version: String(manifest.version), nodeApi: Number(process.versions['napi'] ?? 0) }
}

/**
 * Has the addon of better-sqlite3 registered in this thread, which its first database does. Codes:
 * `NATIVE_UNAVAILABLE` (not one for this Node.js), and what `storageError` makes of a failure to load.
 */
export function loadSqliteDriver(): void {
  checkSqliteDriver(installedSqliteDriver())
  try {
    new Sqlite(':memory:').close()
  } catch (thrown) {
    throw storageError(thrown, 'SQLite cannot be loaded')
  }
}
