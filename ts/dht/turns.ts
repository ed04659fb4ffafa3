/** Lets the calls about one thing run one after the other, each for as long as its own caller waits. */
export class Turns {
  /** By thing, what has to end before the next call. Bounded by the calls under way. */
  readonly #last = new Map<string, Promise<unknown>>()

  /** `begin` starts at once and does its work after `before` has resolved: then all earlier calls have ended. */
  async take<T>(
    name: string,
    begin: (before: (signal: AbortSignal) => Promise<void>) => Promise<T>,
  ): Promise<T> {
    const earlier = this.#last.get(name) ?? Promise.resolve()
    const turn = begin((signal) => endOf(earlier, signal))
    // A caller that gives up while it waits leaves the one before it at work: the next waits for both.
    const both = Promise.allSettled([earlier, turn])
    this.#last.set(name, both)
    try {
      return await turn
    } finally {
      void both.then(() => {
        if (this.#last.get(name) === both) this.#last.delete(name)
      })
    }
  }
}

/** Resolves when `work` has ended, whatever came of it; rejects with the reason of `signal` if that comes first. */
export function endOf(work: Promise<unknown>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason as Error)
    signal.addEventListener('abort', onAbort, { once: true })
    void work
      .catch(() => undefined)
      .then(() => {
        signal.removeEventListener('abort', onAbort)
        resolve()
      })
  })
}
