import type { Env } from '../base/env.ts'
import { keyOfNode, type NodeId } from '../base/identity.ts'
import type { Address } from '../net/address.ts'
import type { Store } from '../storage/store.ts'
import type { Contacts } from './contacts.ts'
import { keyInBucket } from './key.ts'
import type { Peer } from './lookup.ts'
import { encodeNodeAd } from './node-ad.ts'
import type { Providers } from './providers.ts'
import type { Publisher } from './publisher.ts'
import type { RecordShelf } from './record-shelf.ts'
import type { Search } from './search.ts'

/** Pings under way at once when many contacts are checked. */
const PINGS_AT_ONCE = 16
/** Buckets refreshed in one round; the rest waits for the next. */
const MAX_REFRESHES = 32
const SWEEP_PAGE = 500
const NODE_AD_LIFETIME_MS = 24 * 3_600_000

/** The work that keeps table and records true while time passes. `dht.ts` decides when. */
export class Upkeep {
  readonly #self: NodeId
  readonly #env: Env
  readonly #store: Store
  readonly #contacts: Contacts
  readonly #search: Search
  readonly #shelf: RecordShelf
  readonly #publisher: Publisher
  readonly #providers: Providers

  constructor(deps: {
    readonly self: NodeId
    readonly env: Env
    readonly store: Store
    readonly contacts: Contacts
    readonly search: Search
    readonly shelf: RecordShelf
    readonly publisher: Publisher
    readonly providers: Providers
  }) {
    this.#self = deps.self
    this.#env = deps.env
    this.#store = deps.store
    this.#contacts = deps.contacts
    this.#search = deps.search
    this.#shelf = deps.shelf
    this.#publisher = deps.publisher
    this.#providers = deps.providers
  }

  /** Learns the own neighbourhood; answers who is nearest. */
  async lookUpSelf(signal: AbortSignal): Promise<readonly Peer[]> {
    return this.#search.closest(keyOfNode(this.#self), signal)
  }

  /** Looks into every bucket where no look-up went for `idleMs`. */
  async refreshBuckets(options: { readonly idleMs: number; readonly signal: AbortSignal }): Promise<void> {
    const stale = this.#contacts.table.staleBuckets(this.#env.clock.nowMs() - options.idleMs)
    for (const prefixBits of stale.slice(0, MAX_REFRESHES)) {
      const random = this.#env.rng.bytes(32)
      const target = keyInBucket(keyOfNode(this.#self), { prefixBits, random })
      await this.#search.closest(target, options.signal)
    }
  }

  /** Pings contacts that were silent for `idleMs` or failed last. */
  async pingSilent(options: { readonly idleMs: number; readonly signal: AbortSignal }): Promise<void> {
    const sinceMs = this.#env.clock.nowMs() - options.idleMs
    const silent = this.#contacts.table
      .contacts()
      .filter(({ seenAtMs, failures }) => failures > 0 || seenAtMs < sinceMs)
      .map(({ id }) => this.#contacts.peerOf(id))
    await this.pingAll(silent, options.signal)
  }

  /** Pings each; the table takes the outcomes. */
  async pingAll(peers: readonly Peer[], signal: AbortSignal): Promise<void> {
    const waiting = [...peers]
    const worker = async (): Promise<void> => {
      for (let peer = waiting.shift(); peer !== undefined; peer = waiting.shift()) {
        if (signal.aborted) return
        await this.#contacts.ping(peer, signal).catch(() => undefined)
      }
    }
    await Promise.all(Array.from({ length: PINGS_AT_ONCE }, worker))
  }

  /** Tells where this node is, on the nodes nearest to it. A lonely node has nobody to tell. */
  async advertise(addresses: readonly Address[], signal: AbortSignal): Promise<void> {
    const nowUnixMs = this.#env.clock.unixMs()
    const place = { kind: 'NODE_AD', subject: new Uint8Array(0) } as const
    const last = await this.#publisher.lastSequence(place)
    const expiresUnixMs = nowUnixMs + NODE_AD_LIFETIME_MS
    const draft = { ...place, payload: encodeNodeAd(addresses), expiresUnixMs }
    const sequence = Math.max(nowUnixMs, last + 1)
    await this.#publisher.publish(draft, { sequence, signal })
  }

  /** Removes records that have expired; answers how many. */
  async sweep(): Promise<number> {
    let count = 0
    for (;;) {
      const rows = await this.#store.takeExpired('records', { limit: SWEEP_PAGE })
      for (const row of rows) {
        await this.#shelf.forget(row)
        await this.#providers.forget(row)
      }
      count += rows.length
      if (rows.length < SWEEP_PAGE) return count
    }
  }
}
