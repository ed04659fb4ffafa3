import { toHex } from '../base/bytes.ts'
import type { Env } from '../base/env.ts'
import { EspalierError } from '../base/error.ts'
import type { NodeId } from '../base/identity.ts'
import { keyOfRecord, type SignedRecord } from '../base/record.ts'
import type { PeerAddress } from '../net/address.ts'
import { outcomeOf } from '../net/tally.ts'
import type { Calls } from './calls.ts'
import type { Contacts } from './contacts.ts'
import { ProviderCache, type KnownProvider } from './provider-cache.ts'
import { Claims } from './provider-claims.ts'
import { planProviders, type ProviderPlan } from './provider-plan.ts'
import { decodeProvider } from './provider-record.ts'
import type { ProviderSearch } from './provider-search.ts'
import { segmentsOf } from './provider-summary.ts'
import { SummaryView } from './provider-view.ts'
import { MAX_SEGMENTS_ANSWERED, getSummary, type GetSummaryRequest } from './provider-wire.ts'
import { endOf } from './turns.ts'

/** Providers whose summaries are fetched at once. */
const BATCH = 8
/** Providers of an id that are enough for a {@link ProviderReader.find}. */
const ENOUGH = 4
/** What nobody is known to have is asked of the network again after this time. */
const RELOOK_MS = 60_000
/** A provider that did not answer is asked again after this time. */
const RETRY_MS = 60_000

/**
 * Who has a child of a root, and where it is.
 *
 * @category Providers
 */
export type Provider = PeerAddress & { readonly id: NodeId }

