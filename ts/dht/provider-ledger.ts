import { concatBytes, encodeUtf8, equalBytes, toHex } from '../base/bytes.ts'
import { CborReader, CborWriter } from '../base/codec.ts'
import type { Env } from '../base/env.ts'
import { EspalierError } from '../base/error.ts'
import { MAX_RECORD_BYTES, decodeRecord, encodeRecord, type SignedRecord } from '../base/record.ts'
import { rowsWithPrefix } from '../storage/rows.ts'
import type { Change, Row, Store } from '../storage/store.ts'
import { decodeProvider } from './provider-record.ts'
import { ID_BYTES, hashOfIndex, indexOf, segmentsOf, type EncodedSummary } from './provider-summary.ts'
import { MAX_DELTA_IDS } from './provider-view.ts'

/** First bytes of keys in `records`: record and added ids of an own announcement, … */
const HEAD = 4
/** … the ids of its summary, {@link IDS_PER_ROW} in a row, … */
const IDS = 5
/** … and the segments of its summary, one in a row. */
const SEGMENT = 6
const COUNTER_KEY = encodeUtf8('provider counter')
/** As many as a row takes. */
const IDS_PER_ROW = 2_048
const PAGE = 100
/** Heads, added ids and a record. */
const MAX_HEAD_BYTES = MAX_RECORD_BYTES + MAX_DELTA_IDS * (ID_BYTES + 2) + 64

/** What this node announces of one root. */
export interface OwnAnnouncement {
  readonly root: Uint8Array
  /** Of the summary. */
  readonly epoch: number
  readonly summary: EncodedSummary
  /** Ids that came after the summary, at most 64. */
  readonly added: readonly Uint8Array[]
  readonly record: SignedRecord
}

/**
 * This node's own announcements: on disk with all their ids, in memory with what readers ask for (1.6 bytes an
 * id). What is written here is on disk before anybody sees it.
 */
export class ProviderLedger {
  readonly #env: Env
  readonly #store: Store
  /** By root in hexadecimal. Bounded by what the publisher allows. */
  readonly #announcements = new Map<string, OwnAnnouncement>()
  /** The last number that was given out. */
  #counter = 0

  constructor({ env, store }: { readonly env: Env; readonly store: Store }) {
    this.#env = env
    this.#store = store
  }

  get size(): number {
    return this.#announcements.size
  }

