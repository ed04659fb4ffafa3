import { copyBytes } from '../base/bytes.ts'
import type { Clock } from '../base/clock.ts'
import { EspalierError } from '../base/error.ts'
import type { Log } from '../base/log.ts'
import { closedError, invalid } from './checks.ts'
import { fileError } from './file-error.ts'
import { KeyedLock } from './keyed-lock.ts'
import { ShardFolder } from './shard-folder.ts'
import { ShardIndex } from './shard-index.ts'
import { idOf, reconcile } from './shard-reconcile.ts'
import { checkHeader, shardChange, shardName } from './shard-row.ts'
import type { ShardHeader, ShardStore, Store } from './store.ts'

/** How long a file that no row spoke of is kept aside. */
const QUARANTINE_MS = 24 * 60 * 60 * 1_000
/** Shards removed at the same time: their rows share commits. */
const REMOVE_AT_ONCE = 64

/** What {@link ShardFiles} lives on. */
export interface ShardFilesOptions {
  /** Made where it is missing; for this store alone. */
  readonly directory: string
  /** Holds the rows; it is not closed with the shards. */
  readonly store: Store
  /** Most bytes of shards, whole number from 0. */
  readonly quotaBytes: number
  readonly clock: Clock
  readonly log: Log
}

/** Shards as files named by their id, each with a row. What is acknowledged survives a crash and a power failure. */
export class ShardFiles implements ShardStore {
  readonly #folder: ShardFolder
  readonly #store: Store
  readonly #clock: Clock
  readonly #log: Log
  readonly #index: ShardIndex
  readonly #locks = new KeyedLock()
  /** Shards coming in, told when the store closes. Bounded by the quota's count of shards. */
  readonly #incoming = new Set<AbortController>()
  /** Calls under way. Bounded by the callers' concurrency. */
  readonly #running = new Set<Promise<unknown>>()
  #isClosed = false

  /** Makes files and rows agree, then opens. Codes: `INVALID_ARGUMENT`, `STORAGE_FULL`, `STORAGE_CORRUPT`, `CLOSED`. */
  static async open(options: ShardFilesOptions): Promise<ShardFiles> {
    const { directory, store, quotaBytes, clock, log } = options
    if (!Number.isSafeInteger(quotaBytes) || quotaBytes < 0) {
      throw invalid(`quotaBytes is a whole number from 0, not ${quotaBytes}`)
    }
    const folder = new ShardFolder(directory)
    const index = new ShardIndex({ quotaBytes })
    try {
      const nowUnixMs = clock.unixMs()
      await folder.prepare()
      await folder.purgeQuarantine(nowUnixMs - QUARANTINE_MS)
      await reconcile({ folder, store, index, log, nowUnixMs })
    } catch (thrown) {
      throw fileError(thrown, { code: 'INVALID_ARGUMENT', what: `${directory} cannot hold shards` })
    }
    return new ShardFiles(options, { folder, index })
  }

  private constructor(
    { store, clock, log }: ShardFilesOptions,
    { folder, index }: { readonly folder: ShardFolder; readonly index: ShardIndex },
  ) {
    this.#folder = folder
    this.#index = index
    this.#store = store
    this.#clock = clock
    this.#log = log
  }

  usage(): { readonly usedBytes: number; readonly quotaBytes: number; readonly shards: number } {
    return this.#index.usage()
  }

