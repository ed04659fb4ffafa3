import type { Env } from '../base/env.ts'
import { EspalierError } from '../base/error.ts'
import type { Key, NodeId } from '../base/identity.ts'
import { PeerBuckets } from '../net/peer-buckets.ts'
import type { Caller, RpcPort } from '../net/rpc-port.ts'
import { outcomeOf } from '../net/tally.ts'
import type { Contacts } from './contacts.ts'
import type { Peer } from './lookup.ts'
import type { ProviderShelf } from './provider-shelf.ts'
import { getProviders, putProvider, removeProvider, type PutProviderOutcome } from './provider-wire.ts'

/** Peers whose rates are remembered. */
const MAX_PEERS = 4_096
/** Announcements to keep or to forget: each costs a signature check and a sync of the disk. */
const OFFERS = { ratePerSecond: 64, burst: 512, maxPeers: MAX_PEERS }
/** Pages of announcements: each reads up to 16 rows. */
const PAGES = { ratePerSecond: 128, burst: 512, maxPeers: MAX_PEERS }

/** Answers what other nodes ask about providers; each peer only so often, over it with `RATE_LIMITED`. */
export class ProviderServer {
  readonly #rpc: RpcPort
  readonly #env: Env
  readonly #contacts: Contacts
  readonly #shelf: ProviderShelf
  readonly #k: number
  readonly #offers = new PeerBuckets(OFFERS)
  readonly #pages = new PeerBuckets(PAGES)

  constructor(
    deps: {
      readonly rpc: RpcPort
      readonly env: Env
      readonly contacts: Contacts
      readonly shelf: ProviderShelf
    },
    options: { readonly k: number },
  ) {
    this.#rpc = deps.rpc
    this.#env = deps.env
    this.#contacts = deps.contacts
    this.#shelf = deps.shelf
    this.#k = options.k
  }

  /** Only a node that serves does this. */
  start(): void {
    this.#rpc.handle(putProvider, async ({ sender, record, publicKey }, caller) => {
      this.#contacts.heard(caller, sender)
      return this.#counted(async () => {
        this.#limit(this.#offers, caller)
        return this.#shelf.accept({ record, publicKey, source: caller.id })
      })
    })
    this.#rpc.handle(getProviders, async ({ sender, key, after }, caller) => {
      this.#contacts.heard(caller, sender)
      this.#limit(this.#pages, caller)
      const { records, hasMore } = await this.#shelf.list(key, after)
      return { records, hasMore, peers: this.#nearest(key, caller.id) }
    })
    this.#rpc.handle(removeProvider, ({ sender, key }, caller) => {
      this.#contacts.heard(caller, sender)
      this.#limit(this.#offers, caller)
      return this.#shelf.remove({ key, provider: caller.id })
    })
  }

  /** Counts what became of an announcement of another node. */
  async #counted(accept: () => Promise<PutProviderOutcome>): Promise<PutProviderOutcome> {
    const count = (outcome: string): void => {
      this.#env.metrics.counter('announcements', { outcome }).add()
    }
    try {
      const outcome = await accept()
      count(outcome)
      return outcome
    } catch (error) {
      count(outcomeOf(error))
      throw error
    }
  }

  #limit(buckets: PeerBuckets, caller: Caller): void {
    const retryAfterMs = buckets.take(caller.id, this.#env.clock.nowMs())
    if (retryAfterMs === 0) return
    this.#env.metrics.counter('refusals', { reason: 'providers' }).add()
    const details = { retryAfterMs }
    throw new EspalierError('RATE_LIMITED', `too many requests; retry after ${retryAfterMs} ms`, { details })
  }

  #nearest(target: Key, except: NodeId): Peer[] {
    return this.#contacts.closest(target, { count: this.#k, aliveOnly: true, except })
  }
}
