import { toHex } from '../base/bytes.ts'
import type { Timer } from '../base/clock.ts'
import type { Env } from '../base/env.ts'
import type { NodeId } from '../base/identity.ts'
import type { PeerAddress } from '../net/address.ts'
import type { Calls } from './calls.ts'
import type { Contacts } from './contacts.ts'
import { Flights } from './flights.ts'
import { Pace } from './pace.ts'
import { ProviderCache, type KnownProvider } from './provider-cache.ts'
import { Claims } from './provider-claims.ts'
import { FETCH_BATCH, ProviderFetcher, addressOf } from './provider-fetcher.ts'
import { planProviders, type ProviderPlan } from './provider-plan.ts'
import type { ProviderSearch } from './provider-search.ts'
import type { SummaryView } from './provider-view.ts'

/** Providers of an id that are enough for a {@link ProviderReader.find}. */
const ENOUGH = 4
/** What nobody is known to have is asked of the network again after this time. */
const RELOOK_MS = 60_000
/** Providers are waited for as long before others are asked; later answers are for those who ask later. */
const PATIENCE_MS = 1_000
/** Questions to summaries before other work gets its turn: a few milliseconds. */
const SLICE = 16_384

/**
 * Who has a child of a root, and where it is.
 *
 * @category Providers
 */
export type Provider = PeerAddress & { readonly id: NodeId }

/** One call: about what, and how it takes its time. */
interface Question {
  readonly root: Uint8Array
  readonly ids: readonly Uint8Array[]
  readonly pace: Pace
  readonly signal: AbortSignal
}

/** Finds out who has which children of a root: asks the network once for each root, and the providers for their summaries. */
export class ProviderReader {
  readonly #self: NodeId
  readonly #env: Env
  readonly #search: ProviderSearch
  readonly #fetcher: ProviderFetcher
  readonly #flights: Flights
  readonly #cache = new ProviderCache()
  readonly #claims = new Claims()
  /** How often each was named: others come first. Bounded by the providers of the cache. */
  readonly #named = new WeakMap<SummaryView, number>()

  constructor(deps: {
    readonly self: NodeId
    readonly env: Env
    readonly contacts: Contacts
    readonly calls: Calls
    readonly search: ProviderSearch
  }) {
    this.#self = deps.self
    this.#env = deps.env
    this.#search = deps.search
    this.#flights = new Flights(deps.calls)
    this.#fetcher = new ProviderFetcher({ ...deps, cache: this.#cache, flights: this.#flights })
  }

  /** Memory of what is known of roots, their providers and the summaries. */
  get cachedBytes(): number {
    return this.#cache.bytes
  }