  /** As {@link ShardStore.put}; also `CLOSED`, and `ABORTED` when the source fails. A known shard's source isn't read. */
  async put(header: ShardHeader, source: AsyncIterable<Uint8Array>): Promise<void> {
    const name = shardName(header.id)
    checkHeader(header)
    // A copy: the caller's id must not change under the file that is named by it.
    const own = { ...header, id: copyBytes(header.id) }
    return this.#track(async () => {
      if (await this.#locks.run(name, () => this.#renew(name, own))) return
      const release = this.#index.reserve(own.sizeBytes)
      try {
        const temporary = await this.#receive(name, own, source)
        let isPlaced = false
        try {
          isPlaced = await this.#locks.run(name, () =>
            this.#accept(name, { header: own, temporary, release }),
          )
        } finally {
          if (!isPlaced) await this.#folder.discard(temporary)
        }
      } finally {
        release()
      }
    })
  }

  async has(id: Uint8Array): Promise<boolean> {
    const name = shardName(id)
    return this.#track(() => {
      const entry = this.#index.live(name, this.#clock.unixMs())
      return Promise.resolve(entry !== undefined && !entry.isDamaged)
    })
  }

  async read(id: Uint8Array): Promise<Uint8Array | undefined> {
    const name = shardName(id)
    return this.#track(async () => {
      if (this.#index.live(name, this.#clock.unixMs()) === undefined) return undefined
      const bytes = (await this.#load(name)) ?? (await this.#locks.run(name, () => this.#verified(name)))
      // Deleted while it was being read: it is not here, rather than damaged.
      if (bytes !== undefined || this.#index.get(name) === undefined) return bytes
      throw new EspalierError('STORAGE_CORRUPT', 'the shard on disk is damaged', { details: { shard: name } })
    })
  }

  async delete(id: Uint8Array): Promise<boolean> {
    const name = shardName(id)
    return this.#track(() => this.#locks.run(name, () => this.#remove(name)))
  }

  async removeExpired(): Promise<number> {
    return this.#track(async () => {
      const nowUnixMs = this.#clock.unixMs()
      await this.#folder.purgeQuarantine(nowUnixMs - QUARANTINE_MS)
      const names = this.#index.expired(nowUnixMs)
      let removed = 0
      for (let at = 0; at < names.length; at += REMOVE_AT_ONCE) {
        const some = names.slice(at, at + REMOVE_AT_ONCE)
        const answers = await Promise.all(some.map((name) => this.#removeIfExpired(name, nowUnixMs)))
        removed += answers.filter(Boolean).length
      }
      return removed
    })
  }

  /** Gives up what is coming in, waits for the rest. Never rejects. */
  async close(): Promise<void> {
    this.#isClosed = true
    for (const controller of this.#incoming) controller.abort()
    await Promise.allSettled(this.#running)
  }

  /** Whether the shard is here already, checked on disk: an acknowledgement must not rest on a rotten file. */
  async #renew(name: string, header: ShardHeader): Promise<boolean> {
    const entry = this.#index.get(name)
    if (entry === undefined) return false
    if ((await this.#verified(name)) === undefined) {
      // Its replacement is asked for room like any other shard.
      await this.#remove(name)
      return false
    }
    if (entry.sizeBytes !== header.sizeBytes) {
      throw invalid(`the shard has ${entry.sizeBytes} bytes, not ${header.sizeBytes}`)
    }
    if (header.expiresUnixMs > entry.expiresUnixMs) {
      await this.#store.write([shardChange(header)])
      this.#index.set(name, { ...entry, expiresUnixMs: header.expiresUnixMs, isDamaged: false })
    }
    return true
  }

  async #receive(name: string, header: ShardHeader, source: AsyncIterable<Uint8Array>): Promise<string> {
    const controller = new AbortController()
    this.#incoming.add(controller)
    try {
      return await this.#folder.receive(name, { header, source, signal: controller.signal })
    } finally {
      this.#incoming.delete(controller)
    }
  }

  /** Whether the temporary file is in its place now. */
  async #accept(
    name: string,
    shard: { readonly header: ShardHeader; readonly temporary: string; readonly release: () => void },
  ): Promise<boolean> {
    const { header, temporary, release } = shard
    // Another put of the same shard may have been faster.
    if (await this.#renew(name, header)) return false
    try {
      await this.#folder.place(name, temporary)
      await this.#store.write([shardChange(header)])
    } catch (thrown) {
      // With CLOSED nobody knows whether the row is there: the next start will see.
      if (!(thrown instanceof EspalierError && thrown.code === 'CLOSED')) await this.#folder.remove(name)
      throw thrown
    }
    release()
    const { sizeBytes, expiresUnixMs } = header
    this.#index.set(name, { sizeBytes, expiresUnixMs, isDamaged: false })
    return true
  }

  /** As `#load`, under the shard's lock: a shard that fails is marked, so that it can come again. */
  async #verified(name: string): Promise<Uint8Array | undefined> {
    const bytes = await this.#load(name)
    const entry = this.#index.get(name)
    if (bytes === undefined && entry?.isDamaged === false) {
      this.#index.set(name, { ...entry, isDamaged: true })
      this.#log.warn('a shard is damaged on disk', { shard: name })
    }
    return bytes
  }

  /** The shard's bytes if they are what its id says. */
  async #load(name: string): Promise<Uint8Array | undefined> {
    const entry = this.#index.get(name)
    if (entry === undefined) return undefined
    return this.#folder.read(name, { sizeBytes: entry.sizeBytes, hash: idOf(name) })
  }

  async #removeIfExpired(name: string, nowUnixMs: number): Promise<boolean> {
    return this.#locks.run(name, async () => {
      // It may have been renewed since it was listed.
      if (this.#index.live(name, nowUnixMs) !== undefined) return false
      return this.#remove(name)
    })
  }

  async #remove(name: string): Promise<boolean> {
    if (this.#index.get(name) === undefined) return false
    // The row first: a file without row is set aside at the next start, a row without file would be a lost shard.
    await this.#store.write([{ table: 'shards', key: idOf(name), value: undefined }])
    await this.#folder.remove(name)
    this.#index.delete(name)
    return true
  }

  async #track<T>(action: () => Promise<T>): Promise<T> {
    if (this.#isClosed) throw closedError()
    const running = action().catch((thrown: unknown) => {
      throw fileError(thrown, { code: 'STORAGE_CORRUPT', what: 'the shards cannot be reached' })
    })
    this.#running.add(running)
    try {
      return await running
    } finally {
      this.#running.delete(running)
    }
  }
}
