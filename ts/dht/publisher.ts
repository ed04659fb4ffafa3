import { equalBytes } from '../base/bytes.ts'
import { CborReader, CborWriter } from '../base/codec.ts'
import type { Env } from '../base/env.ts'
import { EspalierError } from '../base/error.ts'
import { keyOfNode, type Key, type NodeId } from '../base/identity.ts'
import {
  MAX_SKEW_MS,
  RECORD_KINDS,
  decodeRecord,
  encodeRecord,
  keyOfRecord,
  signRecords,
  type RecordBody,
  type SignedRecord,
} from '../base/record.ts'
import { rowsWithPrefix } from '../storage/rows.ts'
import type { Store } from '../storage/store.ts'
import type { Contacts } from './contacts.ts'
import { compareDistance } from './key.ts'
import type { Peer } from './lookup.ts'
import type { RecordShelf } from './record-shelf.ts'
import type { Search } from './search.ts'
import type { Verifier } from './verifier.ts'
import { putRecord, type PutOutcome } from './wire.ts'

/** First byte of a row's key in `records`: what this node has published, apart from what it keeps for others. */
const PUBLISHED = 1
/** First byte of the key of a row that holds the last sequence that was signed for a place. */
const SIGNED = 2
/** Nodes remembered to have this node's public key. */
const MAX_INFORMED = 4_096

/** What came of offering a record to the nodes nearest to its key. */
export interface Placement {
  /** Who said that it is on disk; this node too, when it serves and is near enough. */
  readonly accepted: readonly NodeId[]
  /** A verified record of this node that someone holds and that wins over this one. */
  readonly newer: SignedRecord | undefined
}

/** Everything of a record but sequence, owner and issue time. */
export type Draft = Pick<RecordBody, 'kind' | 'subject' | 'payload' | 'expiresUnixMs'>

/** Signs this node's records and keeps them alive on the k nodes nearest to their keys. */
export class Publisher {
  readonly #self: NodeId
  readonly #serves: boolean
  readonly #k: number
  readonly #env: Env
  readonly #store: Store
  readonly #contacts: Contacts
  readonly #shelf: RecordShelf
  readonly #search: Search
  readonly #verifier: Verifier
  /** Nodes that stored a record of this node, and so have its key. Bounded by {@link MAX_INFORMED}. */
  readonly #informed = new Set<NodeId>()

  constructor(
    deps: {
      readonly self: NodeId
      readonly env: Env
      readonly store: Store
      readonly contacts: Contacts
      readonly shelf: RecordShelf
      readonly search: Search
      readonly verifier: Verifier
    },
    options: { readonly serves: boolean; readonly k: number },
  ) {
    this.#self = deps.self
    this.#env = deps.env
    this.#store = deps.store
    this.#contacts = deps.contacts
    this.#shelf = deps.shelf
    this.#search = deps.search
    this.#verifier = deps.verifier
    this.#serves = options.serves
    this.#k = options.k
  }

  /** The sequence of the last record that was signed for this place, also when its put failed; 0 for none. */
  async lastSequence(place: Pick<RecordBody, 'kind' | 'subject'>): Promise<number> {
    const row = await this.#store.get('records', this.#rowKey(SIGNED, place))
    return row === undefined ? 0 : decodeSequence(row.value)
  }

  /** The sequence of the last record of this place that somebody accepted and that has not expired; 0 for none. */
  async publishedSequence(place: Pick<RecordBody, 'kind' | 'subject'>): Promise<number> {
    const row = await this.#store.get('records', this.#rowKey(PUBLISHED, place))
    const body = row === undefined ? undefined : readRow(row.value)?.body
    return body === undefined || body.expiresUnixMs <= this.#env.clock.unixMs() ? 0 : body.sequence
  }

