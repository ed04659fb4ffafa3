import { equalBytes, toHex } from '../base/bytes.ts'
import type { NodeId } from '../base/identity.ts'
import type { ProviderClaim } from './provider-record.ts'
import type { SummaryView } from './provider-view.ts'

/** Roots that are remembered; the least recently used is forgotten. */
const MAX_ROOTS = 1_024
/** Providers of one root that are remembered. */
export const MAX_KNOWN_PROVIDERS = 64
/** Memory of all that is known of roots. */
const MAX_BYTES = 64 * 1_048_576
/** Memory of a provider of one root without its summary, about. */
const PROVIDER_BYTES = 512
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
  /** Bounded by {@link MAX_KNOWN_PROVIDERS}. */
  readonly providers: Map<NodeId, CachedProvider>
  lookedUpAtMs: number
}

/** A provider, with its memory when it was looked at last: summaries grow. */
type CachedProvider = KnownProvider & { readonly bytes: number }

/** `replayed`: an earlier summary, or another one under the same epoch, behind a later sequence. */
export type Taken = 'new' | 'renewed' | 'stale' | 'replayed' | 'full'

/** What a reader knows of roots, their providers and the summaries: decides what a new record changes. */
export class ProviderCache {
  readonly #maxBytes: number
  /** By root in hexadecimal, the latest used last. Bounded by {@link MAX_ROOTS} and `maxBytes`. */
  readonly #roots = new Map<string, CachedRoot>()
  /** Bounded by {@link MAX_LIARS}. */
  readonly #liars = new Set<NodeId>()
  #bytes = 0

  constructor({ maxBytes = MAX_BYTES }: { readonly maxBytes?: number } = {}) {
    this.#maxBytes = maxBytes
  }

  /** Memory of all providers and their summaries. */
  get bytes(): number {
    return this.#bytes
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
    if (!this.#roots.has(toHex(root))) return []
    const live = [...this.#use(root).providers.values()].filter((known) => this.#isLive(known, nowUnixMs))
    return live.sort((a, b) => Number(a.view === undefined) - Number(b.view === undefined))
  }

  get(root: Uint8Array, provider: NodeId): KnownProvider | undefined {
    return this.#roots.get(toHex(root))?.providers.get(provider)
  }

  /**
   * A verified record. Of one epoch there is one summary, and epochs go up with sequences. Where all places are
   * taken, those go who are of no use any more; or one who gave no summary when it was asked.
   */
  take(
    claim: ProviderClaim,
    {
      sequence,
      nowMs,
      nowUnixMs,
    }: { readonly sequence: number; readonly nowMs: number; readonly nowUnixMs: number },
  ): Taken {
    const cached = this.#use(claim.root)
    const known = cached.providers.get(claim.provider)
    if (known === undefined) {
      if (!this.#makeRoom(cached, { nowMs, nowUnixMs })) return 'full'
      this.#set(cached, { claim, sequence, view: undefined, retryAtMs: 0 })
      return 'new'
    }
    if (sequence <= known.sequence) return 'stale'
    if (claim.epoch > known.claim.epoch) {
      this.#set(cached, { claim, sequence, view: undefined, retryAtMs: 0 })
      return 'new'
    }
    if (claim.epoch < known.claim.epoch || !isSameSummary(claim, known.claim)) return 'replayed'
    this.#set(cached, { ...known, claim, sequence })
    return 'renewed'
  }

  /** Sets what was learnt of a provider, or that its summary has grown, unless a later summary has come meanwhile. */
  update(known: KnownProvider, change: Partial<Pick<KnownProvider, 'view' | 'retryAtMs'>> = {}): void {
    const { root, provider, epoch } = known.claim
    const cached = this.#roots.get(toHex(root))
    const current = cached?.providers.get(provider)
    if (cached === undefined || current?.claim.epoch !== epoch) return
    this.#set(cached, { ...current, ...change })
  }

  /** The provider says itself that it announces nothing of the root any more. */
  delete(root: Uint8Array, provider: NodeId): void {
    const cached = this.#roots.get(toHex(root))
    if (cached !== undefined) this.#remove(cached, provider)
  }

  /** A lie was proved: the provider is named for no root any more. */
  onLiar(provider: NodeId): void {
    this.#liars.add(provider)
    const [oldest] = this.#liars
    if (this.#liars.size > MAX_LIARS && oldest !== undefined) this.#liars.delete(oldest)
  }

  #isLive({ claim }: KnownProvider, nowUnixMs: number): boolean {
    return claim.expiresUnixMs >= nowUnixMs && !this.#liars.has(claim.provider)
  }

  /** Whether there is a place for one more provider. */
  #makeRoom(
    cached: CachedRoot,
    { nowMs, nowUnixMs }: { readonly nowMs: number; readonly nowUnixMs: number },
  ): boolean {
    const { providers } = cached
    if (providers.size < MAX_KNOWN_PROVIDERS) return true
    for (const [provider, known] of providers) {
      if (!this.#isLive(known, nowUnixMs) || known.retryAtMs === Infinity) this.#remove(cached, provider)
    }
    if (providers.size < MAX_KNOWN_PROVIDERS) return true
    for (const [provider, { view, retryAtMs }] of providers) {
      if (view !== undefined || retryAtMs <= nowMs) continue
      this.#remove(cached, provider)
      return true
    }
    return false
  }

  #use(root: Uint8Array): CachedRoot {
    const name = toHex(root)
    const cached = this.#roots.get(name) ?? {
      providers: new Map<NodeId, CachedProvider>(),
      lookedUpAtMs: -Infinity,
    }
    this.#roots.delete(name)
    this.#roots.set(name, cached)
    const [oldest] = this.#roots.keys()
    if (this.#roots.size > MAX_ROOTS && oldest !== undefined) this.#forget(oldest)
    return cached
  }

  #set(cached: CachedRoot, known: KnownProvider): void {
    const { provider } = known.claim
    const bytes = PROVIDER_BYTES + (known.view?.bytes ?? 0)
    this.#bytes += bytes - (cached.providers.get(provider)?.bytes ?? 0)
    cached.providers.set(provider, { ...known, bytes })
    if (this.#bytes > this.#maxBytes) this.#trim(cached, provider)
  }

  #remove(cached: CachedRoot, provider: NodeId): void {
    this.#bytes -= cached.providers.get(provider)?.bytes ?? 0
    cached.providers.delete(provider)
  }

  #forget(name: string): void {
    for (const { bytes } of this.#roots.get(name)?.providers.values() ?? []) this.#bytes -= bytes
    this.#roots.delete(name)
  }

  /** Forgets other roots, the least recently used first, then other summaries of the root, until the rest fits. */
  #trim(kept: CachedRoot, provider: NodeId): void {
    for (const [name, cached] of this.#roots) {
      if (this.#bytes <= this.#maxBytes) return
      if (cached !== kept) this.#forget(name)
    }
    for (const known of kept.providers.values()) {
      if (this.#bytes <= this.#maxBytes) return
      if (known.view === undefined || known.claim.provider === provider) continue
      this.#bytes -= known.bytes - PROVIDER_BYTES
      kept.providers.set(known.claim.provider, { ...known, view: undefined, bytes: PROVIDER_BYTES })
    }
  }
}

function isSameSummary(a: ProviderClaim, b: ProviderClaim): boolean {
  return (
    a.shape.count === b.shape.count && a.shape.parameter === b.shape.parameter && equalBytes(a.hash, b.hash)
  )
}
