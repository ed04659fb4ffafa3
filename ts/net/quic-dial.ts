import { EspalierError } from '../base/error.ts'
import { abortable, type Operation } from '../native/operation.ts'
import type { CallOptions } from './transport.ts'

/** One native dial that several callers wait for, each with its own patience. */
export class QuicDial {
  readonly #operation: Operation<number>
  readonly #onEnd: () => void
  #waiting = 0

  /** `onEnd` is called, perhaps twice, when nobody may join any more: it has ended or was given up. */
  constructor(operation: Operation<number>, onEnd: () => void) {
    this.#operation = operation
    this.#onEnd = onEnd
    operation.result.then(onEnd, onEnd)
  }

  /** The link. Codes: those of the dial, `TIMEOUT` after `timeoutMs` and `ABORTED` for this caller alone. */
  async wait(options: CallOptions): Promise<number> {
    this.#waiting += 1
    let timer: NodeJS.Timeout | undefined
    const result = new Promise<number>((resolve, reject) => {
      this.#operation.result.then(resolve, reject)
      if (options.timeoutMs === undefined) return
      timer = setTimeout(
        () => reject(new EspalierError('TIMEOUT', `no connection within ${options.timeoutMs ?? 0} ms`)),
        options.timeoutMs,
      )
    })
    try {
      return await abortable({ result, cancel: () => undefined }, options.signal)
    } finally {
      clearTimeout(timer)
      this.#waiting -= 1
      if (this.#waiting === 0) {
        // At once: the next caller needs a dial of its own, not the end of this one.
        this.#onEnd()
        // Without effect on a dial that has ended.
        this.#operation.cancel()
      }
    }
  }
}
