/**
 * A timer that can be cancelled; cancelling twice, or after it ran, does nothing.
 *
 * @category Environment
 */
export interface Timer {
  /** Keeps the callback from being called. */
  cancel(): void
}

/**
 * Time, handed in so that the same code runs in real and in simulated time.
 * Liveness and time-outs use `nowMs`; only issue and expiry times use `unixMs`.
 *
 * @category Environment
 */
export interface Clock {
  /** Monotonic milliseconds since an arbitrary start. */
  nowMs(): number
  /** Wall clock, milliseconds since 1970; may jump. */
  unixMs(): number
  /** Runs `callback` once after `delayMs`. A pending timer does not keep the process alive. */
  setTimer(delayMs: number, callback: () => void): Timer
}

/** The machine's own clocks. */
export const systemClock: Clock = {
  nowMs: () => performance.now(),
  unixMs: () => Date.now(),
  setTimer(delayMs, callback) {
    const handle = setTimeout(callback, Math.max(0, delayMs))
    handle.unref()
    return { cancel: () => clearTimeout(handle) }
  },
}
