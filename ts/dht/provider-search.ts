import type { Env } from '../base/env.ts'
import { EspalierError } from '../base/error.ts'
import { nodeIdFromBytes, type Key, type NodeId } from '../base/identity.ts'
import { keyOfRecord, type SignedRecord } from '../base/record.ts'
import { outcomeOf } from '../net/tally.ts'
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
   * four holders, and the pages of two that have more; else when all of the nearest have answered.
   */
  async find(
    root: Uint8Array,
    { isEarly, signal }: { readonly isEarly: boolean; readonly signal: AbortSignal },
  ): Promise<readonly SignedRecord[]> {
    const key = keyOfRecord(this.#env.crypto, { kind: 'PROVIDER', subject: root, owner: this.#self })
    const find: Find = { key, signal, found: new Map(), isOver: false }
    const watch = watchLookup(this.#env, 'providers')
    let holders = 0
    let paged = 0
    let reading = 0
    const ask = async (peer: Peer): Promise<readonly Peer[]> => {
      watch.asked()
      const page = await this.#page(peer, key, undefined)
      await this.#takeAll(page.records, { find, holder: peer })
      if (page.records.length > 0) holders += 1
      if (!page.hasMore || find.isOver) return page.peers
      // Counted once for each holder: a later one must not end the reading of an earlier one.
      paged += 1
      if (paged > MAX_PAGED_HOLDERS) return page.peers
      reading += 1
      try {
        await this.#readOn(page.records, { find, holder: peer })
      } finally {
        reading -= 1
      }
      return page.peers
    }
    const isEnough = (): boolean =>
      isEarly && find.found.size > 0 && holders >= ENOUGH_HOLDERS && reading === 0
    try {
      await watch.run(async () => {
        await this.#takeOwn(find)
        await this.#search.visit(key, { ask, signal, isEnough })
        return find.found.size === 0 ? undefined : find.found
      })
    } finally {
      find.isOver = true
    }
    return [...find.found.values()]
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

  /** What this node keeps for others; what has become of its disk is no reason not to ask them. */
  async #takeOwn(find: Find): Promise<void> {
    try {
      const { records } = await this.#shelf.list(find.key, undefined)
      await this.#takeAll(records, { find, holder: this.#contacts.peerOf(this.#self) })
    } catch (error) {
      this.#env.log.warn('announcements kept here cannot be read', { code: outcomeOf(error) })
    }
  }

  /**
   * Reads on behind a first page: from a random place on to the end, then from the first page on. Ids can be
   * made to come first: whoever made many of them shall not fill all that is read.
   */
  async #readOn(first: readonly SignedRecord[], context: Context): Promise<void> {
    const { find, holder } = context
    const start = first.at(-1)?.body.owner
    if (start === undefined) return
    const random = nodeIdFromBytes(this.#env.rng.bytes(32))
    let isAtStart = random <= start
    let after = isAtStart ? start : random
    for (let read = 1; read < MAX_PAGES; read += 1) {
      if (find.isOver || find.found.size >= MAX_KNOWN_PROVIDERS) return
      const { records, hasMore } = await this.#page(holder, find.key, after)
      await this.#takeAll(records, context)
      const last = records.at(-1)?.body.owner
      if (hasMore && last !== undefined) after = last
      else if (isAtStart) return
      else {
        isAtStart = true
        after = start
      }
    }
  }

  /**
   * Verifies a page, each record beside the others: keys that are missing come at once. Throws when one is not
   * good: its holder counts as failed, what else it showed is kept.
   */
  async #takeAll(records: readonly SignedRecord[], { find, holder }: Context): Promise<void> {
    const { key, signal } = find
    // What comes after the end is of no use, and a signature is dear.
    if (find.isOver) return
    if (new Set(records.map(({ body }) => body.owner)).size < records.length)
      throw new EspalierError('PROTOCOL_VIOLATION', 'two announcements of one provider on a page')
    const wanted = records.filter((record) => this.#isWanted(record, find))
    const outcomes = await Promise.allSettled(
      wanted.map(async (record) => {
        await this.verify(record, { key, holder, signal })
        // Again, because others may have come while the key was fetched.
        if (this.#isWanted(record, find)) find.found.set(record.body.owner, record)
      }),
    )
    const failed = outcomes.find((outcome) => outcome.status === 'rejected')
    if (failed === undefined) return
    const error: unknown = failed.reason
    if (error instanceof EspalierError && error.code === 'RECORD_INVALID')
      this.#env.metrics.counter('summaries', { outcome: 'RECORD_INVALID' }).add()
    throw error
  }

  #isWanted({ body }: SignedRecord, { found, isOver }: Find): boolean {
    const { owner, sequence, expiresUnixMs } = body
    // Clocks differ: one that has just expired is no lie of its holder.
    if (isOver || owner === this.#self || expiresUnixMs < this.#env.clock.unixMs()) return false
    const known = found.get(owner)
    return known === undefined ? found.size < MAX_KNOWN_PROVIDERS : sequence > known.body.sequence
  }
}

/** One look-up. */
interface Find {
  readonly key: Key
  readonly signal: AbortSignal
  /** The latest of each provider. Bounded by {@link MAX_KNOWN_PROVIDERS}. */
  readonly found: Map<NodeId, SignedRecord>
  isOver: boolean
}

interface Context {
  readonly find: Find
  readonly holder: Peer
}
