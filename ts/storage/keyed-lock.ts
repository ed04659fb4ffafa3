/** Lets one action at a time run for each name, in the order in which they came. */
export class KeyedLock {
  /** The last action of each name. Bounded by the actions under way. */
  readonly #tails = new Map<string, Promise<unknown>>()

  async run<T>(name: string, action: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(name) ?? Promise.resolve()
    const mine = before.then(action, action)
    const tail = mine.catch(() => undefined)
    this.#tails.set(name, tail)
    try {
      return await mine
    } finally {
      if (this.#tails.get(name) === tail) this.#tails.delete(name)
    }
  }
}
