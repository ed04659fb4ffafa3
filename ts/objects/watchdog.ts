import type { Clock, Timer } from '../base/clock.ts'

/** Calls `onStalled` once when nothing has moved for a while. One timer, however often something moves. */
export class Watchdog {
  readonly #clock: Clock
  readonly #limitMs: number
  readonly #onStalled: () => void
  #lastAtMs: number
  #timer: Timer | undefined

  constructor(clock: Clock, options: { readonly limitMs: number; readonly onStalled: () => void }) {
    this.#clock = clock
    this.#limitMs = options.limitMs
    this.#onStalled = options.onStalled
    this.#lastAtMs = clock.nowMs()
    this.#arm(options.limitMs)
  }

  /** Counts from now, whether it was stopped before or not. */
  restart(): void {
    this.stop()
    this.touch()
    this.#arm(this.#limitMs)
  }

  /** Something moved. */
  touch(): void {
    this.#lastAtMs = this.#clock.nowMs()
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = undefined
  }

  #arm(delayMs: number): void {
    this.#timer = this.#clock.setTimer(delayMs, () => {
      const leftMs = this.#lastAtMs + this.#limitMs - this.#clock.nowMs()
      if (leftMs > 0) {
        this.#arm(leftMs)
        return
      }
      this.#timer = undefined
      this.#onStalled()
    })
  }
}
