import { decodeBase32, encodeBase32 } from '../base/base32.ts'
import { toHex } from '../base/bytes.ts'
import { EspalierError } from '../base/error.ts'
import type { Log } from '../base/log.ts'
import { MAX_ROWS } from './checks.ts'
import type { ShardFolder } from './shard-folder.ts'
import type { ShardIndex } from './shard-index.ts'
import { readShardRow } from './shard-row.ts'
import type { Row, ShardHeader, Store } from './store.ts'

/** What the start has to bring together. */
interface Sides {
  readonly folder: ShardFolder
  readonly store: Store
  readonly index: ShardIndex
  readonly log: Log
  readonly nowUnixMs: number
}

/**
 * Makes files and rows agree after a crash, and fills the index. A temporary file is removed; a row without
 * file is removed; a file without row is set aside, not deleted: the row may be what was lost.
 */
export async function reconcile(sides: Sides): Promise<void> {
  const { folder } = sides
  const onDisk = new Set(await folder.prefixes())
  const rows = new RowWalk(sides)
  for (let number = 0; number < 32; number++) {
    const prefix = prefixOf(number)
    const promised = await rows.takeWhile(prefix)
    if (onDisk.has(prefix) || promised.length > 0) await reconcilePrefix(sides, { prefix, promised })
  }
}

async function reconcilePrefix(
  { folder, store, index, log, nowUnixMs }: Sides,
  { prefix, promised }: { readonly prefix: string; readonly promised: readonly ShardHeader[] },
): Promise<void> {
  const { temporary, shards, foreign } = await folder.list(prefix)
  for (const name of temporary) await folder.removeTemporary(prefix, name)
  const unclaimed = new Set(shards)
  for (const { id, sizeBytes, expiresUnixMs } of promised) {
    const name = encodeBase32(id)
    if (unclaimed.delete(name)) {
      index.set(name, { sizeBytes, expiresUnixMs, isDamaged: false })
    } else {
      log.warn('a shard is gone: its row had no file', { shard: name })
      await store.write([{ table: 'shards', key: id, value: undefined }])
    }
  }
  for (const name of unclaimed) {
    log.warn('a file without a row was set aside', { shard: name })
    await folder.quarantine(name, nowUnixMs)
  }
  for (const name of foreign) log.warn('a file that is not ours lies among the shards', { prefix, name })
}

/** The rows of table `shards` in their order, a page at a time; rows that can't be read are removed. */
class RowWalk {
  readonly #sides: Sides
  #page: Row[] = []
  #from: Uint8Array | undefined
  #isLast = false

  constructor(sides: Sides) {
    this.#sides = sides
  }

  /** The rows up to the first whose name starts otherwise. Bounded by the shards that were accepted. */
  async takeWhile(prefix: string): Promise<ShardHeader[]> {
    const taken: ShardHeader[] = []
    for (let row = await this.#peek(); row !== undefined; row = await this.#peek()) {
      const header = readShardRow(row)
      if (header !== undefined && !encodeBase32(header.id).startsWith(prefix)) break
      this.#page.shift()
      if (header === undefined) await this.#drop(row.key, 'it cannot be read')
      else taken.push(header)
    }
    return taken
  }

  async #peek(): Promise<Row | undefined> {
    if (this.#page.length === 0 && !this.#isLast) {
      this.#page = [...(await this.#readPage())]
      this.#isLast = this.#page.length < MAX_ROWS
      const last = this.#page.at(-1)
      // The next key there can be: the last one with a zero byte behind it.
      if (last !== undefined) this.#from = Uint8Array.of(...last.key, 0)
    }
    return this.#page[0]
  }

  /** One damaged row must not keep a node from starting: its shard is lost, the others are not. */
  async #readPage(): Promise<readonly Row[]> {
    const dropped = new Set<string>()
    for (;;) {
      try {
        return await this.#sides.store.scan('shards', {
          limit: MAX_ROWS,
          ...(this.#from === undefined ? {} : { from: this.#from }),
        })
      } catch (thrown) {
        const key = damagedKeyOf(thrown)
        // Twice the same: the row can't be removed by its key.
        if (key === undefined || dropped.has(toHex(key))) throw thrown
        dropped.add(toHex(key))
        await this.#drop(key, 'it is damaged')
      }
    }
  }

  async #drop(key: Uint8Array, why: string): Promise<void> {
    this.#sides.log.warn('a row of a shard was removed', { key: toHex(key), why })
    await this.#sides.store.write([{ table: 'shards', key, value: undefined }])
  }
}

function damagedKeyOf(thrown: unknown): Uint8Array | undefined {
  if (!(thrown instanceof EspalierError) || thrown.code !== 'STORAGE_CORRUPT') return undefined
  const { key } = thrown.details
  return typeof key === 'string' && key.length > 0 ? Uint8Array.from(Buffer.from(key, 'hex')) : undefined
}

/** The character that stands for the first five bits `number`; their order is that of the ids. */
function prefixOf(number: number): string {
  return encodeBase32(Uint8Array.of(number << 3)).slice(0, 1)
}

/** The id that a file's name spells. */
export function idOf(name: string): Uint8Array {
  return decodeBase32(name) ?? new Uint8Array()
}
