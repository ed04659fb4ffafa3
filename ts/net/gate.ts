import type { EspalierError } from '../base/error.ts'

interface Waiter {
  readonly resolve: () => void
  readonly reject: (error: EspalierError) => void
}

/** A place in the queue before a gate. */
export interface Ticket {
  /** Resolves at one's turn: the place behind the gate is taken then. */
  readonly turn: Promise<void>
  /** Gives up the place, in the queue or behind the gate. To be called at most once. */
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

  /** How many are behind the gate. */
  get inside(): number {
    return this.#inside
  }

  /** Takes a place if one is free. */
  pass(): boolean {
    if (this.#inside >= this.#max) return false
    this.#inside += 1
    return true
  }

  /** Joins the queue. */
  queue(): Ticket {
    let waiter: Waiter | undefined
    const turn = new Promise<void>((resolve, reject) => {
      waiter = { resolve, reject }
      this.#waiters.add(waiter)
    })
    const leave = () => {
      if (waiter === undefined || !this.#waiters.delete(waiter)) this.leave()
    }
    return { turn, leave }
  }

  /** Frees a place: whoever waits longest gets it. */
  leave(): void {
    const [next] = this.#waiters
    if (next === undefined) {
      this.#inside -= 1
      return
    }
    this.#waiters.delete(next)
    next.resolve()
  }

  /** Sends everyone who waits away. */
  close(error: EspalierError): void {
    for (const waiter of this.#waiters) waiter.reject(error)
  }
}
