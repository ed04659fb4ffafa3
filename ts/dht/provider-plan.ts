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
 * first, each to the candidate with the fewest so far. Yields what each bit of the work took: a million ids are
 * too many for one turn.
 */
export function* planProviders(
  ids: readonly Uint8Array[],
  candidatesOf: (id: Uint8Array, at: number) => readonly NodeId[],
): Generator<number, ProviderPlan, undefined> {
  const loads = new Map<NodeId, number>()
  const chosen = new Map<number, NodeId>()
  /** By the number of candidates. */
  const groups: Wanted[][] = []
  for (const [at, id] of ids.entries()) {
    const candidates = candidatesOf(id, at)
    const group = (groups[candidates.length] ??= [])
    group.push({ at, candidates })
    yield candidates.length
  }
  for (const { at, candidates } of groups.flat()) {
    let best: NodeId | undefined
    for (const id of candidates) {
      if (best === undefined || (loads.get(id) ?? 0) < (loads.get(best) ?? 0)) best = id
    }
    if (best !== undefined) {
      chosen.set(at, best)
      loads.set(best, (loads.get(best) ?? 0) + 1)
    }
    yield candidates.length
  }
  const assignments = new Map<NodeId, Uint8Array[]>()
  const missing: Uint8Array[] = []
  for (const [at, id] of ids.entries()) {
    const provider = chosen.get(at)
    if (provider === undefined) missing.push(id)
    else if (assignments.has(provider)) assignments.get(provider)?.push(id)
    else assignments.set(provider, [id])
    yield 1
  }
  return { assignments, missing }
}

interface Wanted {
  readonly at: number
  readonly candidates: readonly NodeId[]
}
