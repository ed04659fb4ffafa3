import type { ErrorCode } from '../base/error.ts'
import type { NodeId } from '../base/identity.ts'
import type { Address } from '../net/address.ts'

/**
 * One node that a look-up asked.
 *
 * @category Watching
 */
export interface LookupStep {
  readonly peer: NodeId
  /** `pending` when the look-up ended before an answer came. */
  readonly outcome: 'answered' | 'pending' | ErrorCode
  /** From the start of the look-up until this node was asked. */
  readonly askedAfterMs: number
  /** Until it answered or failed; 0 while pending. */
  readonly tookMs: number
  /** Whom it named, in its order, at most 20. */
  readonly named: readonly NodeId[]
  /** Sequence of the record that it showed and whose signature is good. */
  readonly sequence: number | undefined
}

/**
 * What the look-up for a node did and found.
 *
 * @category Watching
 */
export interface LookupReport {
  /** Whether the node proved to exist: it answered itself, or somebody showed its signed record. */
  readonly found: boolean
  /** What proves it: the handshake with the node, its own record, or nothing. */
  readonly proof: 'handshake' | 'record' | undefined
  /** Where it says that it can be reached; empty when unknown. */
  readonly addresses: readonly Address[]
  /** The nearest nodes that answered, nearest first, at most 20. */
  readonly closest: readonly NodeId[]
  /** Requests to nodes: one for each, and one more for each other address of a node that failed at the first. */
  readonly requests: number
  /** How often the look-up began again with fresh paths, 0 to 2. */
  readonly restarts: number
  readonly tookMs: number
  /**
   * The disjoint paths, those of restarts behind; each names whom it asked, in order. Nobody is on two of them, except
   * who failed on one and was named at another address on the next, twice at most; it counts once.
   */
  readonly paths: readonly (readonly LookupStep[])[]
}

/** A step while it is under way. */
export type OpenStep = { -readonly [Field in keyof LookupStep]: LookupStep[Field] }

/** Writes down what a look-up does, for somebody who wants to know. */
export class LookupTrace {
  readonly #startedAtMs: number
  /** By path. Bounded by the requests of one look-up, like what is in them. */
  readonly #paths: OpenStep[][] = []

  constructor(nowMs: number) {
    this.#startedAtMs = nowMs
  }

  asked(path: number, { peer, nowMs }: { readonly peer: NodeId; readonly nowMs: number }): OpenStep {
    while (this.#paths.length <= path) this.#paths.push([])
    const askedAfterMs = nowMs - this.#startedAtMs
    const step: OpenStep = {
      peer,
      outcome: 'pending',
      askedAfterMs,
      tookMs: 0,
      named: [],
      sequence: undefined,
    }
    this.#paths[path]?.push(step)
    return step
  }

  ended(
    step: OpenStep,
    end: Pick<LookupStep, 'outcome' | 'named' | 'sequence'> & { readonly nowMs: number },
  ): void {
    const { nowMs, ...rest } = end
    Object.assign(step, rest, { tookMs: nowMs - this.#startedAtMs - step.askedAfterMs })
  }

  /** What came of it, with a copy of the steps: later answers change nothing. */
  report(
    outcome: Pick<LookupReport, 'proof' | 'addresses' | 'closest' | 'restarts'>,
    nowMs: number,
  ): LookupReport {
    const paths = this.#paths.map((steps) => steps.map((step) => ({ ...step })))
    const requests = paths.reduce((sum, steps) => sum + steps.length, 0)
    const found = outcome.proof !== undefined
    return { ...outcome, found, requests, tookMs: nowMs - this.#startedAtMs, paths }
  }
}
