import { compareBytes } from '../base/bytes.ts'
import type { NodeId } from '../base/identity.ts'

/** Room for announcements of others. */
export interface ProviderLimits {
  /** Announcements in all. Default 16,384, about 65 MB on disk. */
  readonly maxProviders: number
  /** Announcements of one root. Default 128. */
  readonly maxProvidersPerRoot: number
  /** Roots of one provider. Default 2,048. */
  readonly maxRootsPerProvider: number
}

export const DEFAULT_PROVIDER_LIMITS: ProviderLimits = {
  maxProviders: 16_384,
  maxProvidersPerRoot: 128,
  maxRootsPerProvider: 2_048,
}

/** What has to be known of an announcement to decide whether it is kept. */
export interface ProviderEntry {
  /** Key of the root in hexadecimal. */
  readonly place: string
  readonly provider: NodeId
  readonly sequence: number
  /** Hash of the canonical body. */
  readonly bodyHash: Uint8Array
  readonly expiresUnixMs: number
}

/** `instead`: who has to go for it. */
export type ProviderVerdict =
  | { readonly kind: 'keep'; readonly instead?: ProviderEntry }
  | { readonly kind: 'same' | 'stale' }
  | { readonly kind: 'full'; readonly quota: 'all' | 'root' | 'provider' }

/** Decides which announcements are kept: one for each root and provider, and only so many of each. */
export class ProviderPlaces {
  readonly #limits: ProviderLimits
  readonly #scoreOf: (id: NodeId) => number
  /** By place, then by provider. Bounded by `maxProviders`; a place without entries is removed. */
  readonly #roots = new Map<string, Map<NodeId, ProviderEntry>>()
  /** Bounded by the number of entries: a count of zero is removed. */
  readonly #perProvider = new Map<NodeId, number>()
  #size = 0

  constructor(
    limits: Partial<ProviderLimits> = {},
    /** How far a provider is trusted. Default: all alike. */
    scoreOf: (id: NodeId) => number = () => 0,
  ) {
    this.#limits = { ...DEFAULT_PROVIDER_LIMITS, ...limits }
    this.#scoreOf = scoreOf
  }

  get size(): number {
    return this.#size
  }

  /** The higher sequence wins; of two bodies of one sequence the one with the lower hash. */
  judge(entry: ProviderEntry): ProviderVerdict {
    const current = this.#roots.get(entry.place)?.get(entry.provider)
    if (current === undefined) return this.#judgeRoom(entry)
    if (entry.sequence !== current.sequence) {
      return { kind: entry.sequence > current.sequence ? 'keep' : 'stale' }
    }
    const order = compareBytes(entry.bodyHash, current.bodyHash)
    if (order === 0) return { kind: 'same' }
    return { kind: order < 0 ? 'keep' : 'stale' }
  }

  set(entry: ProviderEntry): void {
    const root = this.#roots.get(entry.place) ?? new Map<NodeId, ProviderEntry>()
    this.#roots.set(entry.place, root)
    if (!root.has(entry.provider)) {
      this.#size += 1
      this.#perProvider.set(entry.provider, (this.#perProvider.get(entry.provider) ?? 0) + 1)
    }
    root.set(entry.provider, entry)
  }

  /** Whether there was one. */
  delete({ place, provider }: Pick<ProviderEntry, 'place' | 'provider'>): boolean {
    const root = this.#roots.get(place)
    if (root === undefined || !root.delete(provider)) return false
    this.#size -= 1
    if (root.size === 0) this.#roots.delete(place)
    const left = (this.#perProvider.get(provider) ?? 0) - 1
    if (left > 0) this.#perProvider.set(provider, left)
    else this.#perProvider.delete(provider)
    return true
  }

  get({ place, provider }: Pick<ProviderEntry, 'place' | 'provider'>): ProviderEntry | undefined {
    return this.#roots.get(place)?.get(provider)
  }

  /** Providers of a place by NodeId, from the first behind `after` on. */
  list(place: string, after: NodeId | undefined): NodeId[] {
    const ids = [...(this.#roots.get(place)?.keys() ?? [])]
    return ids.filter((id) => after === undefined || id > after).sort()
  }

  /** Whether anything of a provider is kept; otherwise its public key is of no more use. */
  hasProvider(id: NodeId): boolean {
    return this.#perProvider.has(id)
  }

  #judgeRoom(entry: ProviderEntry): ProviderVerdict {
    if ((this.#perProvider.get(entry.provider) ?? 0) >= this.#limits.maxRootsPerProvider) {
      return { kind: 'full', quota: 'provider' }
    }
    const root = this.#roots.get(entry.place)
    if (root !== undefined && root.size >= this.#limits.maxProvidersPerRoot) {
      // Places of a root are few: a flood of strangers must not keep out who is trusted.
      const least = [...root.values()].reduce((a, b) => (this.#score(b) < this.#score(a) ? b : a))
      return this.#score(least) < this.#score(entry)
        ? { kind: 'keep', instead: least }
        : { kind: 'full', quota: 'root' }
    }
    return this.#size >= this.#limits.maxProviders ? { kind: 'full', quota: 'all' } : { kind: 'keep' }
  }

  #score({ provider }: ProviderEntry): number {
    return this.#scoreOf(provider)
  }
}