  /** Ids of all announcements. */
  get idCount(): number {
    let count = 0
    for (const { summary, added } of this.#announcements.values()) count += summary.shape.count + added.length
    return count
  }

  all(): readonly OwnAnnouncement[] {
    return [...this.#announcements.values()]
  }

  get(root: Uint8Array): OwnAnnouncement | undefined {
    return this.#announcements.get(toHex(root))
  }

  /**
   * Reads what is on disk; an announcement that is damaged is left out and deleted, and so are rows without an
   * announcement. Throws `STORAGE_CORRUPT` when the counter can't be read: to guess would be to issue two
   * summaries of one epoch.
   */
  async load(): Promise<void> {
    this.#counter = decodeCounter(await this.#store.get('meta', COUNTER_KEY))
    for await (const row of this.#rows(Uint8Array.of(HEAD))) {
      const announcement = await this.#restore(row)
      if (announcement !== undefined) this.#announcements.set(toHex(announcement.root), announcement)
      else await this.#drop(row.key.subarray(1))
    }
    for (const table of [IDS, SEGMENT]) await this.#dropOrphans(table)
  }

  /**
   * The next number for an epoch or a sequence: higher than any before, over all roots and restarts, and than
   * those of a lost disk as far as the clock tells. It counts from the next write on.
   */
  nextNumber(): number {
    this.#counter = Math.max(this.#counter + 1, this.#env.clock.unixMs())
    return this.#counter
  }

  /** Ids of the summary of a root, one after the other. */
  async idsOf(root: Uint8Array): Promise<Uint8Array> {
    const parts: Uint8Array[] = []
    for await (const { value } of this.#rows(rowKey(IDS, root))) parts.push(value)
    return concatBytes(parts)
  }

  /** Writes a new summary with its ids. */
  async issue(announcement: OwnAnnouncement, ids: readonly Uint8Array[]): Promise<void> {
    const { root, summary } = announcement
    const before = this.get(root)?.summary.shape.count ?? 0
    const idRows = Array.from({ length: idRowsOf(ids.length) }, (_, at) =>
      concatBytes(ids.slice(at * IDS_PER_ROW, (at + 1) * IDS_PER_ROW)),
    )
    await this.#write(announcement, [
      ...rowsOf(IDS, root, { values: idRows, before: idRowsOf(before) }),
      ...rowsOf(SEGMENT, root, { values: summary.segments, before: segmentsOf(before) }),
    ])
  }

  /** Writes another record or other added ids of the summary that is there. */
  async update(announcement: OwnAnnouncement): Promise<void> {
    await this.#write(announcement, [])
  }

  /** Whether there was one. */
  async remove(root: Uint8Array): Promise<boolean> {
    if (this.get(root) === undefined) return false
    await this.#drop(root)
    return true
  }

  async #write(announcement: OwnAnnouncement, others: readonly Change[]): Promise<void> {
    const { root, added, record } = announcement
    const writer = new CborWriter().array(3).bytes(encodeRecord(record)).array(added.length)
    for (const id of added) writer.bytes(id)
    const counter = new CborWriter().uint(this.#counter).finish()
    await this.#store.write([
      { table: 'meta', key: COUNTER_KEY, value: counter },
      { table: 'records', key: rowKey(HEAD, root), value: writer.extensions().finish() },
      ...others,
    ])
    this.#announcements.set(toHex(root), announcement)
  }

  async #restore({ key, value }: Row): Promise<OwnAnnouncement | undefined> {
    try {
      const { record, added } = decodeHead(value)
      const { root, epoch, shape, hash } = decodeProvider(record.body)
      const segments: Uint8Array[] = []
      for await (const row of this.#rows(rowKey(SEGMENT, root))) segments.push(row.value)
      const index = indexOf(this.#env.crypto, segments)
      const isWhole = equalBytes(hashOfIndex(this.#env.crypto, index), hash)
      if (!isWhole || !equalBytes(key, rowKey(HEAD, root))) return undefined
      return { root: Uint8Array.from(root), epoch, summary: { shape, segments, index, hash }, added, record }
    } catch (error) {
      if (error instanceof EspalierError && error.code !== 'PROTOCOL_VIOLATION') throw error
      return undefined
    }
  }

  /** All rows in one write: a rest of a longer summary would be taken for the end of the next one. */
  async #drop(root: Uint8Array): Promise<void> {
    const keys = [rowKey(HEAD, root)]
    for (const table of [IDS, SEGMENT]) {
      for await (const { key } of this.#rows(rowKey(table, root))) keys.push(key)
    }
    await this.#store.write(keys.map((key) => ({ table: 'records', key, value: undefined })))
    this.#announcements.delete(toHex(root))
  }

  /** Deletes rows of roots that are not announced. Of the others it reads one row each. */
  async #dropOrphans(table: number): Promise<void> {
    let from: Uint8Array = Uint8Array.of(table)
    for (;;) {
      const [row] = await this.#store.scan('records', { from, limit: 1 })
      if (row?.key[0] !== table) return
      const root = row.key.subarray(1, 1 + ID_BYTES)
      if (this.get(root) === undefined) await this.#drop(root)
      // Behind the last row that a root can have.
      from = Uint8Array.from([...rowKey(table, root), 255, 255, 255])
    }
  }

  /** All rows whose keys begin with `prefix`, in order. */
  async *#rows(prefix: Uint8Array): AsyncGenerator<Row> {
    const wanted = { table: 'records', prefix, limit: PAGE } as const
    for await (const rows of rowsWithPrefix(this.#store, wanted)) yield* rows
  }
}

/** The rows of a table for one root; rows of a longer summary `before` are deleted. */
function rowsOf(
  table: number,
  root: Uint8Array,
  { values, before }: { readonly values: readonly Uint8Array[]; readonly before: number },
): Change[] {
  return Array.from({ length: Math.max(values.length, before) }, (_, at) => {
    const key = Uint8Array.from([...rowKey(table, root), at >> 8, at & 255])
    return { table: 'records', key, value: values[at] }
  })
}

function idRowsOf(count: number): number {
  return Math.ceil(count / IDS_PER_ROW)
}

function rowKey(table: number, root: Uint8Array): Uint8Array {
  return Uint8Array.from([table, ...root])
}

function decodeHead(value: Uint8Array): Pick<OwnAnnouncement, 'record' | 'added'> {
  const reader = new CborReader(value, { maxBytes: MAX_HEAD_BYTES, what: 'own announcement' })
  reader.array(3)
  const record = decodeRecord(reader.bytesUpTo(MAX_RECORD_BYTES))
  const added = Array.from({ length: reader.arrayUpTo(MAX_DELTA_IDS) }, () =>
    Uint8Array.from(reader.bytes(ID_BYTES)),
  )
  reader.extensions()
  reader.end()
  return { record, added }
}

function decodeCounter(row: Row | undefined): number {
  if (row === undefined) return 0
  try {
    return new CborReader(row.value, { maxBytes: 9, what: 'provider counter' }).uint()
  } catch (cause) {
    throw new EspalierError('STORAGE_CORRUPT', 'the counter of announcements cannot be read', { cause })
  }
}
