const MINUTE_MS = 60_000

/** How long an announcement lives of itself. */
export const BASE_LIFETIME_MS = 120 * MINUTE_MS
/** What one hit adds, … */
export const HIT_MS = 30 * MINUTE_MS
/** … and all of them at most. */
export const MAX_HITS_MS = 12 * 60 * MINUTE_MS
/** What one window with a receipt adds, … */
export const RECEIPT_MS = 10 * MINUTE_MS
/** … and all of them at most. */
export const MAX_RECEIPTS_MS = 120 * MINUTE_MS
/** Receipts are counted in windows of this length. */
export const RECEIPT_WINDOW_MS = 10 * MINUTE_MS

const MAX_HITS = MAX_HITS_MS / HIT_MS
const MAX_WINDOWS = MAX_RECEIPTS_MS / RECEIPT_MS
/** Readers whose receipts of one window are told apart; more of them prove nothing more. */
const MAX_NAMES = 256

/** The receipt window that a moment lies in. */
export function windowOf(unixMs: number): number {
  return Math.floor(unixMs / RECEIPT_WINDOW_MS)
}

/**
 * How long one root's announcement, or the summary of a provider in a reader's memory, is worth keeping: two
 * hours, longer where it is asked for and longer where what it promised was delivered.
 */
export class Lifetime {
  /** Who made a hit since the last issue. Bounded by the hits that count, 24. */
  readonly #hits = new Set<string>()
  /** Names of those who gave receipts, by window. Bounded by 12 windows of {@link MAX_NAMES}. */
  readonly #receipts = new Map<number, Set<string>>()

  /** Someone asked; the same one again adds nothing. */
  onHit(name: string): void {
    if (this.#hits.size < MAX_HITS) this.#hits.add(name)
  }

  /** Whether a receipt of a window counts: not one from the future, from too long ago, or a second of the same reader. */
  onReceipt(window: number, name: string, nowUnixMs: number): boolean {
    const current = windowOf(nowUnixMs)
    // A window more, because clocks differ.
    if (window > current + 1 || window <= current - MAX_WINDOWS) return false
    this.#forget(current)
    const names = this.#receipts.get(window) ?? new Set<string>()
    if (names.has(name) || names.size >= MAX_NAMES) return false
    names.add(name)
    this.#receipts.set(window, names)
    return true
  }

  /** From now on, 2 to 16 hours. */
  lifetimeMs(nowUnixMs: number): number {
    this.#forget(windowOf(nowUnixMs))
    const hits = Math.min(this.#hits.size * HIT_MS, MAX_HITS_MS)
    return BASE_LIFETIME_MS + hits + Math.min(this.#receipts.size * RECEIPT_MS, MAX_RECEIPTS_MS)
  }

  /** A life has begun that counted the hits so far. */
  onIssued(): void {
    this.#hits.clear()
  }

  #forget(current: number): void {
    for (const window of this.#receipts.keys())
      if (window <= current - MAX_WINDOWS) this.#receipts.delete(window)
  }
}
