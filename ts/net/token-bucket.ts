/** Allows `ratePerSecond` over time and `burst` at once. */
export class TokenBucket {
  /** What one token costs, and so the time after which the next one is there. */
  readonly #tokenMs: number
  readonly #fullMs: number
  #levelMs: number
  #filledAtMs: number

  constructor(options: { readonly ratePerSecond: number; readonly burst: number; readonly nowMs: number }) {
    this.#tokenMs = 1_000 / options.ratePerSecond
    this.#fullMs = options.burst * this.#tokenMs
    this.#levelMs = this.#fullMs
    this.#filledAtMs = options.nowMs
  }

  /** Takes one token; 0 when there was one, else the milliseconds until there will be, rounded up. */
  take(nowMs: number): number {
    const passedMs = Math.max(0, nowMs - this.#filledAtMs)
    this.#levelMs = Math.min(this.#fullMs, this.#levelMs + passedMs)
    this.#filledAtMs += passedMs
    const missingMs = this.#tokenMs - this.#levelMs
    // Sums of fractions of a millisecond miss by less than this.
    if (missingMs > 1e-6) return Math.ceil(missingMs)
    this.#levelMs -= this.#tokenMs
    return 0
  }
}
