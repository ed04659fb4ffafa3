import type { Timer } from '../base/clock.ts'
import type { Env } from '../base/env.ts'
import { EspalierError, type ErrorCode } from '../base/error.ts'
import type { NodeId } from '../base/identity.ts'
import type { SignedRecord } from '../base/record.ts'
import { outcomeOf } from '../net/tally.ts'
import type { Calls } from './calls.ts'
import type { Contacts } from './contacts.ts'
import type { Peer } from './lookup.ts'
import { NewestVersion, type HashedRecord } from './newest-version.ts'
import type { RegisterSubscription } from './register-subscription.ts'
import { decodeRegister } from './register.ts'
import type { Search, Wanted } from './search.ts'
import { WatchPlan } from './watch-plan.ts'
import { MAX_LEASE_MS, endLease, leaseRegister } from './watch-wire.ts'

const MINUTE_MS = 60_000
/** Between two searches for the nodes nearest to the register while some of them push its changes, ±25 %. */
const SURVEY_INTERVAL_MS = 60 * MINUTE_MS
/** While nobody does: a poll, that begins soon and then is so rare that it costs less than the rest of the upkeep. */
const FIRST_POLL_MS = 2.5 * MINUTE_MS
const MAX_POLL_MS = 30 * MINUTE_MS
const SURVEY_TIMEOUT_MS = 60_000
const LEASE_TIMEOUT_MS = 15_000
const FAREWELL_TIMEOUT_MS = 5_000

const REFUSALS: ReadonlySet<ErrorCode> = new Set(['LIMIT_EXCEEDED', 'RATE_LIMITED', 'UNSUPPORTED'])

/** Watches one register for all that want to know of its changes. */
export class RegisterWatch {
  readonly #env: Env
  readonly #calls: Calls
  readonly #contacts: Contacts
  readonly #search: Search
  readonly #wanted: Wanted
  readonly #onNews: (record: SignedRecord) => void
  readonly #plan = new WatchPlan()
  readonly #newest = new NewestVersion()
  readonly #subscriptions = new Set<RegisterSubscription>()
  readonly #ending = new AbortController()
  #timer: Timer | undefined
  #isSurveying = false
  #surveyedAtMs = -Infinity
  /** Drawn anew for each survey. */
  #jitter = 1
  #pollMs = FIRST_POLL_MS

  constructor(
    deps: {
      readonly env: Env
      readonly calls: Calls
      readonly contacts: Contacts
      readonly search: Search
    },
    options: {
      readonly wanted: Wanted
      /** Told of each new version. */
      readonly onNews: (record: SignedRecord) => void
    },
  ) {
    this.#env = deps.env
    this.#calls = deps.calls
    this.#contacts = deps.contacts
    this.#search = deps.search
    // All of the nearest are asked: none of them is passed over because others answered first.
    this.#wanted = { ...options.wanted, enough: Infinity, maxRestarts: 0 }
    this.#onNews = options.onNews
  }

  get size(): number {
    return this.#subscriptions.size
  }

  /** Nodes that push changes of it. */
  get leaseCount(): number {
    return this.#plan.holders(this.#env.clock.nowMs()).length
  }

  /** Begins; `known` is a verified version that this node has seen before. */
  start(known: SignedRecord | undefined): void {
    if (known !== undefined) this.take(known)
    this.#turn()
  }

  add(subscription: RegisterSubscription): void {
    this.#subscriptions.add(subscription)
    const { newest } = this.#newest
    if (newest !== undefined) subscription.offer({ record: newest.record, equivocation: undefined })
  }

  delete(subscription: RegisterSubscription): void {
    this.#subscriptions.delete(subscription)
  }

