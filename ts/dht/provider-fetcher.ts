import { toHex } from '../base/bytes.ts'
import type { Env } from '../base/env.ts'
import { EspalierError } from '../base/error.ts'
import type { NodeId } from '../base/identity.ts'
import { keyOfRecord, type SignedRecord } from '../base/record.ts'
import type { PeerAddress } from '../net/address.ts'
import { outcomeOf } from '../net/tally.ts'
import type { Contacts } from './contacts.ts'
import type { Flights } from './flights.ts'
import type { Pace } from './pace.ts'
import type { KnownProvider, ProviderCache } from './provider-cache.ts'
import { decodeProvider } from './provider-record.ts'
import type { ProviderSearch } from './provider-search.ts'
import { segmentsOf } from './provider-summary.ts'
import { SummaryView } from './provider-view.ts'
import { MAX_SEGMENTS_ANSWERED, getSummary, type GetSummaryRequest } from './provider-wire.ts'

/** Providers that are asked at once. */
export const FETCH_BATCH = 8
/** A provider that did not answer is asked again after this time. */
const RETRY_MS = 60_000

/** What of a summary has to be known. */
interface Wanted {
  readonly ids: readonly Uint8Array[]
  readonly pace: Pace
  readonly signal: AbortSignal
}

/** How a provider is asked. */
interface Asking {
  /** Whether it may name a later summary instead: once, else one provider could be asked for ever. */
  readonly mayMove: boolean
  readonly signal: AbortSignal
}

/** Fetches summaries from their providers into the cache: each part once for all who wait for it. */
export class ProviderFetcher {
  readonly #env: Env
  readonly #contacts: Contacts
  readonly #search: ProviderSearch
  readonly #cache: ProviderCache
  readonly #flights: Flights

  constructor(deps: {
    readonly env: Env
    readonly contacts: Contacts
    readonly search: ProviderSearch
    readonly cache: ProviderCache
    readonly flights: Flights
  }) {
    this.#env = deps.env
    this.#contacts = deps.contacts
    this.#search = deps.search
    this.#cache = deps.cache
    this.#flights = deps.flights
  }

  /** Fetches the summary of a provider, of a long one the segments that matter. Rejects only for `signal`. */
  async fetch(root: Uint8Array, provider: NodeId, wanted: Wanted): Promise<void> {
    const { signal } = wanted
    const known = (): KnownProvider | undefined => this.#cache.get(root, provider)
    const current = known()
    if (current === undefined) return
    if (current.view === undefined) {
      const work = (end: AbortSignal) => this.#fetchSummary(current, { mayMove: true, signal: end })
      await this.#fly(current, { what: 'summary', signal, work })
    }
    const view = known()?.view
    if (view === undefined) return
    for (const run of runsOf(await missingOf(view, wanted))) {
      const now = known()
      // Who did not answer for one run is not waited for with the next.
      if (now?.view !== view || now.retryAtMs > this.#env.clock.nowMs()) return
      const work = (end: AbortSignal) => this.#fetchRun(now, { view, run, signal: end })
      await this.#fly(now, { what: `segments ${run.join()}`, signal, work })
    }
  }

  /** Asks providers with a summary what came since: added ids, or a new summary. Rejects only for `signal`. */
  async freshen(providers: readonly KnownProvider[], signal: AbortSignal): Promise<void> {
    for (let at = 0; at < providers.length; at += FETCH_BATCH) {
      await Promise.all(
        providers.slice(at, at + FETCH_BATCH).map(async (known) => {
          const { view } = known
          if (view === undefined) return
          const work = async (end: AbortSignal): Promise<void> => {
            const from = view.added
            const answer = await this.#ask(known, { addedFrom: from }, { mayMove: true, signal: end })
            if (answer === undefined) return
            addTo(view, { from, added: answer.added })
            this.#cache.update(known)
          }
          await this.#fly(known, { what: 'added', signal, work })
        }),
      )
    }
  }

  /** Takes a verified record. */
  take(record: SignedRecord) {
    const { sequence } = record.body
    const { clock } = this.#env
    const now = { nowMs: clock.nowMs(), nowUnixMs: clock.unixMs() }
    const taken = this.#cache.take(decodeProvider(record.body), { sequence, ...now })
    if (taken === 'replayed') this.#count('replayed')
    return taken
  }

  async #fetchSummary(known: KnownProvider, asking: Asking): Promise<void> {
    const { root, provider, epoch, shape, hash } = known.claim
    const view = new SummaryView(this.#env.crypto, { name: { root, provider, epoch }, shape, hash })
    const count = segmentsOf(shape.count)
    const isShort = count <= MAX_SEGMENTS_ANSWERED
    const wanted = isShort ? { segments: { from: 0, count } } : { wantsIndex: true }
    const answer = await this.#ask(known, wanted, asking)
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
    const answer = await this.#ask(known, wanted, { mayMove: true, signal })
    if (answer === undefined) return
    if (answer.segments.length !== run.length) throw violation('another number of segments came')
    for (const [at, segment] of answer.segments.entries()) view.setSegment(first + at, segment)
    addTo(view, { from, added: answer.added })
    this.#cache.update(known, { view })
  }

  /** One question; a provider that has issued anew or withdrawn is remembered so, and answers nothing else. */
  async #ask(known: KnownProvider, wanted: Partial<GetSummaryRequest>, { mayMove, signal }: Asking) {
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
    const answer = await this.#contacts.ask(addressOf(known), { type: getSummary, request, signal })
    if (answer.kind === 'summary') return answer
    if (answer.kind === 'none') this.#cache.delete(root, provider)
    else if (mayMove) await this.#move(known, answer.record, signal)
    else throw violation('moved again')
    return undefined
  }

