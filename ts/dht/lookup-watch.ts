import type { Env } from '../base/env.ts'
import { outcomeOf } from '../net/tally.ts'

/** Counts one look-up: how it ends, how long it takes and how many nodes it asks. */
export interface LookupWatch {
  /** A node is asked. */
  readonly asked: () => void
  /** Runs the look-up; nothing found is the outcome `NOT_FOUND`. */
  run<Result>(lookup: () => Promise<Result>): Promise<Result>
}

export function watchLookup(
  { clock, metrics }: Pick<Env, 'clock' | 'metrics'>,
  purpose: 'nodes' | 'record' | 'providers',
): LookupWatch {
  const startedAtMs = clock.nowMs()
  let requests = 0
  const end = (outcome: string): void => {
    metrics.counter('lookups', { purpose, outcome }).add()
    metrics.histogram('lookupSeconds', { purpose }).observe((clock.nowMs() - startedAtMs) / 1000)
    metrics.histogram('lookupRequests', { purpose }).observe(requests)
  }
  return {
    asked: () => (requests += 1),
    async run(lookup) {
      try {
        const result = await lookup()
        end(result === undefined ? 'NOT_FOUND' : 'ok')
        return result
      } catch (error) {
        end(outcomeOf(error))
        throw error
      }
    },
  }
}
