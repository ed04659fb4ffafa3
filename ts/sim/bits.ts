/** A set of small integers, one bit each: ten thousand nodes can each remember whom of the others they know. */
export class Bits {
  /** Bounded by the largest member. */
  #words = new Uint32Array(0)

  has(member: number): boolean {
    return ((this.#words[member >>> 5] ?? 0) & (1 << (member & 31))) !== 0
  }

  /** Whether it was not there. */
  add(member: number): boolean {
    const at = member >>> 5
    if (at >= this.#words.length) this.#grow(at + 1)
    const word = this.#words[at] ?? 0
    const bit = 1 << (member & 31)
    if ((word & bit) !== 0) return false
    this.#words[at] = word | bit
    return true
  }

  delete(member: number): void {
    const at = member >>> 5
    if (at < this.#words.length) this.#words[at] = (this.#words[at] ?? 0) & ~(1 << (member & 31))
  }

  clear(): void {
    this.#words = new Uint32Array(0)
  }

  #grow(needed: number): void {
    // A quarter more, so that a network that grows node by node does not copy at each.
    const words = new Uint32Array(needed + (needed >> 2))
    words.set(this.#words)
    this.#words = words
  }
}
