import type { NodeId } from '../base/identity.ts'
import { Lookup, type Peer } from '../dht/lookup.ts'
import { peerOf, type Colluders, type Settlement, type Target } from './settlement.ts'

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
  readonly target: Target
  /**
   * Nodes that have the value looked for; those among them that collude deny it. Without them the target is an
   * honest node, which is found when an honest one names it.
   */
  readonly holders?: ReadonlySet<NodeId>
}

/**
 * One look-up for what proves itself (a value, or a node, whose id is the hash of its key), by the look-up of the
 * product among answers that the stage gives. It ends with the first honest answer that has it.
 */
export function playLookup(stage: LookupStage, plan: LookupPlan): LookupEnd {
  const { from, target } = stage
  const { k, alpha, paths } = plan
  const lookup = new Lookup({ target: target.key, self: from, seeds: seedsOf(stage, k), k, alpha, paths })
  let found = ask(lookup, stage, plan)
  for (let restart = 0; restart < plan.restarts && !found; restart += 1) {
    const fresh = seedsOf(stage, k + lookup.asked).filter(({ id }) => !lookup.hasAsked(id))
    found = lookup.restart(fresh.slice(0, k)) && ask(lookup, stage, plan)
  }
  return { found, requests: lookup.asked }
}

function seedsOf({ settlement, from, target }: LookupStage, count: number): Peer[] {
  return settlement.tableOf(from).closest(target.key, { count, aliveOnly: true }).map(peerOf)
}

/** Asks until it is found or nobody is left to be asked. */
function ask(lookup: Lookup, stage: LookupStage, plan: LookupPlan): boolean {
  const { settlement, colluders, target, holders } = stage
  for (let questions = lookup.next(); questions.length > 0; questions = lookup.next()) {
    for (const { peer } of questions) {
      const { id } = peer
      if (!colluders.has(id)) {
        if (holders?.has(id) === true || id === target.id) return true
        const answer = settlement.answer(id, target.key, plan.k)
        if (holders === undefined && answer.some((named) => named.id === target.id)) return true
        lookup.onAnswer(id, answer)
      } else if (plan.adversary === 'leading') {
        lookup.onAnswer(id, colluders.answer(target.id, plan.k))
      }
      // A silent colluder keeps the question for ever: with one request at a time its path asks nobody more.
    }
  }
  return false
}
