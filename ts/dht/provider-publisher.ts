import { equalBytes } from '../base/bytes.ts'
import type { Env } from '../base/env.ts'
import { EspalierError } from '../base/error.ts'
import { keyOfNode, type Key, type NodeId } from '../base/identity.ts'
import { keyOfRecord, type SignedRecord } from '../base/record.ts'
import type { Address } from '../net/address.ts'
import type { MessageType } from '../net/message.ts'
import type { Contacts } from './contacts.ts'
import { compareDistance } from './key.ts'
import type { Peer } from './lookup.ts'
import { planIssue, type IdSet } from './provider-issue.ts'
import type { OwnAnnouncement, ProviderLedger } from './provider-ledger.ts'
import { Lifetime } from './provider-lifetime.ts'
import { encodeProvider } from './provider-record.ts'
import type { ProviderShelf } from './provider-shelf.ts'
import { encodeSummary } from './provider-summary.ts'
import { putProvider, removeProvider, type PutProviderOutcome } from './provider-wire.ts'
import type { Publisher } from './publisher.ts'
import type { Search } from './search.ts'

/** Roots that one node announces: other nodes keep no more of it. */
export const MAX_OWN_ROOTS = 2_048
/** Ids of all own announcements: about 7 MB of memory and 140 MB on disk. */
export const MAX_OWN_IDS = 4_194_304
/** A record is signed anew when no more of its life is left than this. */
const RENEW_MS = 30 * 60_000
/** Until an announcement that nobody took is offered again. */
const RETRY_MS = 60_000

/**
 * What an announcement came to.
 *
 * @category Providers
 */
export interface Announcement {
  /** Of the summary: it goes up when the set was issued anew. */
  readonly epoch: number
  /** Nodes that keep the record, as far as this node knows; itself too, when it is near enough. */
  readonly accepted: readonly NodeId[]
}

/** Where an announcement stands with others. */
interface Standing {
  accepted: readonly NodeId[]
  /** When it is offered again, in the time of `nowMs`. */
  dueAtMs: number
  /** Whether others have taken the record as it is; until then `accepted` tells of an earlier one. */
  isTaken: boolean
  readonly lifetime: Lifetime
}

/** Issues this node's announcements and keeps them alive on the k nodes nearest to their roots. */
export class ProviderPublisher {
  readonly #self: NodeId
  readonly #env: Env
  readonly #contacts: Contacts
  readonly #search: Search
  readonly #publisher: Publisher
  readonly #shelf: ProviderShelf
  readonly #ledger: ProviderLedger
  readonly #k: number
  readonly #republishIntervalMs: number
  readonly #ownAddresses: () => readonly Address[]
  /** One for each announcement. */
  readonly #standings = new WeakMap<Uint8Array, Standing>()

  constructor(
    deps: {
      readonly self: NodeId
      readonly env: Env
      readonly contacts: Contacts
      readonly search: Search
      readonly publisher: Publisher
      readonly shelf: ProviderShelf
      readonly ledger: ProviderLedger
    },
    options: {
      readonly k: number
      readonly republishIntervalMs: number
      readonly ownAddresses: () => readonly Address[]
    },
  ) {
    this.#self = deps.self
    this.#env = deps.env
    this.#contacts = deps.contacts
    this.#search = deps.search
    this.#publisher = deps.publisher
    this.#shelf = deps.shelf
    this.#ledger = deps.ledger
    this.#k = options.k
    this.#republishIntervalMs = options.republishIntervalMs
    this.#ownAddresses = options.ownAddresses
  }

