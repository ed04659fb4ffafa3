import type { Env } from '../base/env.ts'
import type { Counter } from '../base/metrics.ts'
import { outcomeOf } from '../net/tally.ts'
import type { Failure } from './operation.ts'

/** Counts puts or gets: how they end, how long they take, and the bytes of objects that they moved. */
export class Transfers {
  readonly #env: Pick<Env, 'clock' | 'metrics'>
  readonly #operation: 'put' | 'get'
  readonly #bytes: Counter

  constructor(env: Pick<Env, 'clock' | 'metrics'>, operation: 'put' | 'get') {
    this.#env = env
    this.#operation = operation
    this.#bytes = env.metrics.counter('transferBytes', { operation })
  }

  /** A part of an object was stored, or is handed out. */
  moved(bytes: number): void {
    this.#bytes.add(bytes)
  }

  /** A transfer begins; call what is returned when it has ended. */
  begin(): (failure: Failure | undefined) => void {
    const { clock, metrics } = this.#env
    const operation = this.#operation
    const startedAtMs = clock.nowMs()
    return (failure) => {
      const outcome = failure === undefined ? 'ok' : outcomeOf(failure.error)
      metrics.counter('transfers', { operation, outcome }).add()
      metrics.histogram('transferSeconds', { operation }).observe((clock.nowMs() - startedAtMs) / 1000)
    }
  }
}
