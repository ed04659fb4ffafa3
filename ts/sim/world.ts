import type { Clock, Timer } from '../base/clock.ts'
import { EspalierError } from '../base/error.ts'
import { invalid } from '../native/check.ts'
import { EventHeap } from './event-heap.ts'
import { SeededRng } from './rng.ts'
import { Trace } from './trace.ts'

/** Wall clock of every world at its start: 2026-01-01T00:00:00Z. */
const START_UNIX_MS = 1_767_225_600_000

/** The longest delay that a test may give to writes and messages: a day. */
export const MAX_DELAY_MS = 86_400_000

/** Taken before anybody can replace the global one to prove that nobody below uses it. */
const afterMicrotasks = setImmediate

/**
 * Simulated time, in whole milliseconds. Events run in order of (time, scheduling); promise continuations
 * run between instants, all of an instant's at once, so that a turn of the host's loop is paid for each
 * instant and not for each event. Equal seeds give equal traces.
 *
 * @example
 * ```ts
 * import { World } from 'espalier/testing'
 *
 * const world = new World({ seed: 1 })
 * world.schedule(60_000, () => console.log(world.nowMs)) // 60000
 * await world.run(60_000)
 * ```
 *
 * @category Simulator
 */
export class World {
  readonly rng: SeededRng
  /** The clock of whoever lives in this world. Its timers run as events. */
  readonly clock: Clock = {
    nowMs: () => this.#nowMs,
    unixMs: () => START_UNIX_MS + this.#nowMs,
    setTimer: (delayMs, callback) => this.schedule(delayMs, callback),
  }
  readonly #heap = new EventHeap()
  readonly #trace = new Trace()
  #nowMs = 0
  #running = false

  constructor(options: { readonly seed: string | number }) {
    this.rng = new SeededRng(`espalier world ${options.seed}`)
  }

  get nowMs(): number {
    return this.#nowMs
  }

  /**
   * Runs `callback` once, `delayMs` from now in simulated time, rounded up to whole milliseconds; at once for a negative
   * one, never for Infinity. Throws `INVALID_ARGUMENT` for what is no number.
   */
  schedule(delayMs: number, callback: () => void): Timer {
    return this.#heap.push(this.#nowMs + wholeMs('delayMs', delayMs), callback)
  }

  /** Adds a line to the trace, under the present time. */
  record(line: string): void {
    this.#trace.line(`${this.#nowMs} ${line}\n`)
  }

  /** Adds three small integers to the trace, under the present time. */
  recordNumbers(a: number, b: number, c: number): void {
    this.#trace.words(this.#nowMs, a, b, c)
  }

  /** SHA-256 over everything recorded so far: equal for equal runs. */
  traceHash(): string {
    return this.#trace.digest()
  }

  /**
   * Lets `durationMs` pass, rounded up to whole milliseconds. Throws what an event throws, and `INVALID_ARGUMENT` for a
   * negative duration and for one that has no end before 2⁵³ ms.
   */
  async run(durationMs: number): Promise<void> {
    const longestMs = Number.MAX_SAFE_INTEGER - this.#nowMs
    const untilMs = this.#nowMs + wholeMs('durationMs', durationMs, { min: 0, max: longestMs })
    await this.#loop(untilMs, () => false)
    this.#nowMs = untilMs
  }

  /**
   * Lets time pass until `promise` settles and answers its outcome. Throws `TIMEOUT` when nothing is
   * left that could settle it, or after `limitMs` (default one day), which may be Infinity; `INVALID_ARGUMENT` for
   * another limit that is no number from 0.
   */
  async runUntil<T>(promise: Promise<T>, limitMs = 86_400_000): Promise<T> {
    let settled = false
    const settle = () => {
      settled = true
    }
    promise.then(settle, settle)
    await this.#loop(this.#nowMs + wholeMs('limitMs', limitMs, { min: 0 }), () => settled)
    // A call, because the compiler takes `settled` for constant here.
    if (!((): boolean => settled)()) {
      throw new EspalierError('TIMEOUT', `still pending at ${this.#nowMs} ms of simulated time`)
    }
    return promise
  }

  async #loop(untilMs: number, isDone: () => boolean): Promise<void> {
    if (this.#running) throw new EspalierError('INVALID_STATE', 'the world is already running')
    this.#running = true
    try {
      await drainMicrotasks()
      while (!isDone()) {
        const atMs = this.#heap.nextAtMs()
        if (atMs > untilMs || atMs === Infinity) return
        this.#nowMs = atMs
        while (this.#heap.nextAtMs() === atMs) this.#heap.pop()?.()
        await drainMicrotasks()
      }
    } finally {
      this.#running = false
    }
  }
}

/** The host empties its whole microtask queue before it turns to the next macrotask. */
function drainMicrotasks(): Promise<void> {
  return new Promise((resolve) => afterMicrotasks(resolve))
}

function wholeMs(
  name: string,
  value: unknown,
  { min = -Infinity, max = Infinity }: { readonly min?: number; readonly max?: number } = {},
): number {
  if (typeof value === 'number' && value >= min && value <= max) return Math.max(0, Math.ceil(value))
  const given = typeof value === 'number' ? String(value) : typeof value
  throw invalid(name, given, `a number of milliseconds from ${min} to ${max} is needed`)
}
