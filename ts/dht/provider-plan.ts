import type { NodeId } from '../base/identity.ts'

/**
 * Which provider is asked for which ids.
 *
 * @category Providers
 */
export interface ProviderPlan {
  /** By provider, in the order in which the ids were given. */
  readonly assignments: ReadonlyMap<NodeId, readonly Uint8Array[]>
  /** Ids that no known provider claims. */
  readonly missing: readonly Uint8Array[]
}

/**
 * Deals ids to those who claim them so that nobody has much more to serve than the others: the rarest ids
 * first, each to the candidate with the fewest so far.
 */
export function planProviders(
  ids: readonly Uint8Array[],
  candidatesOf: (id: Uint8Array) => readonly NodeId[],
): ProviderPlan {
  const loads = new Map<NodeId, number>()
  const chosen = new Map<number, NodeId>()
  const wanted = ids.map((id, at) => ({ at, candidates: candidatesOf(id) }))
  for (const { at, candidates } of wanted.toSorted(byRarity)) {
    let best: NodeId | undefined
    for (const id of candidates) {
      if (best === undefined || (loads.get(id) ?? 0) < (loads.get(best) ?? 0)) best = id
    }
    if (best === undefined) continue
    chosen.set(at, best)
    loads.set(best, (loads.get(best) ?? 0) + 1)
  }
  const assignments = new Map<NodeId, Uint8Array[]>()
  const missing: Uint8Array[] = []
  for (const [at, id] of ids.entries()) {
    const provider = chosen.get(at)
    if (provider === undefined) missing.push(id)
    else if (assignments.has(provider)) assignments.get(provider)?.push(id)
    else assignments.set(provider, [id])
  }
  return { assignments, missing }
}

interface Wanted {
  readonly at: number
  readonly candidates: readonly NodeId[]
}

function byRarity(a: Wanted, b: Wanted): number {
  return a.candidates.length - b.candidates.length || a.at - b.at
}
