import { compareBytes, toHex } from '../base/bytes.ts'
import type { Env } from '../base/env.ts'
import { EspalierError } from '../base/error.ts'
import { keyOfNode, type Key, type NodeId } from '../base/identity.ts'
import {
  MAX_SKEW_MS,
  PUBLIC_KEY_BYTES,
  RECORD_KINDS,
  keyOfRecord,
  type RecordKind,
  type SignedRecord,
} from '../base/record.ts'
import { rowsWithPrefix } from '../storage/rows.ts'
import type { Change, Row, Store } from '../storage/store.ts'
import { HistoryShelf } from './history-shelf.ts'
import type { PublicKeys } from './public-keys.ts'
import { decodeStored, encodeStored } from './stored-record.ts'
import type { Entry, ValueLimits } from './values.ts'
import { Values } from './values.ts'
import type { Verifier } from './verifier.ts'
import type { PutOutcome } from './wire.ts'

/** First byte of a row's key: records kept for others, apart from those that this node published. */
const STORED = 0

/** A record that is offered for keeping. */
export interface Offer {
  readonly record: SignedRecord
  /** Its owner's, when it came along. */
  readonly publicKey: Uint8Array | undefined
  /** The peer that brought it. */
  readonly source: NodeId
}

/** The records that this node keeps, on disk, each with what a later reader needs to verify it. */
export class RecordShelf {
  readonly #env: Env
  readonly #store: Store
  readonly #verifier: Verifier
  readonly #publicKeys: PublicKeys
  readonly #values: Values
  readonly #history: HistoryShelf
  /** Bounded by the services that ask. */
  readonly #listeners: ((entry: Entry) => void)[] = []
  /** Writes under way by place. Bounded by the requests being served. */
  readonly #writing = new Map<string, Promise<void>>()

