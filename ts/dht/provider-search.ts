import type { Env } from '../base/env.ts'
import { EspalierError } from '../base/error.ts'
import type { Key, NodeId } from '../base/identity.ts'
import { keyOfRecord, sameBody, type SignedRecord } from '../base/record.ts'
import type { Contacts } from './contacts.ts'
import { watchLookup } from './lookup-watch.ts'
import type { Peer } from './lookup.ts'
import { MAX_KNOWN_PROVIDERS } from './provider-cache.ts'
import { decodeProvider } from './provider-record.ts'
import type { ProviderShelf } from './provider-shelf.ts'
import { getProviders } from './provider-wire.ts'
import type { Search } from './search.ts'

/** Holders that must have shown announcements before a look-up may end early. */
const ENOUGH_HOLDERS = 4
/** Pages read of one holder, … */
const MAX_PAGES = 4
/** … and holders of whom more than the first is read. */
const MAX_PAGED_HOLDERS = 2

/** Finds the announcements of a root on the nodes nearest to it. */
export class ProviderSearch {
  readonly #self: NodeId
  readonly #env: Env
  readonly #contacts: Contacts
  readonly #search: Search
  readonly #shelf: ProviderShelf

  constructor(deps: {
    readonly self: NodeId
    readonly env: Env
    readonly contacts: Contacts
    readonly search: Search
    readonly shelf: ProviderShelf
  }) {
    this.#self = deps.self
    this.#env = deps.env
    this.#contacts = deps.contacts
    this.#search = deps.search
    this.#shelf = deps.shelf
  }

  /**
   * The latest valid announcement of each provider, at most 64, without this node's own. Early, it ends after
   * four holders; else when all of the nearest have answered.
   */
  async find(
    root: Uint8Array,
    { isEarly, signal }: { readonly isEarly: boolean; readonly signal: AbortSignal },
  ): Promise<readonly SignedRecord[]> {
    const key = keyOfRecord(this.#env.crypto, { kind: 'PROVIDER', subject: root, owner: this.#self })
    const found = new Map<NodeId, SignedRecord>()
    const watch = watchLookup(this.#env, 'providers')
    let holders = 0
    let paged = 0
    const ask = async (peer: Peer): Promise<readonly Peer[]> => {
      watch.asked()
      let page = await this.#page(peer, key, undefined)
      const { peers } = page
      if (page.records.length > 0) holders += 1
      await this.#takeAll(page.records, { found, key, holder: peer, signal })
      if (page.hasMore) paged += 1
      for (let read = 1; page.hasMore && read < MAX_PAGES && paged <= MAX_PAGED_HOLDERS; read += 1) {
        const after = page.records.at(-1)?.body.owner
        if (after === undefined || found.size >= MAX_KNOWN_PROVIDERS) break
        page = await this.#page(peer, key, after)
        await this.#takeAll(page.records, { found, key, holder: peer, signal })
      }
      return peers
    }
    await watch.run(async () => {
      const own = await this.#shelf.list(key, undefined)
      await this.#takeAll(own.records, { found, key, holder: this.#contacts.peerOf(this.#self), signal })
      await this.#search.visit(key, {
        ask,
        signal,
        isEnough: () => isEarly && found.size > 0 && holders >= ENOUGH_HOLDERS,
      })
      return found.size === 0 ? undefined : found
    })
    return [...found.values()]
  }

  /** Throws `RECORD_INVALID` unless a record is a valid announcement on this key. */
  async verify(
    record: SignedRecord,
    context: { readonly key: Key; readonly holder: Peer; readonly signal: AbortSignal },
  ): Promise<void> {
    const { key, holder, signal } = context
    const wanted = { kind: 'PROVIDER' as const, key, owner: record.body.owner, enough: 1 }
    await this.#search.verify(record, { wanted, holder, signal })
    try {
      decodeProvider(record.body)
    } catch (cause) {
      throw new EspalierError('RECORD_INVALID', 'an announcement that says nothing', { cause })
    }
  }

  #page(peer: Peer, key: Key, after: NodeId | undefined) {
    const request = { sender: this.#contacts.sender(), key, after }
    return this.#contacts.ask(peer, { type: getProviders, request })
  }

  /** Throws at the first one that is not good: its holder counts as failed, what it showed before it is kept. */
  async #takeAll(
    records: readonly SignedRecord[],
    context: {
      readonly found: Map<NodeId, SignedRecord>
      readonly key: Key
      readonly holder: Peer
      readonly signal: AbortSignal
    },
  ): Promise<void> {
    const { found } = context
    for (const record of records) {
      const { owner, sequence, expiresUnixMs } = record.body
      const known = found.get(owner)
      // Clocks differ: one that has just expired is no lie of its holder.
      const isOver = expiresUnixMs < this.#env.clock.unixMs()
      const isKnown = known !== undefined && (sameBody(known, record) || known.body.sequence >= sequence)
      const hasRoom = known !== undefined || found.size < MAX_KNOWN_PROVIDERS
      if (owner === this.#self || isOver || isKnown || !hasRoom) continue
      try {
        await this.verify(record, context)
      } catch (error) {
        if (error instanceof EspalierError && error.code === 'RECORD_INVALID')
          this.#env.metrics.counter('summaries', { outcome: 'RECORD_INVALID' }).add()
        throw error
      }
      found.set(owner, record)
    }
  }
}
