import type { Env } from '../base/env.ts'
import { toEspalierError, type EspalierError } from '../base/error.ts'
import { keyOfNode, type NodeId } from '../base/identity.ts'
import type { Address } from '../net/address.ts'
import type { Store } from '../storage/store.ts'
import type { Contacts } from './contacts.ts'
import { commonPrefixBits, keyInBucket } from './key.ts'
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

/** Nodes that one look-around makes the acquaintance of: a liar may name any number that is not there. */
const MAX_MEETINGS = 8
/** One check in so many is of a contact that was lost, instead of one that is there. */
const LOST_EVERY = 8

/** The work that keeps table and records true while time passes. `dht.ts` decides when. */
export class Upkeep {
  readonly #self: NodeId
  readonly #k: number
  readonly #env: Env
  readonly #store: Store
  readonly #contacts: Contacts
  readonly #search: Search
  readonly #shelf: RecordShelf
  readonly #publisher: Publisher
  readonly #providers: Providers
  #checks = 0

  constructor(deps: {
    readonly self: NodeId
    readonly env: Env
    readonly store: Store
    readonly contacts: Contacts
    readonly search: Search
    readonly shelf: RecordShelf
    readonly publisher: Publisher
    readonly providers: Providers
    readonly k: number
  }) {
    this.#k = deps.k
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

  /** Asks a few of the nearest nodes who else is near, and makes the acquaintance of those that are new. */
  async lookAround(signal: AbortSignal): Promise<void> {
    const own = keyOfNode(this.#self)
    const named = await this.#search.explore(own, signal)
    const farthest = named.length < this.#k ? undefined : named.at(-1)
    const seenWhole = farthest === undefined ? 0 : commonPrefixBits(own, keyOfNode(farthest.id)) + 1
    this.#contacts.table.touchDeeper(seenWhole, this.#env.clock.nowMs())
    await this.#meet(named, signal)
  }

  /** Looks into the bucket that was not looked into for the longest time, if any for `idleMs`. */
  async refreshOne(options: { readonly idleMs: number; readonly signal: AbortSignal }): Promise<void> {
    const prefixBits = this.#contacts.table.bucketToRefresh(this.#env.clock.nowMs() - options.idleMs)
    if (prefixBits === undefined) return
    const target = keyInBucket(keyOfNode(this.#self), { prefixBits, random: this.#env.rng.bytes(32) })
    await this.#meet(await this.#search.explore(target, options.signal), options.signal)
  }

  /**
   * Pings one contact: who failed lately, else who was silent longest, for `idleMs` at least. Now and then
   * one that was lost, and always while nobody else is known. Answers `soon` when there is more to check,
   * because that one failed.
   */
  async checkOne(options: {
    readonly idleMs: number
    readonly signal: AbortSignal
  }): Promise<'soon' | 'done'> {
    const { table } = this.#contacts
    this.#checks += 1
    const isLost = table.size === 0 || this.#checks % LOST_EVERY === 0
    const lost = isLost ? this.#contacts.nextLost() : undefined
    const id = lost === undefined ? table.contactToCheck(this.#env.clock.nowMs() - options.idleMs) : undefined
    const peer = lost ?? (id === undefined ? undefined : this.#contacts.peerOf(id))
    if (peer === undefined) return 'done'
    const isThere = await this.#contacts.ping(peer, options.signal).catch(() => false)
    return isThere || lost !== undefined ? 'done' : 'soon'
  }

  async #meet(named: readonly Peer[], signal: AbortSignal): Promise<void> {
    const strangers = named.filter(({ id }) => this.#contacts.table.wants(id))
    await this.pingAll(strangers.slice(0, MAX_MEETINGS), signal)
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

  /**
   * Removes records that have expired; answers how many. Nobody shows a row again that was taken: when the store fails
   * at one, the rest is forgotten all the same, and the first error is thrown at the end.
   */
  async sweep(): Promise<number> {
    let count = 0
    let failure: EspalierError | undefined
    for (;;) {
      const rows = await this.#store.takeExpired('records', { limit: SWEEP_PAGE })
      for (const row of rows) {
        try {
          await this.#shelf.forget(row)
          await this.#providers.forget(row)
        } catch (error) {
          failure ??= toEspalierError(error, 'STORAGE_CORRUPT', 'an expired record')
        }
      }
      count += rows.length
      if (rows.length < SWEEP_PAGE) break
    }
    if (failure !== undefined) throw failure
    return count
  }
}