  /**
   * Signs and places a record. The sequence is on disk before anyone sees it, so that no crash makes
   * this node sign two records of one sequence. Throws `RECORD_STALE` (`details.sequence` is the
   * winner's) and `QUORUM_FAILED`; after either the record may still be on some nodes.
   */
  async publish(draft: Draft, options: { readonly sequence: number; readonly signal: AbortSignal }) {
    const record = this.sign(draft, options.sequence)
    await this.#write(SIGNED, record, new CborWriter().uint(options.sequence).finish())
    const placement = await this.place(record, options.signal)
    const sequence = placement.newer?.body.sequence
    if (sequence !== undefined && sequence >= options.sequence) {
      throw new EspalierError('RECORD_STALE', `a record of sequence ${sequence} is stored already`, {
        details: { sequence },
      })
    }
    const others = placement.accepted.filter((id) => id !== this.#self)
    if (others.length === 0 && (placement.accepted.length === 0 || this.#contacts.table.size > 0)) {
      throw new EspalierError('QUORUM_FAILED', 'no node accepted the record')
    }
    await this.#write(PUBLISHED, record, encodeRecord(record))
    return placement
  }

  sign(draft: Draft, sequence: number): SignedRecord {
    const body: RecordBody = {
      ...draft,
      owner: this.#self,
      sequence,
      issuedUnixMs: this.#env.clock.unixMs(),
    }
    const [record] = signRecords(this.#env.crypto, [body])
    if (record === undefined) throw new EspalierError('INVALID_STATE', 'signing gave no record')
    return record
  }

  /** Offers a record to the k nodes nearest to its key. */
  async place(record: SignedRecord, signal: AbortSignal): Promise<Placement> {
    const key = keyOfRecord(this.#env.crypto, record.body)
    const others = await this.#nearest(key, signal)
    const targets = this.#serves ? this.#withSelf(key, others) : others
    const outcomes = await Promise.all(
      targets.map(async (peer) => ({ id: peer.id, outcome: await this.#offer(peer, { record, signal }) })),
    )
    signal.throwIfAborted()
    const accepted = outcomes.flatMap(({ id, outcome }) => (outcome?.kind === 'stored' ? [id] : []))
    const rivals = outcomes.flatMap(({ outcome }) => (outcome?.kind === 'stale' ? [outcome.current] : []))
    const newer = rivals
      .filter((rival) => this.#isRival(rival, record))
      .sort((x, y) => y.body.sequence - x.body.sequence)[0]
    return { accepted, newer }
  }

  /**
   * Offers everything that was published, and has not expired, to the nodes nearest now; answers how many.
   * The node's own record is not among it: it is published anew each time.
   */
  async republish(signal: AbortSignal): Promise<number> {
    let count = 0
    const published = { table: 'records', prefix: Uint8Array.of(PUBLISHED) } as const
    for await (const rows of rowsWithPrefix(this.#store, published)) {
      for (const { value } of rows) {
        const record = readRow(value)
        if (record === undefined || record.body.kind === 'NODE_AD') continue
        await this.place(record, signal)
        count += 1
      }
    }
    return count
  }

  /** Around this node itself the table knows who is nearest: the look-arounds keep it so. */
  async #nearest(key: Key, signal: AbortSignal): Promise<readonly Peer[]> {
    if (!equalBytes(key, keyOfNode(this.#self))) return this.#search.closest(key, signal)
    return this.#contacts.closest(key, { count: this.#k, aliveOnly: true })
  }

  /** A peer that fails, refuses or lies has not stored it; that is all that matters here. */
  async #offer(
    peer: Peer,
    { record, signal }: { readonly record: SignedRecord; readonly signal: AbortSignal },
  ): Promise<PutOutcome | undefined> {
    const { publicKey } = this.#env.crypto
    try {
      if (peer.id === this.#self) return await this.#shelf.accept({ record, publicKey, source: this.#self })
      const first = this.#informed.has(peer.id) ? undefined : publicKey
      let outcome = await this.#put(peer, { record, publicKey: first, signal })
      if (outcome.kind === 'keyWanted') outcome = await this.#put(peer, { record, publicKey, signal })
      if (outcome.kind === 'stored') this.#inform(peer.id)
      return outcome
    } catch (error) {
      const code = error instanceof EspalierError ? error.code : 'unknown'
      this.#env.log.debug('a record was not accepted', { peer: peer.id, code })
      return undefined
    }
  }

  async #put(
    peer: Peer,
    put: {
      readonly record: SignedRecord
      readonly publicKey: Uint8Array | undefined
      readonly signal: AbortSignal
    },
  ): Promise<PutOutcome> {
    const { signal, ...rest } = put
    const request = { sender: this.#contacts.sender(), ...rest }
    return this.#contacts.ask(peer, { type: putRecord, request, signal })
  }

  /** Whether what a peer showed as newer is a true record of this node on the same key. */
  #isRival(rival: SignedRecord, record: SignedRecord): boolean {
    try {
      const key = keyOfRecord(this.#env.crypto, record.body)
      this.#verifier.checkPlace(rival, { kind: record.body.kind, key })
      const nowUnixMs = this.#env.clock.unixMs()
      this.#verifier.check(rival, { publicKey: this.#env.crypto.publicKey, nowUnixMs })
      return rival.body.sequence >= record.body.sequence
    } catch {
      return false
    }
  }

  #withSelf(target: Key, others: readonly Peer[]): Peer[] {
    return [...others, { id: this.#self, addresses: [] }]
      .sort((x, y) => compareDistance(target, { a: keyOfNode(x.id), b: keyOfNode(y.id) }))
      .slice(0, this.#k)
  }

  #rowKey(table: number, place: Pick<RecordBody, 'kind' | 'subject'>): Uint8Array {
    const key = keyOfRecord(this.#env.crypto, { ...place, owner: this.#self })
    return Uint8Array.from([table, RECORD_KINDS[place.kind], ...key])
  }

  #inform(id: NodeId): void {
    this.#informed.add(id)
    const [oldest] = this.#informed
    if (this.#informed.size > MAX_INFORMED && oldest !== undefined) this.#informed.delete(oldest)
  }

  async #write(table: number, { body }: SignedRecord, value: Uint8Array): Promise<void> {
    const expiresUnixMs = body.expiresUnixMs + MAX_SKEW_MS
    await this.#store.write([{ table: 'records', key: this.#rowKey(table, body), value, expiresUnixMs }])
  }
}

/** A row of another version is left out. */
function readRow(value: Uint8Array): SignedRecord | undefined {
  try {
    return decodeRecord(value)
  } catch {
    return undefined
  }
}

/** Throws `STORAGE_CORRUPT`: to go on with a guess would be to sign two records of one sequence. */
function decodeSequence(value: Uint8Array): number {
  try {
    return new CborReader(value, { maxBytes: 9, what: 'last sequence' }).uint()
  } catch (cause) {
    throw new EspalierError('STORAGE_CORRUPT', 'the last sequence of a record cannot be read', { cause })
  }
}
