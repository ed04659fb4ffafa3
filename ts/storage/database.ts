import { copyBytes } from '../base/bytes.ts'
import { systemClock, type Clock } from '../base/clock.ts'
import { EspalierError } from '../base/error.ts'
import { checkChanges, checkKey, checkLimit, checkTable, closedError } from './checks.ts'
import type { Call, Result } from './database-messages.ts'
import { DatabaseThread } from './database-thread.ts'
import type { Change, Row, Store, TableName } from './store.ts'

const BALLAST_BYTES = 8 * 1024 * 1024

/** How a database is opened. */
export interface DatabaseOptions {
  /** Decides what has expired. Default: the system's clock. */
  readonly clock?: Clock
  /**
   * Room kept in `<path>-ballast`, so that a full disk can still delete; writes are refused with `STORAGE_FULL`
   * while the disk has less than twice as much free and the file is gone. Default 8,388,608; 0 for none.
   */
  readonly ballastBytes?: number
}

/**
 * Opens the SQLite database at `path`, or makes it, in a thread of its own. Every write is on disk (fsync)
 * before it is acknowledged; every row is checked before it is handed out. One process at a time.
 * The open database keeps the process alive only while a call is pending.
 *
 * Codes: `STORAGE_CORRUPT` (damaged, or not our database; the file stays as it is), `UNSUPPORTED` (made by a
 * newer release), `STORAGE_BUSY` (another process has it open), `STORAGE_FULL`, `INVALID_ARGUMENT`.
 */
export async function openDatabase(path: string, options: DatabaseOptions = {}): Promise<Store> {
  const { clock = systemClock, ballastBytes = BALLAST_BYTES } = options
  if (typeof path !== 'string' || path === '' || path.startsWith(':')) {
    throw new EspalierError('INVALID_ARGUMENT', 'path names a file')
  }
  if (!Number.isSafeInteger(ballastBytes) || ballastBytes < 0) {
    throw new EspalierError('INVALID_ARGUMENT', `ballastBytes is a whole number from 0, not ${ballastBytes}`)
  }
  return new WorkerStore(await DatabaseThread.start({ path, ballastBytes }), { clock })
}

/** Checks and copies what callers give, and hands it to the thread. */
class WorkerStore implements Store {
  readonly #thread: DatabaseThread
  readonly #clock: Clock
  #closing: Promise<void> | undefined

  constructor(thread: DatabaseThread, { clock }: { readonly clock: Clock }) {
    this.#thread = thread
    this.#clock = clock
  }

  async get(table: TableName, key: Uint8Array): Promise<Row | undefined> {
    checkTable(table)
    checkKey(key)
    const result = await this.#call({
      kind: 'get',
      table,
      key: copyBytes(key),
      nowUnixMs: this.#clock.unixMs(),
    })
    return result as Row | undefined
  }

  async write(changes: readonly Change[]): Promise<void> {
    checkChanges(changes)
    await this.#call({ kind: 'write', changes: changes.map(copyOf) })
  }

  async scan(
    table: TableName,
    { from, limit }: { readonly from?: Uint8Array; readonly limit: number },
  ): Promise<readonly Row[]> {
    checkTable(table)
    checkLimit(limit)
    if (from !== undefined) checkKey(from)
    const nowUnixMs = this.#clock.unixMs()
    const result = await this.#call({ kind: 'scan', table, from: from && copyBytes(from), limit, nowUnixMs })
    return result as readonly Row[]
  }

  async takeExpired(table: TableName, { limit }: { readonly limit: number }): Promise<readonly Row[]> {
    checkTable(table)
    checkLimit(limit)
    const nowUnixMs = this.#clock.unixMs()
    return (await this.#call({ kind: 'takeExpired', table, limit, nowUnixMs })) as readonly Row[]
  }

  async count(table: TableName): Promise<number> {
    checkTable(table)
    const nowUnixMs = this.#clock.unixMs()
    return (await this.#call({ kind: 'count', table, nowUnixMs })) as number
  }

  get pendingCalls(): number {
    return this.#thread.pendingCalls
  }

  close(): Promise<void> {
    this.#closing ??= this.#thread.stop()
    return this.#closing
  }

  #call(call: Call): Promise<Result> {
    if (this.#closing !== undefined) throw closedError()
    return this.#thread.call(call)
  }
}

/** A copy with arrays of its own: structured cloning would copy the whole buffer behind a subarray. */
function copyOf({ table, key, value, expiresUnixMs }: Change): Change {
  return {
    table,
    key: copyBytes(key),
    value: value === undefined ? undefined : copyBytes(value),
    ...(expiresUnixMs === undefined ? {} : { expiresUnixMs }),
  }
}