  /** Ends it for all. Who has granted a lease is told, unless the node stops. */
  stop({ isFarewell }: { readonly isFarewell: boolean }): void {
    if (this.#ending.signal.aborted) return
    this.#ending.abort()
    this.#timer?.cancel()
    for (const subscription of [...this.#subscriptions]) subscription.end()
    if (!isFarewell) return
    const request = { sender: this.#contacts.sender(), key: this.#wanted.key }
    for (const peer of this.#plan.holders(this.#env.clock.nowMs())) {
      this.#calls.inBackground('ending a watch', FAREWELL_TIMEOUT_MS, (signal) =>
        // Its lease runs out by itself.
        this.#contacts.ask(peer, { type: endLease, request, signal }).catch(() => undefined),
      )
    }
  }

  /**
   * A record that `from` pushes; answers whether it was new. Throws `NOT_FOUND` when that node has not been asked for
   * it, `RECORD_STALE`, and `RECORD_INVALID` or `PROTOCOL_VIOLATION` for one that is not good.
   */
  async push(record: SignedRecord, from: NodeId): Promise<boolean> {
    if (!this.#plan.accepts(from, this.#env.clock.nowMs())) throw unasked()
    return this.#calls.run({ signal: this.#ending.signal, timeoutMs: LEASE_TIMEOUT_MS }, async (signal) => {
      const judged = await this.#receive(record, this.#contacts.peerOf(from), signal)
      if (judged === 'stale') throw new EspalierError('RECORD_STALE', 'a newer version is known here')
      return judged === 'news'
    })
  }

  /** Takes a verified record. An owner can sign what no reader understands: that changes nothing. */
  take(record: SignedRecord): void {
    if (!isReadable(record)) return
    const newer = this.#newest.take(this.#hashed(record))
    if (newer === undefined) return
    this.#onNews(newer.record)
    if (newer.equivocation !== undefined) {
      const { owner, sequence } = record.body
      this.#env.metrics.counter('equivocations', { where: 'watched' }).add()
      this.#env.log.warn('an owner signed two values of one sequence', { owner, sequence })
    }
    for (const subscription of [...this.#subscriptions]) subscription.offer(newer)
  }

  /** Does what is due, and comes back when more is. */
  #turn(): void {
    if (this.#ending.signal.aborted) return
    this.#timer?.cancel()
    const nowMs = this.#env.clock.nowMs()
    if (!this.#isSurveying && this.#nextSurveyAtMs(nowMs) <= nowMs) this.#survey()
    for (const peer of this.#plan.due(nowMs)) this.#lease(peer)
    const surveyAtMs = this.#isSurveying ? Infinity : this.#nextSurveyAtMs(nowMs)
    const nextAtMs = Math.min(surveyAtMs, this.#plan.nextAtMs(nowMs))
    if (nextAtMs === Infinity) return
    this.#timer = this.#env.clock.setTimer(Math.max(0, nextAtMs - nowMs), () => this.#turn())
  }

  #nextSurveyAtMs(nowMs: number): number {
    const isPushed = this.#plan.holders(nowMs).length > 0
    return this.#surveyedAtMs + (isPushed ? SURVEY_INTERVAL_MS : this.#pollMs) * this.#jitter
  }

  /** Looks who is nearest now, and what they all say. */
  #survey(): void {
    this.#isSurveying = true
    this.#work(SURVEY_TIMEOUT_MS, async (signal) => {
      try {
        const { record, closest } = await this.#search.find(this.#wanted, { signal })
        this.#plan.setNearest(closest, this.#env.clock.nowMs())
        if (record !== undefined) this.take(record)
      } finally {
        const nowMs = this.#env.clock.nowMs()
        const isFirst = this.#surveyedAtMs === -Infinity
        const isPushed = this.#plan.holders(nowMs).length > 0
        this.#pollMs = isFirst || isPushed ? FIRST_POLL_MS : Math.min(2 * this.#pollMs, MAX_POLL_MS)
        this.#surveyedAtMs = nowMs
        this.#jitter = 0.75 + this.#env.rng.float() / 2
        this.#isSurveying = false
      }
    })
  }

  #lease(peer: Peer): void {
    this.#work(LEASE_TIMEOUT_MS, async (signal) => {
      const times = () => ({ nowMs: this.#env.clock.nowMs(), random: this.#env.rng.float() })
      try {
        const request = {
          sender: this.#contacts.sender(),
          key: this.#wanted.key,
          leaseMs: MAX_LEASE_MS,
          known: this.#newest.newest?.bodyHash,
        }
        const { leaseMs, record } = await this.#contacts.ask(peer, { type: leaseRegister, request, signal })
        // What it has may be old; what it makes up costs it the lease.
        if (record !== undefined) await this.#receive(record, peer, signal)
        this.#plan.onGranted(peer.id, { leaseMs, ...times() })
      } catch (error) {
        this.#plan.onFailed(peer.id, { isRefusal: REFUSALS.has(outcomeOf(error)), ...times() })
        throw error
      }
    })
  }

  /** Each ends with a look at what is due next. */
  #work(timeoutMs: number, work: (signal: AbortSignal) => Promise<void>): void {
    this.#calls
      .run({ signal: this.#ending.signal, timeoutMs }, work)
      .catch((error: unknown) => {
        this.#env.log.debug('a step of a watch failed', { code: outcomeOf(error) })
      })
      .finally(() => this.#turn())
  }

  /** Verifies only what could change anything. */
  async #receive(
    record: SignedRecord,
    holder: Peer,
    signal: AbortSignal,
  ): Promise<'news' | 'known' | 'stale'> {
    const judged = this.#newest.judge(this.#hashed(record))
    if (judged !== 'news') return judged
    await this.#search.verify(record, { wanted: this.#wanted, holder, signal })
    decodeRegister(record.body)
    // Another may have brought it meanwhile.
    const isNews = this.#newest.judge(this.#hashed(record))
    if (isNews === 'news') this.take(record)
    return isNews
  }

  #hashed(record: SignedRecord): HashedRecord {
    return { record, bodyHash: this.#env.crypto.hash(record.bodyBytes) }
  }
}

export function unasked(): EspalierError {
  return new EspalierError('NOT_FOUND', 'no lease of this node was asked for')
}

function isReadable(record: SignedRecord): boolean {
  try {
    decodeRegister(record.body)
    return true
  } catch {
    return false
  }
}
