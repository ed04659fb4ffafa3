import type { NodeId } from '../base/identity.ts'

/** A look-up waits for a silent peer this much longer than for the slowest that has answered it, … */
const PATIENCE_RATIO = 8
/** … but never less than this: answers of a few milliseconds say nothing about a handshake. */
const MIN_PATIENCE_MS = 500

/** How long one look-up waits for whom. */
export class Patience {
  /** In the order of asking. Bounded by the look-up's requests in flight. */
  readonly #askedAtMs = new Map<NodeId, number>()
  /** Unknown until somebody has answered: then the request's own time-out decides. */
  #slowestMs: number | undefined

  onAsked(id: NodeId, nowMs: number): void {
    this.#askedAtMs.set(id, nowMs)
  }

  onAnswered(id: NodeId, nowMs: number): void {
    const askedAtMs = this.#askedAtMs.get(id)
    if (askedAtMs === undefined) return
    this.#askedAtMs.delete(id)
    const tookMs = nowMs - askedAtMs
    if (this.#slowestMs === undefined || tookMs > this.#slowestMs) this.#slowestMs = tookMs
  }

  onFailed(id: NodeId): void {
    this.#askedAtMs.delete(id)
  }

  /**
   * Until the first of those in flight has been silent for too long. The moment only moves away: later
   * ones were asked later, and the slowest answer gets no faster.
   */
  restMs(nowMs: number): number | undefined {
    if (this.#slowestMs === undefined || this.#askedAtMs.size === 0) return undefined
    for (const atMs of this.#askedAtMs.values()) return Math.max(0, atMs + limitMs(this.#slowestMs) - nowMs)
    return undefined
  }

  /** Those who have been silent for too long; each is returned once. */
  takeSilent(nowMs: number): NodeId[] {
    const silent: NodeId[] = []
    if (this.#slowestMs === undefined) return silent
    const askedBeforeMs = nowMs - limitMs(this.#slowestMs)
    for (const [id, atMs] of this.#askedAtMs) {
      if (atMs > askedBeforeMs) break
      silent.push(id)
    }
    for (const id of silent) this.#askedAtMs.delete(id)
    return silent
  }
}

function limitMs(slowestMs: number): number {
  return Math.max(MIN_PATIENCE_MS, PATIENCE_RATIO * slowestMs)
}