  constructor(
    deps: {
      readonly env: Env
      readonly store: Store
      readonly verifier: Verifier
      readonly publicKeys: PublicKeys
    },
    limits: Partial<ValueLimits>,
  ) {
    this.#env = deps.env
    this.#store = deps.store
    this.#verifier = deps.verifier
    this.#publicKeys = deps.publicKeys
    this.#values = new Values(limits)
    this.#history = new HistoryShelf(deps)
    deps.publicKeys.neededBy((id) => this.#values.hasOwner(id))
  }

  get size(): number {
    return this.#values.size
  }

  /** Called with every record that is new here, when it is on disk. */
  onKept(listener: (entry: Entry) => void): void {
    this.#listeners.push(listener)
  }

  /** What is known of the record on a key, without reading it. */
  entryOn(place: { readonly kind: RecordKind; readonly key: Key }): Entry | undefined {
    return this.#values.get(place)
  }

  /** Earlier records of registers. */
  get supersededCount(): number {
    return this.#history.size
  }

  /** What is kept at this moment. */
  entries(): readonly Entry[] {
    return this.#values.entries()
  }

  /** Reads all rows; one that is no longer good is deleted. Call it once, before anything else. */
  async load(): Promise<void> {
    const stored = { table: 'records', prefix: Uint8Array.of(STORED) } as const
    for await (const rows of rowsWithPrefix(this.#store, stored)) {
      const entries = await Promise.all(rows.map((row) => this.#readmit(row)))
      const bad: Change[] = rows
        .filter((_, at) => entries[at] === undefined)
        .map(({ key }) => ({ table: 'records', key, value: undefined }))
      for (const entry of entries) if (entry !== undefined) this.#values.set(entry)
      if (bad.length > 0) {
        this.#env.log.warn('records that are no longer valid were removed', { count: bad.length })
        await this.#store.write(bad)
      }
    }
    await this.#history.load()
  }

  /**
   * Verifies, decides and keeps; `stored` is answered after the record is on disk. Throws
   * `RECORD_INVALID`, and the codes of `Store.write`.
   */
  async accept({ record, publicKey, source }: Offer): Promise<PutOutcome> {
    const { owner, kind } = record.body
    // Many owners share the key of a root: they have a message and a shelf of their own.
    if (kind === 'PROVIDER') throw new EspalierError('RECORD_INVALID', 'announcements are not put as records')
    const ownersKey = publicKey ?? (await this.#publicKeys.get(owner))
    if (ownersKey === undefined) return { kind: 'keyWanted' }
    this.#verifier.check(record, { publicKey: ownersKey, nowUnixMs: this.#env.clock.unixMs() })
    const entry = this.#entryOf({ record, source })
    const verdict = this.#values.judge(entry)
    if (verdict.kind === 'full') return { kind: 'full' }
    if (verdict.kind === 'equivocation') {
      const { sequence } = record.body
      this.#env.metrics.counter('equivocations', { where: 'kept' }).add()
      this.#env.log.warn('an owner signed two records of one sequence', { owner, kind, sequence })
    }
    const isKept = verdict.kind === 'keep' || (verdict.kind === 'equivocation' && verdict.keep)
    if (isKept) {
      await this.#keep(entry, { record, publicKey: ownersKey })
      for (const listener of this.#listeners) listener(entry)
      return { kind: 'stored' }
    }
    // The winner may still be on its way to the disk, and may fail there.
    await this.#writing.get(placeName(entry))
    const current = await this.get(entry)
    if (verdict.kind === 'same') return { kind: 'stored' }
    return current === undefined ? { kind: 'full' } : { kind: 'stale', current }
  }

  /** The record on a key, unless it has expired. */
  async get(place: { readonly kind: RecordKind; readonly key: Key }): Promise<SignedRecord | undefined> {
    if (this.#values.get(place) === undefined) return undefined
    const row = await this.#store.get('records', rowKey(place))
    return row === undefined ? undefined : decodeStored(row.value)?.record
  }

  /** The records of the register on a key, newest first: what it says, and at most 8 that it said before. */
  async history(key: Key): Promise<readonly SignedRecord[]> {
    const [newest, earlier] = await Promise.all([
      this.get({ kind: 'REGISTER_POINTER', key }),
      this.#history.list(key),
    ])
    // Between the two reads a record may have become an earlier one.
    if (newest === undefined) return earlier
    return [newest, ...earlier.filter(({ body }) => body.sequence < newest.body.sequence)]
  }

  /** An expired row was deleted; the public key of an owner without records goes with it. */
  async forget(row: Row): Promise<void> {
    await this.#history.forget(row)
    const stored = row.key[0] === STORED ? decodeStored(row.value) : undefined
    if (stored === undefined) return
    const entry = this.#entryOf(stored)
    const current = this.#values.get(entry)
    // Another record may have come in its place meanwhile.
    if (current === undefined || compareBytes(current.bodyHash, entry.bodyHash) !== 0) return
    this.#values.delete(entry)
    await this.#publicKeys.release(entry.owner)
  }

  async #keep(
    entry: Entry,
    { record, publicKey }: { readonly record: SignedRecord; readonly publicKey: Uint8Array },
  ): Promise<void> {
    const name = placeName(entry)
    const previous = this.#values.get(entry)
    // Decided before the first await: a second put of this key is judged against this one.
    this.#values.set(entry)
    const kept = this.#values.get(entry)
    const earlier = this.#writing.get(name) ?? Promise.resolve()
    const write = earlier
      .catch(() => undefined)
      .then(() => this.#write({ entry, record, publicKey, isFirst: previous === undefined }))
    this.#writing.set(name, write)
    try {
      await write
      this.#publicKeys.remember(entry.owner, publicKey)
    } catch (error) {
      // Nothing newer was decided since: what is on disk counts again.
      if (this.#values.get(entry) === kept) {
        this.#values.delete(entry)
        if (previous !== undefined) this.#values.set(previous)
      }
      throw error
    } finally {
      if (this.#writing.get(name) === write) this.#writing.delete(name)
    }
  }

  /** The record in whose place it comes is on disk: earlier writes of the place have ended. */
  async #write(kept: {
    readonly entry: Entry
    readonly record: SignedRecord
    readonly publicKey: Uint8Array
    readonly isFirst: boolean
  }): Promise<void> {
    const { entry, isFirst } = kept
    const hasHistory = entry.kind === 'REGISTER_POINTER' && !isFirst
    const current = hasHistory ? await this.#store.get('records', rowKey(entry)) : undefined
    const supersession = this.#history.supersede(current, {
      by: entry,
      roomOf: (place) => this.#values.roomOf(place),
    })
    try {
      await this.#store.write([...this.#changesOf(kept), ...supersession.changes])
    } catch (error) {
      this.#history.undo(supersession)
      throw error
    }
    await this.#history.written(supersession)
  }

  #changesOf({
    entry,
    record,
    publicKey,
  }: {
    readonly entry: Entry
    readonly record: SignedRecord
    readonly publicKey: Uint8Array
  }): Change[] {
    const value = encodeStored({ record, source: entry.source })
    const expiresUnixMs = entry.expiresUnixMs + MAX_SKEW_MS
    return [
      { table: 'records', key: rowKey(entry), value, expiresUnixMs },
      { table: 'publicKeys', key: keyOfNode(entry.owner), value: publicKey },
    ]
  }

  async #readmit(row: Row): Promise<Entry | undefined> {
    const stored = decodeStored(row.value)
    if (stored === undefined) return undefined
    try {
      const publicKey = await this.#publicKeys.get(stored.record.body.owner)
      if (publicKey?.byteLength !== PUBLIC_KEY_BYTES) return undefined
      this.#verifier.check(stored.record, { publicKey, nowUnixMs: this.#env.clock.unixMs() })
      const entry = this.#entryOf(stored)
      return toHex(rowKey(entry)) === toHex(row.key) ? entry : undefined
    } catch {
      return undefined
    }
  }

  #entryOf({ record, source }: { readonly record: SignedRecord; readonly source: NodeId }): Entry {
    const { kind, owner, sequence, expiresUnixMs } = record.body
    const key = keyOfRecord(this.#env.crypto, record.body)
    const bodyHash = this.#env.crypto.hash(record.bodyBytes)
    return { kind, key, owner, source, sequence, bodyHash, expiresUnixMs }
  }
}

function rowKey(place: { readonly kind: RecordKind; readonly key: Key }): Uint8Array {
  return Uint8Array.from([STORED, RECORD_KINDS[place.kind], ...place.key])
}

function placeName(place: { readonly kind: RecordKind; readonly key: Key }): string {
  return `${place.kind} ${toHex(place.key)}`
}
