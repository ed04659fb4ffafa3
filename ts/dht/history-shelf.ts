import { compareBytes } from '../base/bytes.ts'
import type { Env } from '../base/env.ts'
import { toEspalierError } from '../base/error.ts'
import { keyFromBytes, type Key } from '../base/identity.ts'
import { keyOfRecord, type SignedRecord } from '../base/record.ts'
import { rowsWithPrefix } from '../storage/rows.ts'
import type { Change, Row, Store } from '../storage/store.ts'
import type { PublicKeys } from './public-keys.ts'
import { decodeStored } from './stored-record.ts'
import { MAX_SUPERSEDED, Superseded, type SupersededEntry, type SupersededRoom } from './superseded.ts'
import type { Entry } from './values.ts'
import type { Verifier } from './verifier.ts'

/** First byte of the key of a row that holds a record in whose place a newer one is kept. */
const SUPERSEDED = 7
/** A superseded record is kept for so long, or until it expires if that is sooner. */
const LIFETIME_MS = 30 * 86_400_000
const KEY_BYTES = 1 + 32 + 8

/** What has to be written with a newer record. */
export interface Supersession {
  readonly changes: readonly Change[]
  /** The record that is superseded, if it stays. */
  readonly added: SupersededEntry | undefined
  /** What goes because there is no room. */
  readonly removed: readonly SupersededEntry[]
}

/** The earlier records of registers, on disk: what they said before, for those who ask for their history. */
export class HistoryShelf {
  readonly #env: Env
  readonly #store: Store
  readonly #verifier: Verifier
  readonly #publicKeys: PublicKeys
  readonly #superseded = new Superseded()

  constructor(deps: {
    readonly env: Env
    readonly store: Store
    readonly verifier: Verifier
    readonly publicKeys: PublicKeys
  }) {
    this.#env = deps.env
    this.#store = deps.store
    this.#verifier = deps.verifier
    this.#publicKeys = deps.publicKeys
    deps.publicKeys.neededBy((id) => this.#superseded.hasOwner(id))
  }

  get size(): number {
    return this.#superseded.size
  }

  /** Reads all rows; one that is no longer good is deleted. Call it once, before anything else. */
  async load(): Promise<void> {
    const superseded = { table: 'records', prefix: Uint8Array.of(SUPERSEDED) } as const
    for await (const rows of rowsWithPrefix(this.#store, superseded)) {
      const bad: Change[] = []
      for (const row of rows) {
        const entry = await this.#readmit(row)
        if (entry === undefined) bad.push({ table: 'records', key: row.key, value: undefined })
        else this.#superseded.add(entry)
      }
      if (bad.length > 0) await this.#store.write(bad)
    }
  }

  /**
   * What to write with a record that comes in the place of `current`, so that this one stays and no limit is
   * passed. Tell {@link written} or {@link undo} what came of it.
   */
  supersede(
    current: Row | undefined,
    options: {
      readonly by: Entry
      /** What the newest records leave. */
      readonly roomOf: (place: Pick<Entry, 'owner' | 'source'>) => SupersededRoom
    },
  ): Supersession {
    const { by, roomOf } = options
    const added = current === undefined ? undefined : earlierOf(current, by)
    const changes: Change[] = []
    if (added !== undefined && current !== undefined) {
      this.#superseded.add(added)
      const endsUnixMs = this.#env.clock.unixMs() + LIFETIME_MS
      const expiresUnixMs = Math.min(current.expiresUnixMs ?? endsUnixMs, endsUnixMs)
      changes.push({ table: 'records', key: rowKey(added), value: current.value, expiresUnixMs })
    }
    const place = added ?? by
    const removed = this.#superseded.trim(place, roomOf(place))
    changes.push(
      ...removed.map((entry): Change => ({ table: 'records', key: rowKey(entry), value: undefined })),
    )
    return { changes, added, removed }
  }

  /** The write succeeded: keys of owners that nothing is left of go too. */
  async written({ removed }: Supersession): Promise<void> {
    for (const owner of new Set(removed.map((entry) => entry.owner))) {
      try {
        await this.#publicKeys.release(owner)
      } catch (error) {
        // A key too many does no harm, and the record is on disk.
        const { code } = toEspalierError(error, 'STORAGE_CORRUPT', 'a public key')
        this.#env.log.warn('a public key that is no longer needed was not removed', { code })
      }
    }
  }

  /** The write failed: the record is not here after all. */
  undo({ added }: Supersession): void {
    if (added !== undefined) this.#superseded.delete(added)
  }

  /** The earlier records of the register on a key, newest first. */
  async list(key: Key): Promise<readonly SignedRecord[]> {
    const from = Uint8Array.from([SUPERSEDED, ...key])
    const rows = await this.#store.scan('records', { from, limit: MAX_SUPERSEDED })
    return rows
      .filter((row) => row.key.byteLength === KEY_BYTES && compareBytes(row.key.subarray(0, 33), from) === 0)
      .flatMap(({ value }) => decodeStored(value)?.record ?? [])
      .reverse()
  }

  /** An expired row was deleted. */
  async forget({ key }: Row): Promise<void> {
    const place = placeOf(key)
    if (place === undefined) return
    const entry = this.#superseded.delete(place)
    if (entry !== undefined) await this.#publicKeys.release(entry.owner)
  }

  async #readmit(row: Row): Promise<SupersededEntry | undefined> {
    const place = placeOf(row.key)
    const stored = decodeStored(row.value)
    if (place === undefined || stored === undefined) return undefined
    const { body } = stored.record
    try {
      const publicKey = await this.#publicKeys.get(body.owner)
      if (publicKey === undefined) return undefined
      this.#verifier.check(stored.record, { publicKey, nowUnixMs: this.#env.clock.unixMs() })
      const entry = { ...place, owner: body.owner, source: stored.source }
      const isInPlace =
        body.kind === 'REGISTER_POINTER' &&
        body.sequence === place.sequence &&
        compareBytes(keyOfRecord(this.#env.crypto, body), place.key) === 0
      return isInPlace ? entry : undefined
    } catch {
      return undefined
    }
  }
}

/** Of two records of one sequence only the winner is ever shown. */
function earlierOf({ value }: Row, { key, owner, sequence }: Entry): SupersededEntry | undefined {
  const stored = decodeStored(value)
  if (stored === undefined || stored.record.body.sequence >= sequence) return undefined
  return { key, owner, source: stored.source, sequence: stored.record.body.sequence }
}

/** Rows of one register stand together, in the order of their sequences. */
function rowKey({ key, sequence }: Pick<SupersededEntry, 'key' | 'sequence'>): Uint8Array {
  const bytes = new Uint8Array(KEY_BYTES)
  bytes[0] = SUPERSEDED
  bytes.set(key, 1)
  new DataView(bytes.buffer).setBigUint64(33, BigInt(sequence))
  return bytes
}

function placeOf(rowKeyBytes: Uint8Array): { readonly key: Key; readonly sequence: number } | undefined {
  if (rowKeyBytes[0] !== SUPERSEDED || rowKeyBytes.byteLength !== KEY_BYTES) return undefined
  const view = new DataView(rowKeyBytes.buffer, rowKeyBytes.byteOffset, KEY_BYTES)
  return { key: keyFromBytes(rowKeyBytes.slice(1, 33)), sequence: Number(view.getBigUint64(33)) }
}
