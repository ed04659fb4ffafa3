import { compareBytes, concatBytes, equalBytes, toHex } from '../base/bytes.ts'
import { CborReader, CborWriter } from '../base/codec.ts'
import type { Env } from '../base/env.ts'
import { EspalierError } from '../base/error.ts'
import { keyOfNode, type Key, type NodeId } from '../base/identity.ts'
import {
  MAX_RECORD_BYTES,
  MAX_SKEW_MS,
  decodeRecord,
  encodeRecord,
  keyOfRecord,
  type SignedRecord,
} from '../base/record.ts'
import { KeyedLock } from '../storage/keyed-lock.ts'
import { rowsWithPrefix } from '../storage/rows.ts'
import type { Change, Row, Store } from '../storage/store.ts'
import { ProviderPlaces, type ProviderEntry, type ProviderLimits } from './provider-places.ts'
import { decodeProvider } from './provider-record.ts'
import { MAX_PROVIDERS_ANSWERED, type PutProviderOutcome } from './provider-wire.ts'
import type { PublicKeys } from './public-keys.ts'
import type { Verifier } from './verifier.ts'

/** First byte of a row's key in `records`: announcements that this node keeps for others. */
const ANNOUNCED = 3

/** An announcement that is offered for keeping. */
export interface ProviderOffer {
  readonly record: SignedRecord
  /** Its owner's, when it came along. */
  readonly publicKey: Uint8Array | undefined
  /** The peer that brought it: the owner, or it is refused. */
  readonly source: NodeId
}

/** The announcements of other nodes that this node keeps, on disk, in the order that readers page through them. */
export class ProviderShelf {
  readonly #env: Env
  readonly #store: Store
  readonly #verifier: Verifier
  readonly #publicKeys: PublicKeys
  readonly #places: ProviderPlaces
  /** One change at a time for each root and provider. */
  readonly #lock = new KeyedLock()

