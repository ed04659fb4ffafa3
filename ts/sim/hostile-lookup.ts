import type { Key, NodeId } from '../base/identity.ts'
import { Lookup } from '../dht/lookup.ts'
import { peerOf, type Colluders, type Settlement } from './settlement.ts'

/** How one look-up is to be made. */
export interface LookupPlan {
  readonly k: number
  readonly alpha: number
  readonly paths: number
  /** Fresh starts from contacts that were not asked yet, when nothing was found. */
  readonly restarts: number
  /**
   * `silent`: a path that touches a colluder is lost, as in the paper. `leading`: colluders answer with the
   * colluders nearest to the target, so that the path goes on among them.
   */
  readonly adversary: 'silent' | 'leading'
}

/** What came of it. */
export interface LookupEnd {
  readonly found: boolean
  readonly requests: number
}

/** Where and what is looked up, and who is who. */
export interface LookupStage {
  readonly settlement: Settlement
  readonly colluders: Colluders
  readonly from: NodeId
  readonly target: { readonly id: NodeId; readonly key: Key }
  /** Nodes that have the value; those among them that collude deny it. */
  readonly holders: ReadonlySet<NodeId>
}

/**
 * One look-up for a value that proves itself, by the look-up of the product among answers that the stage gives. It
 * ends with the first honest holder that is asked.
 */
export function playLookup(stage: LookupStage, plan: LookupPlan): LookupEnd {
  const asked = new Set<NodeId>()
  for (let attempt = 0; attempt <= plan.restarts; attempt += 1) {
    if (playAttempt(stage, plan, asked)) return { found: true, requests: asked.size }
  }
  return { found: false, requests: asked.size }
}

function playAttempt(stage: LookupStage, plan: LookupPlan, asked: Set<NodeId>): boolean {
  const { settlement, colluders, from, target, holders } = stage
  const { k, alpha, paths } = plan
  const seeds = settlement
    .tableOf(from)
    .closest(target.key, { count: k + asked.size, aliveOnly: true })
    .filter((id) => !asked.has(id))
    .slice(0, k)
    .map(peerOf)
  const lookup = new Lookup({ target: target.key, self: from, seeds, k, alpha, paths })
  for (let questions = lookup.next(); questions.length > 0; questions = lookup.next()) {
    for (const { peer } of questions) {
      const { id } = peer
      if (asked.has(id)) {
        // An earlier attempt asked it, to no avail.
        lookup.onFailure(id)
        continue
      }
      asked.add(id)
      if (!colluders.has(id)) {
        if (holders.has(id)) return true
        lookup.onAnswer(id, settlement.answer(id, target.key, k))
      } else if (plan.adversary === 'leading') {
        lookup.onAnswer(id, colluders.answer(target.id, k))
      }
      // A silent colluder keeps the question for ever: with one request at a time its path asks nobody more.
    }
  }
  return false
}
