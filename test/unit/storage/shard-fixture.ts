import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { encodeBase32 } from '../../../ts/base/base32.ts'
import { silentLog, type Log } from '../../../ts/base/log.ts'
import { hash } from '../../../ts/native/hash.ts'
import { memoryStore } from '../../../ts/storage/memory.ts'
import { ShardFiles } from '../../../ts/storage/shard-files.ts'
import type { ShardHeader, Store } from '../../../ts/storage/store.ts'
import { SettableClock } from '../../contract/store.ts'

export const HOUR_MS = 3_600_000
export const QUOTA_BYTES = 1_000

/** A shard and what is said of it. */
export interface Shard {
  readonly header: ShardHeader
  readonly bytes: Uint8Array
}

/** Shard files in a folder of their own, over a store in memory that outlives a reopening. */
export class ShardFixture {
  readonly clock = new SettableClock()
  readonly directory = mkdtempSync(join(tmpdir(), 'espalier-shards-'))
  readonly store: Store = memoryStore({ clock: this.clock })
  readonly warnings: string[] = []
  #shards: ShardFiles | undefined

  static async open(): Promise<ShardFixture> {
    const fixture = new ShardFixture()
    await fixture.reopen()
    return fixture
  }

  get shards(): ShardFiles {
    return this.#shards!
  }

  async reopen({ quotaBytes = QUOTA_BYTES } = {}): Promise<void> {
    await this.#shards?.close()
    const { directory, store, clock } = this
    const log: Log = { ...silentLog, warn: (message) => this.warnings.push(message) }
    this.#shards = await ShardFiles.open({ directory, store, quotaBytes, clock, log })
  }

  async close(): Promise<void> {
    await this.#shards?.close()
    await this.store.close()
    rmSync(this.directory, { recursive: true })
  }

  shardOf(text: string, livesMs = HOUR_MS): Shard {
    const bytes = Uint8Array.from(Buffer.from(text))
    const expiresUnixMs = this.clock.now + livesMs
    return { bytes, header: { id: hash(bytes), sizeBytes: bytes.byteLength, expiresUnixMs } }
  }

  put({ header, bytes }: Shard): Promise<void> {
    return this.shards.put(header, pieces([bytes]))
  }

  /** Every file below the directory. */
  files(): string[] {
    return readdirSync(this.directory, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(this.directory.length + 1))
      .sort()
  }

  /** Where the file of a shard lies. */
  pathOf(shard: Shard): string {
    return join(this.directory, fileOf(shard))
  }
}

/** The name of a shard's file below the directory. */
export function fileOf({ header }: Shard): string {
  const name = encodeBase32(header.id)
  return `${name.slice(0, 1)}/${name}`
}

export async function* pieces(chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  for (const chunk of chunks) yield await Promise.resolve(chunk)
}

export async function* failingAfter(...chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* pieces(chunks)
  throw new Error('the peer went away')
}

/** A source that waits before its last byte until the test lets it go on. */
export class Gate {
  readonly reached: Promise<void>
  #reach: () => void = () => undefined
  #go: () => void = () => undefined
  readonly #opened: Promise<void>

  constructor() {
    this.reached = new Promise((resolve) => (this.#reach = resolve))
    this.#opened = new Promise((resolve) => (this.#go = resolve))
  }

  open(): void {
    this.#go()
  }

  async *hold(chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
    this.#reach()
    await this.#opened
    yield* pieces(chunks)
  }
}