  /** Takes the record of a later summary from its provider, and fetches that. */
  async #move(known: KnownProvider, record: SignedRecord, signal: AbortSignal): Promise<void> {
    const { root, provider } = known.claim
    const key = keyOfRecord(this.#env.crypto, { kind: 'PROVIDER', subject: root, owner: provider })
    await this.#search.verify(record, { key, holder: addressOf(known), signal })
    if (record.body.owner !== provider) throw violation('the record of another provider')
    const taken = this.take(record)
    if (taken !== 'new') throw violation('an earlier summary in the place of a later one')
    const moved = this.#cache.get(root, provider)
    if (moved !== undefined) await this.#fetchSummary(moved, { mayMove: false, signal })
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
    await this.#flights.join(`${provider} ${toHex(root)} ${epoch} ${what}`, signal, async (end) => {
      try {
        await work(end)
      } catch (error) {
        const code = outcomeOf(error)
        this.#count(code)
        const isLie = code === 'PROTOCOL_VIOLATION' || code === 'RECORD_INVALID'
        if (isLie) this.#env.log.warn('a provider gave a summary that is not its own', { provider, code })
        const retryAtMs = isLie ? Infinity : this.#env.clock.nowMs() + RETRY_MS
        // It may have moved to a later summary before it failed.
        const present = this.#cache.get(root, provider) ?? known
        this.#cache.update(present, isLie ? { retryAtMs, view: undefined } : { retryAtMs })
      }
    })
  }

  #count(outcome: string): void {
    this.#env.metrics.counter('summaries', { outcome }).add()
  }
}

/** Where a provider is. */
export function addressOf({ claim }: KnownProvider): PeerAddress & { readonly id: NodeId } {
  return { id: claim.provider, addresses: claim.addresses }
}

/** Segments that have to be fetched before a summary can answer for all ids, in order. */
async function missingOf(view: SummaryView, { ids, pace }: Wanted): Promise<number[]> {
  const positions = new Set<number>()
  if (view.isWhole) return []
  for (const id of ids) {
    const answer = view.has(id)
    if (answer.kind === 'unknown') positions.add(answer.position)
    if (pace.isOver(1)) await pace.rest()
  }
  return [...positions].sort((a, b) => a - b)
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
