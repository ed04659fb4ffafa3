/** Allows `ratePerSecond` over time and `burst` at once. */
export class TokenBucket {
  readonly #ratePerMs: number
  readonly #burst: number
  #tokens: number
  #filledAtMs: number

  constructor(options: { readonly ratePerSecond: number; readonly burst: number; readonly nowMs: number }) {
    this.#ratePerMs = options.ratePerSecond / 1_000
    this.#burst = options.burst
    this.#tokens = options.burst
    this.#filledAtMs = options.nowMs
  }

  /** Takes one token; 0 when there was one, else the milliseconds until there will be. */
  take(nowMs: number): number {
    const passedMs = Math.max(0, nowMs - this.#filledAtMs)
    this.#tokens = Math.min(this.#burst, this.#tokens + passedMs * this.#ratePerMs)
    this.#filledAtMs = nowMs
    if (this.#tokens < 1) return Math.max(1, Math.ceil((1 - this.#tokens) / this.#ratePerMs))
    this.#tokens -= 1
    return 0
  }
}
