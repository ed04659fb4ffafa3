import type { Clock } from '../base/clock.ts'

/** Lets everything else have its turn now and then during long work. */
export class Pace {
  readonly #clock: Clock
  readonly #signal: AbortSignal
  readonly #slice: number
  #steps = 0

  /** `slice`: steps from one rest to the next. */
  constructor(clock: Clock, { signal, slice }: { readonly signal: AbortSignal; readonly slice: number }) {
    this.#clock = clock
    this.#signal = signal
    this.#slice = slice
  }

  /** Counts steps; whether it is time for {@link rest}. */
  isOver(steps: number): boolean {
    this.#steps += steps
    return this.#steps >= this.#slice
  }

  /** Rejects with the reason of the signal when nobody waits for the work any more. */
  async rest(): Promise<void> {
    this.#steps = 0
    await new Promise<void>((resolve) => {
      this.#clock.setTimer(0, resolve)
    })
    this.#signal.throwIfAborted()
  }
}
