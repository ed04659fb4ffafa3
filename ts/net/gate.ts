import type { EspalierError } from '../base/error.ts'

interface Waiter {
  readonly resolve: () => void
  readonly reject: (error: EspalierError) => void
}

/** A place behind the gate, or in the queue before it. */
export interface Ticket {
  /** Nothing when the gate was open; else it resolves at one's turn. */
  readonly turn: Promise<void> | undefined
  /** Frees the place, in the queue as well. To be called exactly once. */
  leave(): void
}

/** Lets `max` through at a time; the others wait in the order of their coming. */
export class Gate {
  readonly #max: number
  /** Bounded by the maximum that `Gates` allows over all of its gates. */
  readonly #waiters = new Set<Waiter>()
  #inside = 0

  constructor(max: number) {
    this.#max = max
  }

  get isIdle(): boolean {
    return this.#inside === 0 && this.#waiters.size === 0
  }

  get isFull(): boolean {
    return this.#inside >= this.#max
  }

  enter(): Ticket {
    if (!this.isFull) {
      this.#inside += 1
      return { turn: undefined, leave: () => this.#leave() }
    }
    let waiter: Waiter | undefined
    const turn = new Promise<void>((resolve, reject) => {
      waiter = { resolve, reject }
      this.#waiters.add(waiter)
    })
    const leave = () => {
      if (waiter === undefined || !this.#waiters.delete(waiter)) this.#leave()
    }
    return { turn, leave }
  }

  /** Sends everyone who waits away. */
  close(error: EspalierError): void {
    for (const waiter of this.#waiters) waiter.reject(error)
  }

  #leave(): void {
    const [next] = this.#waiters
    if (next === undefined) {
      this.#inside -= 1
      return
    }
    this.#waiters.delete(next)
    next.resolve()
  }
}
