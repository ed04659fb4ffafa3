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
  candidatesOf: (id: Uint8Array, at: number) => readonly NodeId[],
): ProviderPlan {
  const loads = new Map<NodeId, number>()
  const chosen = new Map<number, NodeId>()
  for (const wanted of byRarity(ids.map((id, at) => ({ at, candidates: candidatesOf(id, at) })))) {
    for (const { at, candidates } of wanted) {
      let best: NodeId | undefined
      for (const id of candidates) {
        if (best === undefined || (loads.get(id) ?? 0) < (loads.get(best) ?? 0)) best = id
      }
      if (best === undefined) continue
      chosen.set(at, best)
      loads.set(best, (loads.get(best) ?? 0) + 1)
    }
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

/** Those with one candidate, with two, and so on, each in the order in which they were given: a million take no sort. */
function byRarity(all: readonly Wanted[]): readonly (readonly Wanted[])[] {
  const groups: Wanted[][] = []
  for (const wanted of all) {
    const group = (groups[wanted.candidates.length] ??= [])
    group.push(wanted)
  }
  // Numbers of candidates that no id has leave holes.
  return groups.filter((group) => group.length > 0)
}
