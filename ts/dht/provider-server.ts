import type { Env } from '../base/env.ts'
import { EspalierError } from '../base/error.ts'
import type { Key, NodeId } from '../base/identity.ts'
import type { Caller, RpcPort } from '../net/rpc-port.ts'
import { outcomeOf } from '../net/tally.ts'
import type { Contacts } from './contacts.ts'
import type { Peer } from './lookup.ts'
import { PeerRate } from './peer-rate.ts'
import type { ProviderLedger } from './provider-ledger.ts'
import type { ProviderPublisher } from './provider-publisher.ts'
import { nameOfReceipt, receiptsAreSigned, type ReceiptBatch } from './provider-receipt.ts'
import type { ProviderShelf } from './provider-shelf.ts'
import {
  getProviders,
  getSummary,
  giveReceipts,
  putProvider,
  removeProvider,
  type GetSummaryRequest,
  type GetSummaryResponse,
  type GiveReceiptsOutcome,
  type GiveReceiptsRequest,
  type PutProviderOutcome,
} from './provider-wire.ts'
import type { PublicKeys } from './public-keys.ts'

/** Announcements to keep or to forget: each costs a signature check and a sync of the disk. */
const OFFERS = { reason: 'providers', ratePerSecond: 64, burst: 512 }
/** Pages of announcements: each reads up to 16 rows. */
const PAGES = { reason: 'providers', ratePerSecond: 128, burst: 512 }

/** Parts of summaries: each answer may have a quarter of a megabyte. */
const PARTS = { reason: 'providers', ratePerSecond: 64, burst: 256 }
/** Receipts: each message costs a signature check. */
const RECEIPTS = { reason: 'providers', ratePerSecond: 4, burst: 64 }

/** Answers what other nodes ask about providers; each peer only so often, over it with `RATE_LIMITED`. */
export class ProviderServer {
  readonly #rpc: RpcPort
  readonly #env: Env
  readonly #contacts: Contacts
  readonly #shelf: ProviderShelf
  readonly #ledger: ProviderLedger
  readonly #publisher: ProviderPublisher
  readonly #publicKeys: PublicKeys
  readonly #k: number
  readonly #offers: PeerRate
  readonly #pages: PeerRate
  readonly #parts: PeerRate
  readonly #receipts: PeerRate

  constructor(
    deps: {
      readonly rpc: RpcPort
      readonly env: Env
      readonly contacts: Contacts
      readonly shelf: ProviderShelf
      readonly ledger: ProviderLedger
      readonly publisher: ProviderPublisher
      readonly publicKeys: PublicKeys
    },
    options: { readonly k: number },
  ) {
    this.#rpc = deps.rpc
    this.#env = deps.env
    this.#contacts = deps.contacts
    this.#shelf = deps.shelf
    this.#ledger = deps.ledger
    this.#publisher = deps.publisher
    this.#publicKeys = deps.publicKeys
    this.#k = options.k
    this.#offers = new PeerRate(deps.env, OFFERS)
    this.#pages = new PeerRate(deps.env, PAGES)
    this.#parts = new PeerRate(deps.env, PARTS)
    this.#receipts = new PeerRate(deps.env, RECEIPTS)
  }

  /** Only a node that serves does this. */
  start(): void {
    this.#rpc.handle(putProvider, async ({ sender, record, publicKey }, caller) => {
      this.#contacts.heard(caller, sender)
      return this.#counted(async () => {
        this.#offers.take(caller.id)
        return this.#shelf.accept({ record, publicKey, source: caller.id })
      })
    })
    this.#rpc.handle(getProviders, async ({ sender, key, after }, caller) => {
      this.#contacts.heard(caller, sender)
      this.#pages.take(caller.id)
      const { records, hasMore } = await this.#shelf.list(key, after)
      return { records, hasMore, peers: this.#nearest(key, caller.id) }
    })
    this.#rpc.handle(removeProvider, ({ sender, key }, caller) => {
      this.#contacts.heard(caller, sender)
      this.#offers.take(caller.id)
      return this.#shelf.remove({ key, provider: caller.id })
    })
    this.#rpc.handle(getSummary, (request, caller) => {
      this.#parts.take(caller.id)
      return this.#summary(request, caller)
    })
    this.#rpc.handle(giveReceipts, (request, caller) => {
      this.#receipts.take(caller.id)
      return this.#take(request, caller)
    })
  }

  #summary(request: GetSummaryRequest, caller: Caller): GetSummaryResponse {
    const { root, epoch, wantsIndex, segments, addedFrom, wantsRecord } = request
    const own = this.#ledger.get(root)
    if (own === undefined) return { kind: 'none' }
    if (own.epoch !== epoch) return { kind: 'moved', record: own.record }
    const { summary, added, record } = own
    const end = segments.from + segments.count
    if (segments.count > 0 && end > summary.segments.length) {
      throw new EspalierError('PROTOCOL_VIOLATION', `segment ${end} of ${summary.segments.length}`)
    }
    this.#publisher.lifetimeOf(own).onHit(caller.id)
    return {
      kind: 'summary',
      index: wantsIndex ? summary.index : undefined,
      segments: segments.count === 0 ? [] : summary.segments.slice(segments.from, end),
      added: added.slice(addedFrom),
      record: wantsRecord ? record : undefined,
    }
  }

  async #take(request: GiveReceiptsRequest, caller: Caller): Promise<GiveReceiptsOutcome> {
    const { receipts, proof, publicKey } = request
    const batch: ReceiptBatch = { reader: caller.id, provider: this.#rpc.localId, receipts }
    if (proof.kind === 'signed') {
      const readersKey = publicKey ?? (await this.#publicKeys.get(caller.id))
      if (readersKey === undefined) return { kind: 'keyWanted' }
      const { signature } = proof
      if (!receiptsAreSigned(this.#env.crypto, batch, { signature, publicKey: readersKey })) {
        this.#env.metrics.counter('receipts', { outcome: 'RECORD_INVALID' }).add(receipts.length)
        throw new EspalierError('RECORD_INVALID', 'receipts that their reader did not sign')
      }
      this.#publicKeys.remember(caller.id, readersKey)
    }
    const nowUnixMs = this.#env.clock.unixMs()
    const counted = receipts.filter((receipt, at) => {
      const own = this.#ledger.get(receipt.root)
      if (own === undefined || receipt.epoch > own.epoch) return false
      const name = nameOfReceipt(batch, proof, at)
      return this.#publisher.lifetimeOf(own).onReceipt(receipt.window, name, nowUnixMs)
    }).length
    this.#env.metrics.counter('receipts', { outcome: 'counted' }).add(counted)
    this.#env.metrics.counter('receipts', { outcome: 'useless' }).add(receipts.length - counted)
    return { kind: 'taken', count: counted }
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

  #nearest(target: Key, except: NodeId): Peer[] {
    return this.#contacts.closest(target, { count: this.#k, aliveOnly: true, except })
  }
}
