import { allowManyListeners } from '../base/abort.ts'
import { ChangeSlot, type Newer, type RegisterChange } from './newest-version.ts'

const DONE = { done: true, value: undefined } as const

/**
 * The changes of one register for one consumer. It begins with the first call of `next`, and keeps one change at most
 * for a consumer that is slow: the newest.
 */
export class RegisterSubscription implements AsyncIterableIterator<RegisterChange, undefined> {
  readonly #slot: ChangeSlot
  readonly #begin: () => () => void
  readonly #signal: AbortSignal | undefined
  /** Calls of `next` that wait. Bounded by the consumer. */
  readonly #waiting: ((result: IteratorResult<RegisterChange, undefined>) => void)[] = []
  readonly #onAbort = (): void => this.end()
  /** Set while it runs. */
  #leave: (() => void) | undefined
  #state: 'new' | 'running' | 'ended' = 'new'

  /** `begin` joins the watch of the register and answers how to leave it again; what it throws, `next` throws. */
  constructor(options: {
    readonly after: number
    readonly signal: AbortSignal | undefined
    readonly begin: (subscription: RegisterSubscription) => () => void
  }) {
    this.#slot = new ChangeSlot(options.after)
    this.#signal = options.signal
    this.#begin = () => options.begin(this)
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  async next(): Promise<IteratorResult<RegisterChange, undefined>> {
    this.#start()
    const value = this.#slot.take()
    if (value !== undefined && this.#state !== 'ended') return { done: false, value }
    if (this.#state === 'ended') return DONE
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  /** Ends the watch; a call of `next` that waits is done. */
  return(): Promise<IteratorResult<RegisterChange, undefined>> {
    this.end()
    return Promise.resolve(DONE)
  }

  offer(newer: Newer): void {
    if (this.#state !== 'running' || !this.#slot.offer(newer)) return
    const waiting = this.#waiting.shift()
    if (waiting === undefined) return
    const value = this.#slot.take()
    if (value !== undefined) waiting({ done: false, value })
  }

  /** Idempotent. */
  end(): void {
    if (this.#state === 'ended') return
    this.#state = 'ended'
    this.#signal?.removeEventListener('abort', this.#onAbort)
    for (const resolve of this.#waiting.splice(0)) resolve(DONE)
    this.#leave?.()
    this.#leave = undefined
  }

  #start(): void {
    if (this.#state !== 'new') return
    if (this.#signal?.aborted === true) {
      this.end()
      return
    }
    this.#state = 'running'
    allowManyListeners(this.#signal)
    this.#signal?.addEventListener('abort', this.#onAbort, { once: true })
    try {
      this.#leave = this.#begin()
    } catch (error) {
      this.end()
      throw error
    }
  }
}
