import { EspalierError } from '../base/error.ts'

/** One shard that is on disk. */
export interface ShardEntry {
  readonly sizeBytes: number
  readonly expiresUnixMs: number
  /** Found to differ from its id; kept until the same shard comes again or is deleted. */
  readonly isDamaged: boolean
}

/** Most shards of one node: tiny shards must not fill memory or the inodes of the disk. */
export const MAX_SHARDS = 262_144

/** Which shards are here, and how much room they and those just coming in take. Decides only; knows no disk. */
export class ShardIndex {
  readonly #quotaBytes: number
  /** Bounded by {@link MAX_SHARDS}. */
  readonly #entries = new Map<string, ShardEntry>()
  #usedBytes = 0
  #reservedBytes = 0
  #reservations = 0

  constructor({ quotaBytes }: { readonly quotaBytes: number }) {
    this.#quotaBytes = quotaBytes
  }

  usage(): { readonly usedBytes: number; readonly quotaBytes: number; readonly shards: number } {
    return { usedBytes: this.#usedBytes, quotaBytes: this.#quotaBytes, shards: this.#entries.size }
  }

  get(name: string): ShardEntry | undefined {
    return this.#entries.get(name)
  }

  /** An entry that can be handed out at `nowUnixMs`. */
  live(name: string, nowUnixMs: number): ShardEntry | undefined {
    const entry = this.#entries.get(name)
    return entry !== undefined && nowUnixMs < entry.expiresUnixMs ? entry : undefined
  }

  expired(nowUnixMs: number): string[] {
    return [...this.#entries].filter(([, entry]) => entry.expiresUnixMs <= nowUnixMs).map(([name]) => name)
  }

  set(name: string, entry: ShardEntry): void {
    this.delete(name)
    this.#entries.set(name, entry)
    this.#usedBytes += entry.sizeBytes
  }

  delete(name: string): void {
    this.#usedBytes -= this.#entries.get(name)?.sizeBytes ?? 0
    this.#entries.delete(name)
  }

  /**
   * Sets room aside for a shard before its first byte is written; the answer gives it back, once.
   * Throws `STORAGE_FULL` for the byte over the quota, counted with all that is coming in at this moment.
   */
  reserve(sizeBytes: number): () => void {
    const takenBytes = this.#usedBytes + this.#reservedBytes
    if (takenBytes + sizeBytes > this.#quotaBytes) {
      throw new EspalierError('STORAGE_FULL', 'the quota for shards of others is used up', {
        details: { takenBytes, quotaBytes: this.#quotaBytes, sizeBytes },
      })
    }
    if (this.#entries.size + this.#reservations >= MAX_SHARDS) {
      throw new EspalierError('STORAGE_FULL', `a node keeps at most ${MAX_SHARDS} shards`)
    }
    this.#reservedBytes += sizeBytes
    this.#reservations++
    let isHeld = true
    return () => {
      if (!isHeld) return
      isHeld = false
      this.#reservedBytes -= sizeBytes
      this.#reservations--
    }
  }
}
