import { EspalierError } from '../base/error.ts'
import type { Change, TableName } from './store.ts'

/** Every table, in the order that the row hash numbers them: append only. */
export const TABLE_NAMES = ['records', 'publicKeys', 'peers', 'shards', 'objects', 'meta'] as const

/** Longest key. */
export const MAX_KEY_BYTES = 64
/** Longest value. */
export const MAX_VALUE_BYTES = 65_536
/** Most rows that one `scan` or `takeExpired` answers. */
export const MAX_ROWS = 1_000
/** Most changes of one `write`; with the value limit, one transaction stays below 64 MiB. */
export const MAX_CHANGES = 1_000

const NAMES: ReadonlySet<string> = new Set(TABLE_NAMES)

/** Throws `INVALID_ARGUMENT` unless `table` is one of the tables. */
export function checkTable(table: TableName): void {
  if (!NAMES.has(table)) throw invalid(`there is no table ${JSON.stringify(table).slice(0, 32)}`)
}

/** Throws `INVALID_ARGUMENT` unless `key` has 1 to 64 bytes. */
export function checkKey(key: Uint8Array): void {
  checkBytes(key, { what: 'key', minBytes: 1, maxBytes: MAX_KEY_BYTES })
}

/** Throws `INVALID_ARGUMENT` unless `limit` is 1 to 1,000. */
export function checkLimit(limit: number): void {
  if (!Number.isSafeInteger(limit) || limit < 1 || limit > MAX_ROWS) {
    throw invalid(`limit is 1 to ${MAX_ROWS}, not ${limit}`)
  }
}

/** Throws `INVALID_ARGUMENT` unless all `changes` could be written; checks before anything is copied. */
export function checkChanges(changes: readonly Change[]): void {
  if (changes.length > MAX_CHANGES) {
    throw invalid(`a write has at most ${MAX_CHANGES} changes, not ${changes.length}`)
  }
  for (const change of changes) {
    checkTable(change.table)
    checkKey(change.key)
    if (change.value !== undefined) {
      checkBytes(change.value, { what: 'value', minBytes: 0, maxBytes: MAX_VALUE_BYTES })
    }
    if (change.expiresUnixMs !== undefined) checkInstant(change.expiresUnixMs)
  }
}

/** Throws `INVALID_ARGUMENT` unless `unixMs` is a safe integer from 0. */
export function checkInstant(unixMs: number): void {
  if (!Number.isSafeInteger(unixMs) || unixMs < 0) {
    throw invalid(`expiresUnixMs is a whole number of milliseconds from 0, not ${unixMs}`)
  }
}

/** Throws `INVALID_ARGUMENT` unless `bytes` is a byte array of a length within the bounds. */
export function checkBytes(
  bytes: unknown,
  {
    what,
    minBytes,
    maxBytes,
  }: { readonly what: string; readonly minBytes: number; readonly maxBytes: number },
): asserts bytes is Uint8Array {
  if (!(bytes instanceof Uint8Array)) throw invalid(`${what} is a Uint8Array, not ${typeof bytes}`)
  if (bytes.byteLength < minBytes || bytes.byteLength > maxBytes) {
    throw invalid(`${what} has ${minBytes} to ${maxBytes} bytes, not ${bytes.byteLength}`)
  }
}

/** An `INVALID_ARGUMENT`. */
export function invalid(message: string): EspalierError {
  return new EspalierError('INVALID_ARGUMENT', message)
}

/** What every call answers once its store has been closed. */
export function closedError(cause?: unknown): EspalierError {
  return new EspalierError('CLOSED', 'the store is closed', cause === undefined ? {} : { cause })
}
