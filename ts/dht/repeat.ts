import type { Env } from '../base/env.ts'
import { toEspalierError } from '../base/error.ts'
import type { Timer } from '../base/clock.ts'

/** Timers vary by this much, so that nodes that started together do not act together. */
const JITTER_RATIO = 0.25

/** Runs work again and again until stopped; a run ends before the next one is due. */
export class Repeat {
  readonly #env: Env
  readonly #name: string
  readonly #intervalMs: number
  readonly #work: () => Promise<unknown>
  #timer: Timer | undefined
  #isStopped = false

  /** The first run comes one interval from now, ±25 % like every later one. */
  constructor(
    env: Env,
    options: { readonly name: string; readonly intervalMs: number; readonly work: () => Promise<unknown> },
  ) {
    this.#env = env
    this.#name = options.name
    this.#intervalMs = options.intervalMs
    this.#work = options.work
    this.#schedule()
  }

  stop(): void {
    this.#isStopped = true
    this.#timer?.cancel()
  }

  #schedule(): void {
    if (this.#isStopped) return
    const factor = 1 + JITTER_RATIO * (2 * this.#env.rng.float() - 1)
    this.#timer = this.#env.clock.setTimer(this.#intervalMs * factor, () => {
      void this.#run().finally(() => this.#schedule())
    })
  }

  /** A failure is logged: the next run may fare better. */
  async #run(): Promise<void> {
    try {
      await this.#work()
    } catch (error) {
      if (this.#isStopped) return
      const { code, message } = toEspalierError(error, 'INVALID_STATE', this.#name)
      this.#env.log.warn(`${this.#name} failed`, { code, message })
    }
  }
}
