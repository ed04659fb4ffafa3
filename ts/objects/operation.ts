import { allowManyListeners } from '../base/abort.ts'
import type { Clock } from '../base/clock.ts'
import { EspalierError, toEspalierError } from '../base/error.ts'
import { Watchdog } from './watchdog.ts'

/** Why an operation ended before its end. */
export interface Failure {
  readonly error: unknown
}

/** One put or get from start to end: the one place where abort, idle time-out, stop and failure meet. */
export class Operation {
  readonly #signal: AbortSignal | undefined
  readonly #watchdog: Watchdog | undefined
  readonly #onAbort = (): void => {
    this.fail(new EspalierError('ABORTED', 'the caller gave up', { cause: this.#signal?.reason }))
  }
  /** Bounded by what the operation awaits at once. */
  readonly #waiting = new Set<(error: Error) => void>()
  readonly #onEnd: (error: EspalierError) => void
  #onOver: (failure: Failure | undefined) => void = () => undefined
  #failure: Failure | undefined
  #isOver = false

  constructor(
    clock: Clock,
    options: {
      readonly signal: AbortSignal | undefined
      readonly timeoutMs: number | undefined
      /** Called once, with why; lets go of everything that the operation holds. */
      readonly onEnd: (error: EspalierError) => void
    },
  ) {
    this.#signal = options.signal
    this.#onEnd = options.onEnd
    if (options.timeoutMs !== undefined) {
      const onStalled = (): void => this.fail(new EspalierError('TIMEOUT', 'nothing moved for too long'))
      this.#watchdog = new Watchdog(clock, { limitMs: options.timeoutMs, onStalled })
    }
    allowManyListeners(options.signal)
    if (options.signal?.aborted === true) this.#onAbort()
    else options.signal?.addEventListener('abort', this.#onAbort, { once: true })
  }

  /** Calls `callback` when it has ended, in whatever way, with what failed; at once if it has already. */
  onOver(callback: (failure: Failure | undefined) => void): void {
    if (this.#isOver || this.#failure !== undefined) callback(this.#failure)
    else this.#onOver = callback
  }

  /** Puts off the idle time-out. */
  touch(): void {
    this.#watchdog?.touch()
  }

  /** No idle time-out while somebody else is at work, until the next `resume`. */
  pause(): void {
    this.#watchdog?.stop()
  }

  resume(): void {
    if (this.#failure === undefined && !this.#isOver) this.#watchdog?.restart()
  }

  /** Ends it with `error`; later failures are ignored. */
  fail(error: unknown): void {
    if (this.#failure !== undefined || this.#isOver) return
    this.#failure = { error }
    this.#letGo(toEspalierError(error, 'ABORTED', 'the transfer ended'))
    for (const reject of this.#waiting) reject(asError(error))
    this.#waiting.clear()
  }

  /** Ends it without failure. */
  finish(): void {
    if (this.#isOver || this.#failure !== undefined) return
    this.#isOver = true
    this.#letGo(new EspalierError('CLOSED', 'the transfer is over'))
  }

  throwIfFailed(): void {
    if (this.#failure !== undefined) throw asError(this.#failure.error)
  }

  /** `work`, or the failure of the operation if that comes first. */
  race<Result>(work: Promise<Result>): Promise<Result> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) {
        // The work's own outcome no longer matters.
        work.catch(() => undefined)
        reject(asError(this.#failure.error))
        return
      }
      this.#waiting.add(reject)
      work.then(
        (result) => {
          this.#waiting.delete(reject)
          resolve(result)
        },
        (error: unknown) => {
          this.#waiting.delete(reject)
          reject(asError(error))
        },
      )
    })
  }

  #letGo(error: EspalierError): void {
    this.#watchdog?.stop()
    this.#signal?.removeEventListener('abort', this.#onAbort)
    this.#onEnd(error)
    this.#onOver(this.#failure)
  }
}

/** A source may throw anything; what is an error stays itself. */
function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : toEspalierError(thrown, 'ABORTED', 'the transfer ended')
}
