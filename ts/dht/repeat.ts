import type { Env } from '../base/env.ts'
import { toEspalierError } from '../base/error.ts'
import type { Timer } from '../base/clock.ts'

/** Timers vary by this much, so that nodes that started together do not act together. */
const JITTER_RATIO = 0.25

/** After a run that asks for it the next comes after this part of the interval. */
const SOON_RATIO = 1 / 6

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
    options: {
      readonly name: string
      readonly intervalMs: number
      /** Answers `soon` when the next run shall come after a sixth of the interval. */
      readonly work: () => Promise<unknown>
    },
  ) {
    this.#env = env
    this.#name = options.name
    this.#intervalMs = options.intervalMs
    this.#work = options.work
    this.#schedule(1)
  }

  stop(): void {
    this.#isStopped = true
    this.#timer?.cancel()
  }

  #schedule(ratio: number): void {
    if (this.#isStopped) return
    const factor = ratio * (1 + JITTER_RATIO * (2 * this.#env.rng.float() - 1))
    this.#timer = this.#env.clock.setTimer(this.#intervalMs * factor, () => {
      void this.#run().then((outcome) => this.#schedule(outcome === 'soon' ? SOON_RATIO : 1))
    })
  }

  /** A failure is logged: the next run may fare better. */
  async #run(): Promise<unknown> {
    try {
      return await this.#work()
    } catch (error) {
      if (this.#isStopped) return undefined
      const { code, message } = toEspalierError(error, 'INVALID_STATE', this.#name)
      this.#env.log.warn(`${this.#name} failed`, { code, message })
      return undefined
    }
  }
}
