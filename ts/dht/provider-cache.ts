import { equalBytes, toHex } from '../base/bytes.ts'
import type { NodeId } from '../base/identity.ts'
import type { ProviderClaim } from './provider-record.ts'
import type { SummaryView } from './provider-view.ts'

/** Roots that are remembered; the least recently used is forgotten. */
const MAX_ROOTS = 1_024
/** Providers of one root that are remembered. */
export const MAX_KNOWN_PROVIDERS = 64
/** Memory of all summaries together. */
const MAX_BYTES = 64 * 1_048_576
/** Ids of one root whose misses and questions are remembered. */
const MAX_IDS = 16_384
/** Providers that were found to lie; the one found first is forgotten. */
const MAX_LIARS = 1_024

/** A provider of one root as a reader knows it. */
export interface KnownProvider {
  readonly claim: ProviderClaim
  readonly sequence: number
  /** Nothing until the summary was fetched. */
  readonly view: SummaryView | undefined
  /** It is not asked before, in the time of `nowMs`: it did not answer, or it lied about this summary. */
  readonly retryAtMs: number
}

/** What a reader remembers of one root. */
interface CachedRoot {
  readonly providers: Map<NodeId, KnownProvider>
  /** Hexadecimal ids that were asked about. Bounded by {@link MAX_IDS}. */
  readonly asked: Set<string>
  /** `provider id` that turned out not to be there. Bounded by {@link MAX_IDS}. */
  readonly missed: Set<string>
  lookedUpAtMs: number
}

/** `replayed`: an earlier summary, or another one under the same epoch, behind a later sequence. */
export type Taken = 'new' | 'renewed' | 'stale' | 'replayed' | 'full'

/** What a reader knows of roots, their providers and the summaries: decides what a new record changes. */
export class ProviderCache {
  /** By root in hexadecimal, the latest used last. Bounded by {@link MAX_ROOTS} and {@link MAX_BYTES}. */
  readonly #roots = new Map<string, CachedRoot>()
  /** Bounded by {@link MAX_LIARS}. */
  readonly #liars = new Set<NodeId>()

  /** Memory of all summaries. */
  get bytes(): number {
    let sum = 0
    for (const { providers } of this.#roots.values())
      for (const { view } of providers.values()) sum += view?.bytes ?? 0
    return sum
  }

  /** When the network was asked last for providers of a root; nothing for an unknown root. */
  lookedUpAtMs(root: Uint8Array): number | undefined {
    return this.#roots.get(toHex(root))?.lookedUpAtMs
  }

  onLookedUp(root: Uint8Array, nowMs: number): void {
    this.#use(root).lookedUpAtMs = nowMs
  }

  /** Providers of a root whose announcement has not expired and who did not lie, those with a summary first. */
  providers(root: Uint8Array, nowUnixMs: number): KnownProvider[] {
    const cached = this.#roots.get(toHex(root))
    if (cached === undefined) return []
    this.#use(root)
    const live = [...cached.providers.values()].filter(
      ({ claim }) => claim.expiresUnixMs >= nowUnixMs && !this.#liars.has(claim.provider),
    )
    return live.sort((a, b) => Number(a.view === undefined) - Number(b.view === undefined))
  }

  get(root: Uint8Array, provider: NodeId): KnownProvider | undefined {
    return this.#roots.get(toHex(root))?.providers.get(provider)
  }

  /** A verified record. Of one epoch there is one summary, and epochs go up with sequences. */
  take(claim: ProviderClaim, sequence: number): Taken {
    const { providers } = this.#use(claim.root)
    const known = providers.get(claim.provider)
    if (known === undefined) {
      if (providers.size >= MAX_KNOWN_PROVIDERS) return 'full'
      providers.set(claim.provider, { claim, sequence, view: undefined, retryAtMs: 0 })
      return 'new'
    }
    if (sequence <= known.sequence) return 'stale'
    if (claim.epoch > known.claim.epoch) {
      providers.set(claim.provider, { claim, sequence, view: undefined, retryAtMs: 0 })
      return 'new'
    }
    if (claim.epoch < known.claim.epoch || !isSameSummary(claim, known.claim)) return 'replayed'
    providers.set(claim.provider, { ...known, claim, sequence })
    return 'renewed'
  }

  /** Sets what was learnt of a provider, unless a later summary has come meanwhile. */
  update(known: KnownProvider, change: Partial<Pick<KnownProvider, 'view' | 'retryAtMs'>>): void {
    const { root, provider, epoch } = known.claim
    const cached = this.#roots.get(toHex(root))
    const current = cached?.providers.get(provider)
    if (cached === undefined || current?.claim.epoch !== epoch) return
    cached.providers.set(provider, { ...current, ...change })
    this.#trim(toHex(root))
  }

  /** The provider says itself that it announces nothing of the root any more. */
  delete(root: Uint8Array, provider: NodeId): void {
    this.#roots.get(toHex(root))?.providers.delete(provider)
  }

  /** Whether an id is asked about for the first time, as far as memory goes. */
  onAsked(root: Uint8Array, id: Uint8Array): boolean {
    const { asked } = this.#use(root)
    const name = toHex(id)
    if (asked.has(name) || asked.size >= MAX_IDS) return false
    asked.add(name)
    return true
  }

  /** A provider did not have an id that it claims: it is not named for it again. */
  onMissed(root: Uint8Array, { provider, id }: { readonly provider: NodeId; readonly id: Uint8Array }): void {
    const { missed } = this.#use(root)
    if (missed.size < MAX_IDS) missed.add(`${provider} ${toHex(id)}`)
  }

  isMissed(
    root: Uint8Array,
    { provider, id }: { readonly provider: NodeId; readonly id: Uint8Array },
  ): boolean {
    return this.#roots.get(toHex(root))?.missed.has(`${provider} ${toHex(id)}`) === true
  }

  /** A lie was proved: the provider is named for no root any more. */
  onLiar(provider: NodeId): void {
    this.#liars.add(provider)
    const [oldest] = this.#liars
    if (this.#liars.size > MAX_LIARS && oldest !== undefined) this.#liars.delete(oldest)
  }

  #use(root: Uint8Array): CachedRoot {
    const name = toHex(root)
    const cached = this.#roots.get(name) ?? {
      providers: new Map<NodeId, KnownProvider>(),
      asked: new Set<string>(),
      missed: new Set<string>(),
      lookedUpAtMs: -Infinity,
    }
    this.#roots.delete(name)
    this.#roots.set(name, cached)
    const [oldest] = this.#roots.keys()
    if (this.#roots.size > MAX_ROOTS && oldest !== undefined) this.#roots.delete(oldest)
    return cached
  }

  /** Forgets other roots, the least recently used first, until all summaries fit. */
  #trim(kept: string): void {
    let { bytes } = this
    for (const [name, { providers }] of this.#roots) {
      if (bytes <= MAX_BYTES) return
      if (name === kept) continue
      for (const { view } of providers.values()) bytes -= view?.bytes ?? 0
      this.#roots.delete(name)
    }
  }
}

function isSameSummary(a: ProviderClaim, b: ProviderClaim): boolean {
  return (
    a.shape.count === b.shape.count && a.shape.parameter === b.shape.parameter && equalBytes(a.hash, b.hash)
  )
}