  /**
   * States that this node has `ids` of `root`, and no others. Calls for one root come one after the other.
   * Throws `LIMIT_EXCEEDED`, and `QUORUM_FAILED` when no other node took the record: then
   * it is offered again later. `root` and `ids` are kept as they are given.
   */
  async announce(root: Uint8Array, ids: IdSet, signal: AbortSignal): Promise<Announcement> {
    const current = this.#ledger.get(root)
    const before = current === undefined ? undefined : await this.#announced(current)
    const issue = planIssue(ids, before)
    signal.throwIfAborted()
    if (issue.kind === 'summary') await this.#issue(current?.root ?? root, issue.ids)
    else if (issue.kind === 'delta' && current !== undefined) {
      await this.#ledger.update({ ...current, added: issue.added })
    }
    const announcement = this.#ledger.get(root)
    if (announcement === undefined) throw new EspalierError('INVALID_STATE', 'the announcement is gone')
    const standing = this.#standingOf(announcement)
    // What travels beside the summary changes no record.
    if (this.#isDue(announcement) || !standing.isTaken) await this.#refresh(announcement, signal)
    const isLonely = this.#contacts.table.size === 0 && standing.accepted.length > 0
    if (!isLonely && standing.accepted.every((id) => id === this.#self)) {
      throw new EspalierError('QUORUM_FAILED', 'no node took the announcement')
    }
    return { epoch: announcement.epoch, accepted: standing.accepted }
  }

  /** Whether there was one. Nodes that can't be reached now keep the record until it expires. */
  async withdraw(root: Uint8Array, signal: AbortSignal): Promise<boolean> {
    const announcement = this.#ledger.get(root)
    if (announcement === undefined) return false
    await this.#ledger.remove(root)
    const key = this.#keyOf(root)
    const nearest = await this.#targets(key, signal)
    const others = this.#standingOf(announcement)
      .accepted.filter((id) => nearest.every((peer) => peer.id !== id))
      .map((id) => this.#contacts.peerOf(id))
    await Promise.all(
      [...nearest, ...others].map(async (peer) => {
        const request = { sender: this.#contacts.sender(), key }
        if (peer.id === this.#self) await this.#shelf.remove({ key, provider: peer.id })
        else await this.#ask(peer, { type: removeProvider, request, signal })
      }),
    )
    signal.throwIfAborted()
    return true
  }

  /** Roots whose announcements are to be offered again now. */
  due(): readonly Uint8Array[] {
    // A node that knows nobody has nobody to tell.
    if (this.#contacts.table.size === 0) return []
    return this.#ledger
      .all()
      .filter((announcement) => this.#isDue(announcement))
      .map(({ root }) => root)
  }

  /** Offers one that is due again, with a new record where that is needed. */
  async keep(root: Uint8Array, signal: AbortSignal): Promise<void> {
    const announcement = this.#ledger.get(root)
    if (announcement !== undefined && this.#isDue(announcement)) await this.#refresh(announcement, signal)
  }

  /** Counts those who ask, and those who were served: how long the next record lives depends on it. */
  lifetimeOf(announcement: OwnAnnouncement): Lifetime {
    return this.#standingOf(announcement).lifetime
  }

  async #announced({ root, added }: OwnAnnouncement) {
    return { ids: await this.#ledger.idsOf(root), added }
  }

  async #issue(root: Uint8Array, ids: readonly Uint8Array[]): Promise<void> {
    const current = this.#ledger.get(root)
    const others = this.#ledger.idCount - (current === undefined ? 0 : countOf(current))
    if (current === undefined && this.#ledger.size >= MAX_OWN_ROOTS) {
      throw new EspalierError('LIMIT_EXCEEDED', `${MAX_OWN_ROOTS} roots are announced already`)
    }
    if (others + ids.length > MAX_OWN_IDS) {
      throw new EspalierError('LIMIT_EXCEEDED', `more than ${MAX_OWN_IDS} ids would be announced`)
    }
    const epoch = this.#ledger.nextNumber()
    const summary = encodeSummary(this.#env.crypto, ids, { root, provider: this.#self, epoch })
    const unsigned = { root, epoch, summary, added: [] }
    await this.#ledger.issue({ ...unsigned, record: this.#sign(unsigned) }, ids)
    const standing = this.#standings.get(root)
    if (standing === undefined) return
    standing.dueAtMs = 0
    standing.isTaken = false
  }

  /** A record of the summary as it is, with the next sequence and a new life. */
  #sign(unsigned: Omit<OwnAnnouncement, 'record'>): SignedRecord {
    const { root } = unsigned
    const nowUnixMs = this.#env.clock.unixMs()
    const lifetime = this.#standings.get(root)?.lifetime ?? new Lifetime()
    const draft = {
      kind: 'PROVIDER' as const,
      subject: root,
      payload: this.#payloadOf(unsigned),
      expiresUnixMs: nowUnixMs + lifetime.lifetimeMs(nowUnixMs),
    }
    lifetime.onIssued()
    return this.#publisher.sign(draft, this.#ledger.nextNumber())
  }

  #payloadOf({ epoch, summary }: Pick<OwnAnnouncement, 'epoch' | 'summary'>): Uint8Array {
    const { shape, hash } = summary
    return encodeProvider({ epoch, shape, hash, addresses: this.#ownAddresses() })
  }

  #isDue(announcement: OwnAnnouncement): boolean {
    return this.#standingOf(announcement).dueAtMs <= this.#env.clock.nowMs() || this.#isOutdated(announcement)
  }

  /** Whether the record has to be signed anew: it ends soon, or tells of addresses that are no longer true. */
  #isOutdated(announcement: OwnAnnouncement): boolean {
    const { record } = announcement
    const { payload, expiresUnixMs } = record.body
    if (expiresUnixMs - this.#env.clock.unixMs() < RENEW_MS) return true
    return !equalBytes(payload, this.#payloadOf(announcement))
  }

  async #refresh(announcement: OwnAnnouncement, signal: AbortSignal): Promise<void> {
    const isOutdated = this.#isOutdated(announcement)
    const current = isOutdated ? { ...announcement, record: this.#sign(announcement) } : announcement
    if (isOutdated) await this.#ledger.update(current)
    const standing = this.#standingOf(current)
    // Both stay so when it breaks off: then nobody is known to have this record.
    standing.isTaken = false
    standing.dueAtMs = this.#env.clock.nowMs() + RETRY_MS
    standing.accepted = await this.#place(current.record, { holders: standing.accepted, signal })
    standing.isTaken = standing.accepted.some((id) => id !== this.#self)
    standing.dueAtMs = this.#env.clock.nowMs() + (standing.isTaken ? this.#republishIntervalMs : RETRY_MS)
  }

  /** Offers a record to the k nodes nearest to its root; answers who took it. */
  async #place(
    record: SignedRecord,
    { holders, signal }: { readonly holders: readonly NodeId[]; readonly signal: AbortSignal },
  ): Promise<readonly NodeId[]> {
    const targets = await this.#targets(keyOfRecord(this.#env.crypto, record.body), signal)
    const outcomes = await Promise.all(
      targets.map((peer) => this.#offer(peer, { record, isKnown: holders.includes(peer.id), signal })),
    )
    signal.throwIfAborted()
    return targets.map(({ id }) => id).filter((_, at) => outcomes[at] === 'stored')
  }

  async #offer(
    peer: Peer,
    {
      record,
      isKnown,
      signal,
    }: { readonly record: SignedRecord; readonly isKnown: boolean; readonly signal: AbortSignal },
  ): Promise<PutProviderOutcome | undefined> {
    const { publicKey } = this.#env.crypto
    if (peer.id === this.#self) {
      return this.#shelf.accept({ record, publicKey, source: this.#self }).catch(() => undefined)
    }
    const put = (key: Uint8Array | undefined) => {
      const request = { sender: this.#contacts.sender(), record, publicKey: key }
      return this.#ask(peer, { type: putProvider, request, signal })
    }
    // Who keeps an earlier record of this node has its key.
    const outcome = await put(isKnown ? undefined : publicKey)
    return outcome === 'keyWanted' ? put(publicKey) : outcome
  }

  /** A peer that fails or refuses has done nothing; that is all that matters here. */
  async #ask<Request, Response>(
    peer: Peer,
    question: {
      readonly type: MessageType<Request, Response>
      readonly request: Request
      readonly signal: AbortSignal
    },
  ): Promise<Response | undefined> {
    try {
      return await this.#contacts.ask(peer, question)
    } catch (error) {
      const code = error instanceof EspalierError ? error.code : 'unknown'
      this.#env.log.debug('an announcement was not taken', { peer: peer.id, code })
      return undefined
    }
  }

  /** The k nodes nearest to a key, this one among them. */
  async #targets(key: Key, signal: AbortSignal): Promise<readonly Peer[]> {
    const others = await this.#search.closest(key, signal)
    return [...others, { id: this.#self, addresses: [] }]
      .sort((x, y) => compareDistance(key, { a: keyOfNode(x.id), b: keyOfNode(y.id) }))
      .slice(0, this.#k)
  }

  #keyOf(root: Uint8Array): Key {
    return keyOfRecord(this.#env.crypto, { kind: 'PROVIDER', subject: root, owner: this.#self })
  }

  /** One that was just loaded or issued is due at once. */
  #standingOf({ root }: OwnAnnouncement): Standing {
    const known = this.#standings.get(root)
    if (known !== undefined) return known
    const standing = { accepted: [], dueAtMs: 0, isTaken: false, lifetime: new Lifetime() }
    this.#standings.set(root, standing)
    return standing
  }
}

function countOf({ summary, added }: OwnAnnouncement): number {
  return summary.shape.count + added.length
}
