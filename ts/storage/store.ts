/** The tables of the local store, one owner each. */
export type TableName =
  /** dht: signed records that this node stores for others. */
  | 'records'
  /** dht: ML-DSA public keys by NodeId. */
  | 'publicKeys'
  /** dht: the whole routing table, re-validated after a restart. */
  | 'peers'
  /** storage: one row for every shard file. */
  | 'shards'
  /** objects: what this node has put, so that it can delete and republish. */
  | 'objects'
  /** node: sequence numbers, counters, settings. */
  | 'meta'

/** One row as it is read. */
export interface Row {
  readonly key: Uint8Array
  readonly value: Uint8Array
  readonly expiresUnixMs?: number
}

/** One step of an atomic write; `value: undefined` deletes. */
export interface Change {
  readonly table: TableName
  /** 1 to 64 bytes. */
  readonly key: Uint8Array
  /** At most 65,536 bytes. */
  readonly value: Uint8Array | undefined
  /** From this moment `get` and `scan` no longer see the row. */
  readonly expiresUnixMs?: number
}

/**
 * A durable ordered key-value store. SQLite in a worker and an in-memory one pass the same contract
 * suite. Every row carries a hash of itself: a flipped bit is `STORAGE_CORRUPT`, never a wrong answer.
 */
export interface Store {
  get(table: TableName, key: Uint8Array): Promise<Row | undefined>
  /** All changes or none; resolves after they are on disk (fsync). Codes: `STORAGE_FULL`, `STORAGE_CORRUPT`, `CLOSED`, `INVALID_ARGUMENT`. */
  write(changes: readonly Change[]): Promise<void>
  /** Rows with `from <= key`, ascending by bytes, at most `limit` (1 to 1,000). */
  scan(
    table: TableName,
    range: { readonly from?: Uint8Array; readonly limit: number },
  ): Promise<readonly Row[]>
  /** Deletes up to `limit` expired rows and returns them. */
  takeExpired(table: TableName, options: { readonly limit: number }): Promise<readonly Row[]>
  count(table: TableName): Promise<number>
  /** Calls that are not answered yet. */
  readonly pendingCalls: number
  close(): Promise<void>
}

/** Content-addressed bytes of a peer's object on this node's disk. */
export interface ShardStore {
  /** Bytes kept now, and the most that may be kept. */
  usage(): { readonly usedBytes: number; readonly quotaBytes: number; readonly shards: number }
  /**
   * Takes exactly `sizeBytes` from `source` (a piece need not stay valid after the next is asked for), checks that their BLAKE3 hash is `id`, and resolves when
   * file, directory and row are on disk. A shard that is already there is success and may extend its expiry.
   * Codes: `STORAGE_FULL` (the byte over the quota, or no room on the disk), `INVALID_ARGUMENT` (size or hash differs),
   * `STORAGE_CORRUPT`, `ABORTED` (the source failed), `CLOSED`.
   */
  put(shard: ShardHeader, source: AsyncIterable<Uint8Array>): Promise<void>
  has(id: Uint8Array): Promise<boolean>
  /** The whole shard, verified against its id before the first byte is handed out; `undefined` when not here; `STORAGE_CORRUPT` when damaged. */
  read(id: Uint8Array): Promise<Uint8Array | undefined>
  /** Whether there was one. */
  delete(id: Uint8Array): Promise<boolean>
  /** Removes shards past their expiry; answers how many. */
  removeExpired(): Promise<number>
  close(): Promise<void>
}

/** What a shard store has to know before the bytes. */
export interface ShardHeader {
  /** BLAKE3 of the bytes, 32 bytes. */
  readonly id: Uint8Array
  /** 0 to 4,194,304. */
  readonly sizeBytes: number
  readonly expiresUnixMs: number
}