/** Finds out who has which children of a root: asks the network once for each root, and the providers for their summaries. */
export class ProviderReader {
  readonly #self: NodeId
  readonly #env: Env
  readonly #contacts: Contacts
  readonly #calls: Calls
  readonly #search: ProviderSearch
  readonly #cache = new ProviderCache()
  readonly #claims = new Claims()
  /** What is being fetched, for all who wait for it. Bounded by the calls under way. */
  readonly #flights = new Map<string, Promise<void>>()
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
    this.#contacts = deps.contacts
    this.#calls = deps.calls
    this.#search = deps.search
  }

  /** Memory of all summaries. */
  get cachedBytes(): number {
    return this.#cache.bytes
  }

  /** Providers that claim an id, the least named first; none when nobody does. */
  async find(root: Uint8Array, id: Uint8Array, signal: AbortSignal): Promise<readonly Provider[]> {
    const claimants = await this.#claimantsOf(root, [id], signal)
    const views = claimants(id)
      .map((known) => ({ known, named: this.#timesNamed(known) }))
      .sort((a, b) => a.named - b.named)
    for (const { known, named } of views) if (known.view !== undefined) this.#named.set(known.view, named + 1)
    return views.map(({ known }) => this.#addressOf(known))
  }

  /** Which provider is to be asked for which of many ids, so that none has much more to serve than the others. */
  async plan(
    root: Uint8Array,
    ids: readonly Uint8Array[],
    signal: AbortSignal,
  ): Promise<ProviderPlan & { readonly providers: ReadonlyMap<NodeId, Provider> }> {
    const claimants = await this.#claimantsOf(root, ids, signal)
    const providers = new Map<NodeId, Provider>()
    const plan = planProviders(ids, (id) =>
      claimants(id).map((known) => {
        providers.set(known.claim.provider, this.#addressOf(known))
        return known.claim.provider
      }),
    )
    return { ...plan, providers }
  }

  /** A provider did not have an id that it claims. Answers whether that proves a lie: then it is named no more. */
  missed(
    root: Uint8Array,
    { provider, id }: { readonly provider: NodeId; readonly id: Uint8Array },
  ): boolean {
    const view = this.#cache.get(root, provider)?.view
    const answer = view?.has(id)
    // Who claimed nothing broke no promise.
    if (answer?.kind !== 'yes' || this.#cache.isMissed(root, { provider, id })) return false
    this.#cache.onMissed(root, { provider, id })
    this.#count('missed')
    if (!this.#claims.onMissed(provider, { isExact: answer.isExact })) return false
    this.#count('over_claimed')
    this.#env.log.warn('a provider claims what it does not have', { provider })
    this.#cache.onLiar(provider)
    return true
  }

  /** The epoch of the summary that is known of a provider, for receipts. */
  epochOf(root: Uint8Array, provider: NodeId): number | undefined {
    return this.#cache.get(root, provider)?.claim.epoch
  }

  /** Who claims each of `ids`, after everything that has to be known for that was fetched. */
  async #claimantsOf(root: Uint8Array, ids: readonly Uint8Array[], signal: AbortSignal) {
    const nowMs = (): number => this.#env.clock.nowMs()
    const startedAtMs = nowMs()
    if (this.#live(root).length === 0) await this.#lookUp(root, { isEarly: true, signal })
    await this.#ensure(root, { ids, signal })
    const isOpen = (id: Uint8Array): boolean => this.#claimants(root, id).length === 0
    const lookedUpAtMs = this.#cache.lookedUpAtMs(root) ?? startedAtMs
    if (ids.some(isOpen) && lookedUpAtMs < startedAtMs && nowMs() - lookedUpAtMs >= RELOOK_MS) {
      await this.#lookUp(root, { isEarly: false, signal })
      await this.#freshen(root, signal)
      await this.#ensure(root, { ids, signal })
    }
    for (const id of ids) this.#countQuestion(root, id)
    return (id: Uint8Array) => this.#claimants(root, id)
  }

  #claimants(root: Uint8Array, id: Uint8Array): KnownProvider[] {
    return this.#live(root).filter(
      ({ view, claim: { provider } }) =>
        view?.has(id).kind === 'yes' && !this.#cache.isMissed(root, { provider, id }),
    )
  }

  /** Every question may be answered wrongly by chance: what chance explains is no lie. */
  #countQuestion(root: Uint8Array, id: Uint8Array): void {
    if (!this.#cache.onAsked(root, id)) return
    for (const { view } of this.#live(root)) {
      if (view !== undefined) this.#claims.onTested(view.name.provider, view.shape.parameter)
    }
  }

  /** Fetches summaries, and of long ones the segments that matter, a few providers at a time until it is enough. */
  async #ensure(
    root: Uint8Array,
    { ids, signal }: { readonly ids: readonly Uint8Array[]; readonly signal: AbortSignal },
  ): Promise<void> {
    const isEnough = (): boolean => ids.every((id) => this.#claimants(root, id).length >= ENOUGH)
    const waiting = this.#live(root).map(({ claim }) => claim.provider)
    for (let at = 0; at < waiting.length && !isEnough(); at += BATCH) {
      const batch = waiting.slice(at, at + BATCH)
      await Promise.all(batch.map((provider) => this.#know(root, { provider, ids, signal })))
    }
  }

  async #know(
    root: Uint8Array,
    {
      provider,
      ids,
      signal,
    }: { readonly provider: NodeId; readonly ids: readonly Uint8Array[]; readonly signal: AbortSignal },
  ): Promise<void> {
    const known = (): KnownProvider | undefined => this.#cache.get(root, provider)
    const current = known()
    if (current === undefined) return
    if (current.view === undefined) {
      await this.#fly(current, { what: 'summary', signal, work: (end) => this.#fetch(current, end) })
    }
    const view = known()?.view
    if (view === undefined) return
    const positions = new Set<number>()
    for (const id of ids) {
      const answer = view.has(id)
      if (answer.kind === 'unknown') positions.add(answer.position)
    }
    for (const run of runsOf([...positions].sort((a, b) => a - b))) {
      const now = known()
      if (now?.view !== view) return
      const work = (end: AbortSignal) => this.#fetchRun(now, { view, run, signal: end })
      await this.#fly(now, { what: `segments ${run.join()}`, signal, work })
    }
  }

  /** Asks providers with a summary what came since: added ids, or a new summary. */
  async #freshen(root: Uint8Array, signal: AbortSignal): Promise<void> {
    const known = this.#live(root).filter(({ view }) => view !== undefined)
    for (let at = 0; at < known.length; at += BATCH) {
      await Promise.all(
        known.slice(at, at + BATCH).map(async (one) => {
          const { view } = one
          if (view === undefined) return
          const work = async (end: AbortSignal): Promise<void> => {
            const from = view.added
            const answer = await this.#ask(one, { addedFrom: from }, end)
            if (answer !== undefined) addTo(view, { from, added: answer.added })
          }
          await this.#fly(one, { what: 'added', signal, work })
        }),
      )
    }
  }

  async #fetch(known: KnownProvider, signal: AbortSignal): Promise<void> {
    const { root, provider, epoch, shape, hash } = known.claim
    const view = new SummaryView(this.#env.crypto, { name: { root, provider, epoch }, shape, hash })
    const count = segmentsOf(shape.count)
    const isShort = count <= MAX_SEGMENTS_ANSWERED
    const wanted = isShort ? { segments: { from: 0, count } } : { wantsIndex: true }
    const answer = await this.#ask(known, wanted, signal)
    if (answer === undefined) return
    if (isShort) view.setAll(answer.segments)
    else if (answer.index === undefined) throw violation('no index came')
    else view.setIndex(answer.index)
    view.addDelta(0, answer.added)
    this.#cache.update(known, { view })
    this.#count('ok')
  }

  async #fetchRun(
    known: KnownProvider,
    {
      view,
      run,
      signal,
    }: { readonly view: SummaryView; readonly run: readonly number[]; readonly signal: AbortSignal },
  ): Promise<void> {
    const [first = 0] = run
    const from = view.added
    const wanted = { segments: { from: first, count: run.length }, addedFrom: from }
    const answer = await this.#ask(known, wanted, signal)
    if (answer === undefined) return
    if (answer.segments.length !== run.length) throw violation('another number of segments came')
    for (const [at, segment] of answer.segments.entries()) view.setSegment(first + at, segment)
    addTo(view, { from, added: answer.added })
    this.#cache.update(known, { view })
  }

  /** One question; a provider that has issued anew or withdrawn is remembered so, and answers nothing else. */
  async #ask(known: KnownProvider, wanted: Partial<GetSummaryRequest>, signal: AbortSignal) {
    const { root, provider, epoch } = known.claim
    const request: GetSummaryRequest = {
      root,
      epoch,
      wantsIndex: false,
      segments: { from: 0, count: 0 },
      addedFrom: 0,
      wantsRecord: false,
      ...wanted,
    }
    const answer = await this.#contacts.ask(this.#addressOf(known), { type: getSummary, request, signal })
    if (answer.kind === 'summary') return answer
    if (answer.kind === 'none') this.#cache.delete(root, provider)
    else await this.#move(known, answer.record, signal)
    return undefined
  }

  /** Takes the record of a later summary from its provider, and fetches that. */
  async #move(known: KnownProvider, record: SignedRecord, signal: AbortSignal): Promise<void> {
    const { root, provider } = known.claim
    const key = keyOfRecord(this.#env.crypto, { kind: 'PROVIDER', subject: root, owner: provider })
    await this.#search.verify(record, { key, holder: this.#addressOf(known), signal })
    if (record.body.owner !== provider) throw violation('the record of another provider')
    const taken = this.#take(record)
    if (taken !== 'new') throw violation('an earlier summary in the place of a later one')
    const moved = this.#cache.get(root, provider)
    if (moved !== undefined) await this.#fetch(moved, signal)
  }

  async #lookUp(
    root: Uint8Array,
    { isEarly, signal }: { readonly isEarly: boolean; readonly signal: AbortSignal },
  ): Promise<void> {
    await this.#once(`root ${toHex(root)}`, signal, async (end) => {
      const records = await this.#search.find(root, { isEarly, signal: end })
      this.#cache.onLookedUp(root, this.#env.clock.nowMs())
      for (const record of records) this.#take(record)
    })
  }

  #take(record: SignedRecord) {
    const taken = this.#cache.take(decodeProvider(record.body), record.body.sequence)
    if (taken === 'replayed') this.#count('replayed')
    return taken
  }

  /** What a provider is asked, once for all who wait; its failures are remembered and counted here. */
  async #fly(
    known: KnownProvider,
    {
      what,
      signal,
      work,
    }: {
      readonly what: string
      readonly signal: AbortSignal
      readonly work: (signal: AbortSignal) => Promise<void>
    },
  ): Promise<void> {
    const { root, provider, epoch } = known.claim
    await this.#once(`${provider} ${toHex(root)} ${epoch} ${what}`, signal, async (end) => {
      try {
        await work(end)
      } catch (error) {
        const code = outcomeOf(error)
        this.#count(code)
        const isLie = code === 'PROTOCOL_VIOLATION' || code === 'RECORD_INVALID'
        if (isLie) this.#env.log.warn('a provider gave a summary that is not its own', { provider, code })
        const retryAtMs = isLie ? Infinity : this.#env.clock.nowMs() + RETRY_MS
        this.#cache.update(known, isLie ? { retryAtMs, view: undefined } : { retryAtMs })
      }
    })
  }

  /** Runs work once for all who ask for it meanwhile; it goes on when one of them gives up. */
  async #once(
    name: string,
    signal: AbortSignal,
    work: (signal: AbortSignal) => Promise<void>,
  ): Promise<void> {
    let flight = this.#flights.get(name)
    if (flight === undefined) {
      flight = this.#calls.run({}, work).finally(() => this.#flights.delete(name))
      this.#flights.set(name, flight)
    }
    await endOf(flight, signal)
  }

  /** Those that may be asked now. */
  #live(root: Uint8Array): KnownProvider[] {
    const { clock } = this.#env
    const nowMs = clock.nowMs()
    return this.#cache
      .providers(root, clock.unixMs())
      .filter(({ retryAtMs, claim }) => retryAtMs <= nowMs && claim.provider !== this.#self)
  }

  #addressOf({ claim }: KnownProvider): Provider {
    return { id: claim.provider, addresses: claim.addresses }
  }

  #timesNamed({ view }: KnownProvider): number {
    return view === undefined ? 0 : (this.#named.get(view) ?? 0)
  }

  #count(outcome: string): void {
    this.#env.metrics.counter('summaries', { outcome }).add()
  }
}

/** Takes ids that came after `from`; another answer may have brought some of them meanwhile. */
function addTo(
  view: SummaryView,
  { from, added }: { readonly from: number; readonly added: readonly Uint8Array[] },
): void {
  view.addDelta(view.added, added.slice(Math.max(0, view.added - from)))
}

/** Positions that follow each other, as many as one answer takes. */
function runsOf(positions: readonly number[]): number[][] {
  const runs: number[][] = []
  for (const position of positions) {
    const last = runs.at(-1)
    const follows = last?.at(-1) === position - 1 && last.length < MAX_SEGMENTS_ANSWERED
    if (follows) last.push(position)
    else runs.push([position])
  }
  return runs
}

function violation(reason: string): EspalierError {
  return new EspalierError('PROTOCOL_VIOLATION', `provider summary: ${reason}`)
}