  /** Providers that claim an id, the least named first; none when nobody does. */
  async find(root: Uint8Array, id: Uint8Array, signal: AbortSignal): Promise<readonly Provider[]> {
    const [claimants = []] = await this.#claimantsOf(this.#question(root, [id], signal))
    const views = claimants
      .map((known) => ({ known, named: this.#timesNamed(known) }))
      .sort((a, b) => a.named - b.named)
    for (const { known, named } of views) if (known.view !== undefined) this.#named.set(known.view, named + 1)
    return views.map(({ known }) => addressOf(known))
  }

  /** Which provider is to be asked for which of many ids, so that none has much more to serve than the others. */
  async plan(
    root: Uint8Array,
    ids: readonly Uint8Array[],
    signal: AbortSignal,
  ): Promise<ProviderPlan & { readonly providers: ReadonlyMap<NodeId, Provider> }> {
    const question = this.#question(root, ids, signal)
    const claimants = await this.#claimantsOf(question)
    const providers = new Map<NodeId, Provider>()
    const work = planProviders(ids, (_, at) =>
      (claimants[at] ?? []).map((known) => {
        const { provider } = known.claim
        if (!providers.has(provider)) providers.set(provider, addressOf(known))
        return provider
      }),
    )
    let step = work.next()
    while (step.done !== true) {
      if (question.pace.isOver(step.value)) await question.pace.rest()
      step = work.next()
    }
    return { ...step.value, providers }
  }

  /** A provider did not have an id that it claims. Answers whether that proves a lie: then it is named no more. */
  missed(
    root: Uint8Array,
    { provider, id }: { readonly provider: NodeId; readonly id: Uint8Array },
  ): boolean {
    const known = this.#cache.get(root, provider)
    // Who claimed nothing broke no promise.
    if (known?.view?.miss(id) !== true) return false
    this.#cache.update(known)
    this.#count('missed')
    if (!this.#claims.onMissed(known.view, id)) return false
    this.#count('over_claimed')
    this.#env.log.warn('a provider claims what it does not have', { provider })
    this.#cache.onLiar(provider)
    return true
  }

  #question(root: Uint8Array, ids: readonly Uint8Array[], signal: AbortSignal): Question {
    return { root, ids, signal, pace: new Pace(this.#env.clock, { signal, slice: SLICE }) }
  }

  /** Who claims each of the ids, after everything that has to be known for that was fetched. */
  async #claimantsOf(question: Question): Promise<readonly (readonly KnownProvider[])[]> {
    const { root, signal } = question
    if (this.#live(root).length === 0 && this.#mayLookUp(root)) {
      await this.#lookUp(root, { isEarly: true, signal })
    }
    await this.#ensure(question)
    if (this.#mayLookUp(root) && !(await this.#hasClaimants(question, 1))) {
      await this.#lookUp(root, { isEarly: false, signal })
      await this.#fetcher.freshen(this.#live(root), signal)
      await this.#ensure(question)
    }
    return this.#askAll(question)
  }

  /** Puts every question to every summary: that counts, for those who answer more wrongly than chance does. */
  async #askAll({ root, ids, pace }: Question): Promise<readonly (readonly KnownProvider[])[]> {
    const answers: KnownProvider[][] = []
    let live = this.#live(root)
    for (const id of ids) {
      answers.push(
        live.filter(
          ({ view }) => view !== undefined && this.#claims.ask(view, id).kind === 'yes' && !view.isMissed(id),
        ),
      )
      if (!pace.isOver(live.length)) continue
      await pace.rest()
      live = this.#live(root)
    }
    return answers
  }

  /** Whether each of the ids has as many as `least` who claim it. */
  async #hasClaimants({ root, ids, pace }: Question, least: number): Promise<boolean> {
    let live = this.#live(root)
    for (const id of ids) {
      let count = 0
      for (const { view } of live) {
        if (view?.has(id).kind === 'yes' && !view.isMissed(id)) count += 1
        if (count === least) break
      }
      if (count < least) return false
      if (!pace.isOver(live.length)) continue
      await pace.rest()
      live = this.#live(root)
    }
    return true
  }

  /**
   * Fetches summaries, and of long ones the segments that matter, a few providers at a time until it is enough.
   * Who is slow holds up neither the next ones nor what others have.
   */
  async #ensure(question: Question): Promise<void> {
    const { root } = question
    const waiting = this.#live(root).map(({ claim }) => claim.provider)
    const slow: Promise<unknown>[] = []
    for (let at = 0; at < waiting.length; at += FETCH_BATCH) {
      if (await this.#hasClaimants(question, ENOUGH)) return
      const batch = waiting.slice(at, at + FETCH_BATCH)
      const work = Promise.all(batch.map((provider) => this.#fetcher.fetch(root, provider, question)))
      if (!(await this.#isSlow(work))) continue
      // Nobody may wait for its end any more.
      work.catch(() => undefined)
      slow.push(work)
      if (await this.#hasClaimants(question, 1)) return
    }
    if (slow.length > 0 && !(await this.#hasClaimants(question, 1))) await Promise.all(slow)
  }

  /** Whether work is not done after a time; it goes on then. */
  async #isSlow(work: Promise<unknown>): Promise<boolean> {
    let timer: Timer | undefined
    const patience = new Promise<true>((resolve) => {
      timer = this.#env.clock.setTimer(PATIENCE_MS, () => resolve(true))
    })
    try {
      return await Promise.race([work.then(() => false), patience])
    } finally {
      timer?.cancel()
    }
  }

  /** Throws when the look-up does: then nobody knows whether somebody has it. */
  async #lookUp(
    root: Uint8Array,
    { isEarly, signal }: { readonly isEarly: boolean; readonly signal: AbortSignal },
  ): Promise<void> {
    await this.#flights.join(`root ${toHex(root)}`, signal, async (end) => {
      const records = await this.#search.find(root, { isEarly, signal: end })
      this.#cache.onLookedUp(root, this.#env.clock.nowMs())
      for (const record of records) this.#fetcher.take(record)
    })
  }

  #mayLookUp(root: Uint8Array): boolean {
    const lookedUpAtMs = this.#cache.lookedUpAtMs(root) ?? -Infinity
    return this.#env.clock.nowMs() - lookedUpAtMs >= RELOOK_MS
  }

  /** Those that may be asked now. */
  #live(root: Uint8Array): KnownProvider[] {
    const { clock } = this.#env
    const nowMs = clock.nowMs()
    return this.#cache
      .providers(root, clock.unixMs())
      .filter(({ retryAtMs, claim }) => retryAtMs <= nowMs && claim.provider !== this.#self)
  }

  #timesNamed({ view }: KnownProvider): number {
    return view === undefined ? 0 : (this.#named.get(view) ?? 0)
  }

  #count(outcome: string): void {
    this.#env.metrics.counter('summaries', { outcome }).add()
  }
}
