import { allowManyListeners } from '../base/abort.ts'
import type { Clock } from '../base/clock.ts'
import { EspalierError, toEspalierError } from '../base/error.ts'
import type { CallOptions } from './transport.ts'

/** A day: longer waits are mistakes. */
const MAX_TIMEOUT_MS = 86_400_000

/** The time-out and the abort signal of one call, kept over all of its steps. */
export class Call {
  readonly signal: AbortSignal | undefined
  readonly #clock: Clock
  readonly #timeoutMs: number
  readonly #endAtMs: number

  constructor(clock: Clock, options: CallOptions, defaultTimeoutMs: number) {
    const { signal, timeoutMs = defaultTimeoutMs } = options
    if (typeof timeoutMs !== 'number' || !(timeoutMs >= 0 && timeoutMs <= MAX_TIMEOUT_MS)) {
      throw new EspalierError('INVALID_ARGUMENT', `timeoutMs must be a number from 0 to ${MAX_TIMEOUT_MS}`)
    }
    if (signal?.aborted === true) throw aborted(signal)
    allowManyListeners(signal)
    this.signal = signal
    this.#clock = clock
    this.#timeoutMs = timeoutMs
    this.#endAtMs = clock.nowMs() + timeoutMs
  }

  /** Milliseconds since it began. */
  get elapsedMs(): number {
    return this.#clock.nowMs() - this.#endAtMs + this.#timeoutMs
  }

  /** What is left for the next step. Throws `TIMEOUT` when nothing is. */
  rest(): CallOptions & { readonly timeoutMs: number } {
    const timeoutMs = this.#endAtMs - this.#clock.nowMs()
    if (timeoutMs <= 0) throw this.#timedOut()
    return this.signal === undefined ? { timeoutMs } : { signal: this.signal, timeoutMs }
  }

  /** The outcome of a step that others may share: giving up leaves the step itself alone. */
  race<T>(step: Promise<T>): Promise<T> {
    const { signal } = this
    return new Promise((resolve, reject) => {
      const settle = (finish: () => void) => {
        timer.cancel()
        signal?.removeEventListener('abort', onAbort)
        finish()
      }
      const onAbort = () => settle(() => reject(aborted(signal)))
      const timer = this.#clock.setTimer(this.#endAtMs - this.#clock.nowMs(), () =>
        settle(() => reject(this.#timedOut())),
      )
      signal?.addEventListener('abort', onAbort, { once: true })
      if (signal?.aborted === true) onAbort()
      step.then(
        (value) => settle(() => resolve(value)),
        (error: unknown) => settle(() => reject(toEspalierError(error, 'INVALID_STATE', 'the call failed'))),
      )
    })
  }

  #timedOut(): EspalierError {
    return new EspalierError('TIMEOUT', `not finished within ${this.#timeoutMs} ms`)
  }
}

function aborted(signal: AbortSignal | undefined): EspalierError {
  return new EspalierError('ABORTED', 'the caller gave up', { cause: signal?.reason })
}