  constructor(
    deps: {
      readonly env: Env
      readonly store: Store
      readonly verifier: Verifier
      readonly publicKeys: PublicKeys
    },
    limits: Partial<ProviderLimits> = {},
  ) {
    this.#env = deps.env
    this.#store = deps.store
    this.#verifier = deps.verifier
    this.#publicKeys = deps.publicKeys
    this.#places = new ProviderPlaces(limits)
    deps.publicKeys.neededBy((id) => this.#places.hasProvider(id))
  }

  get size(): number {
    return this.#places.size
  }

  /** Reads all rows; one that is no longer good is deleted. Call it once, before anything else. */
  async load(): Promise<void> {
    const announced = { table: 'records', prefix: Uint8Array.of(ANNOUNCED) } as const
    for await (const rows of rowsWithPrefix(this.#store, announced)) {
      const entries = await Promise.all(rows.map((row) => this.#readmit(row)))
      const bad: Change[] = rows
        .filter((_, at) => entries[at] === undefined)
        .map(({ key }) => ({ table: 'records', key, value: undefined }))
      for (const entry of entries) if (entry !== undefined) this.#places.set(entry)
      if (bad.length > 0) {
        this.#env.log.warn('announcements that are no longer valid were removed', { count: bad.length })
        await this.#store.write(bad)
      }
    }
  }

  /**
   * Verifies, decides and keeps; `stored` is answered after the record is on disk. Throws `RECORD_INVALID`,
   * also for an announcement that another than its owner brings, and the codes of `Store.write`.
   */
  async accept(offer: ProviderOffer): Promise<PutProviderOutcome> {
    const { record, source } = offer
    if (record.body.owner !== source || !isClaim(record)) {
      throw new EspalierError('RECORD_INVALID', 'not an announcement of the node that brings it')
    }
    const entry = this.#entryOf(record)
    return this.#lock.run(nameOf(entry), () => this.#accept(entry, offer))
  }

  /** The announcements of a root by NodeId, from the first behind `after` on. */
  async list(
    key: Key,
    after: NodeId | undefined,
  ): Promise<{ readonly records: readonly SignedRecord[]; readonly hasMore: boolean }> {
    const place = toHex(key)
    const providers = this.#places.list(place, after)
    const page = providers.slice(0, MAX_PROVIDERS_ANSWERED)
    const found = await Promise.all(page.map((provider) => this.#read({ place, provider })))
    const records = found.filter((record) => record !== undefined)
    return { records, hasMore: providers.length > page.length }
  }

  /** Forgets the announcement of a provider; answers whether there was one. */
  async remove({ key, provider }: { readonly key: Key; readonly provider: NodeId }): Promise<boolean> {
    const place = { place: toHex(key), provider }
    return this.#lock.run(nameOf(place), async () => {
      if (this.#places.get(place) === undefined) return false
      await this.#store.write([{ table: 'records', key: this.#rowKey(place), value: undefined }])
      this.#places.delete(place)
      await this.#publicKeys.release(provider)
      return true
    })
  }

  /** An expired row was deleted; the public key of a provider without announcements goes with it. */
  async forget(row: Row): Promise<void> {
    const record = row.key[0] === ANNOUNCED ? decodeRow(row.value) : undefined
    if (record === undefined) return
    const entry = this.#entryOf(record)
    await this.#lock.run(nameOf(entry), async () => {
      const current = this.#places.get(entry)
      // Another announcement may have come in its place meanwhile.
      if (current === undefined || compareBytes(current.bodyHash, entry.bodyHash) !== 0) return
      this.#places.delete(entry)
      await this.#publicKeys.release(entry.provider)
    })
  }

  async #accept(entry: ProviderEntry, { record, publicKey }: ProviderOffer): Promise<PutProviderOutcome> {
    // Before the signature, which is dear: what would not be kept is not looked at further.
    const early = this.#places.judge(entry)
    if (early.kind !== 'keep') return early.kind === 'same' ? 'stored' : early.kind
    const ownersKey = publicKey ?? (await this.#publicKeys.get(entry.provider))
    if (ownersKey === undefined) return 'keyWanted'
    this.#verifier.check(record, { publicKey: ownersKey, nowUnixMs: this.#env.clock.unixMs() })
    // Again, because others may have come while the key was read.
    const verdict = this.#places.judge(entry)
    if (verdict.kind !== 'keep') return 'full'
    const { instead } = verdict
    const previous = this.#places.get(entry)
    // Decided before the write: who comes meanwhile is judged against this one.
    if (instead !== undefined) this.#places.delete(instead)
    this.#places.set(entry)
    try {
      await this.#store.write(this.#changesOf(entry, { record, publicKey: ownersKey, instead }))
    } catch (error) {
      this.#places.delete(entry)
      if (previous !== undefined) this.#places.set(previous)
      if (instead !== undefined) this.#places.set(instead)
      throw error
    }
    this.#publicKeys.remember(entry.provider, ownersKey)
    if (instead !== undefined) await this.#publicKeys.release(instead.provider)
    return 'stored'
  }

  #changesOf(
    entry: ProviderEntry,
    kept: {
      readonly record: SignedRecord
      readonly publicKey: Uint8Array
      readonly instead: ProviderEntry | undefined
    },
  ): Change[] {
    const { record, publicKey, instead } = kept
    const value = new CborWriter().array(2).bytes(encodeRecord(record)).extensions().finish()
    const expiresUnixMs = entry.expiresUnixMs + MAX_SKEW_MS
    const changes: Change[] = [
      { table: 'records', key: this.#rowKey(entry), value, expiresUnixMs },
      { table: 'publicKeys', key: keyOfNode(entry.provider), value: publicKey },
    ]
    if (instead === undefined) return changes
    return [...changes, { table: 'records', key: this.#rowKey(instead), value: undefined }]
  }

  async #read(place: Pick<ProviderEntry, 'place' | 'provider'>): Promise<SignedRecord | undefined> {
    const row = await this.#store.get('records', this.#rowKey(place))
    return row === undefined ? undefined : decodeRow(row.value)
  }

  async #readmit(row: Row): Promise<ProviderEntry | undefined> {
    const record = decodeRow(row.value)
    if (record === undefined || !isClaim(record)) return undefined
    try {
      const publicKey = await this.#publicKeys.get(record.body.owner)
      if (publicKey === undefined) return undefined
      this.#verifier.check(record, { publicKey, nowUnixMs: this.#env.clock.unixMs() })
      const entry = this.#entryOf(record)
      return equalBytes(this.#rowKey(entry), row.key) ? entry : undefined
    } catch {
      return undefined
    }
  }

  #entryOf({ body, bodyBytes }: SignedRecord): ProviderEntry {
    const { owner: provider, sequence, expiresUnixMs } = body
    const place = toHex(keyOfRecord(this.#env.crypto, body))
    return { place, provider, sequence, bodyHash: this.#env.crypto.hash(bodyBytes), expiresUnixMs }
  }

  /** A key has room for one hash beside its first byte, not for two. */
  #rowKey({ place, provider }: Pick<ProviderEntry, 'place' | 'provider'>): Uint8Array {
    const name = concatBytes([Buffer.from(place, 'hex'), keyOfNode(provider)])
    return Uint8Array.from([ANNOUNCED, ...this.#env.crypto.hash(name)])
  }
}

function nameOf({ place, provider }: Pick<ProviderEntry, 'place' | 'provider'>): string {
  return `${place} ${provider}`
}

/** Whether the payload is that of an announcement; the signature is another matter. */
function isClaim({ body }: SignedRecord): boolean {
  try {
    decodeProvider(body)
    return true
  } catch {
    return false
  }
}

function decodeRow(value: Uint8Array): SignedRecord | undefined {
  try {
    const reader = new CborReader(value, { maxBytes: MAX_RECORD_BYTES + 64, what: 'stored announcement' })
    reader.array(2)
    const record = decodeRecord(reader.bytesUpTo(MAX_RECORD_BYTES))
    reader.extensions()
    reader.end()
    return record
  } catch {
    return undefined
  }
}
