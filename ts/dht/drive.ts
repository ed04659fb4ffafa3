import type { Clock, Timer } from '../base/clock.ts'
import type { NodeId } from '../base/identity.ts'
import type { Lookup, Peer } from './lookup.ts'

/** A look-up waits for a silent peer this much longer than for the slowest that has answered it, … */
const PATIENCE_RATIO = 8
/** … but never less than this: answers of a few milliseconds say nothing about a handshake. */
const MIN_PATIENCE_MS = 500

/**
 * Runs a look-up to its end: asks whom the machine names and tells it the outcomes. Rejects only with
 * the reason of `signal`; a peer that fails is the machine's concern. A peer that is silent for much longer
 * than the others took is left out of this look-up; its request goes on, and the table takes the outcome.
 */
export async function drive(
  lookup: Lookup,
  options: {
    /** Asks one peer; answers the peers that it named. Rejects when it failed or lied. */
    readonly ask: (peer: Peer) => Promise<readonly Peer[]>
    readonly clock: Clock
    readonly signal: AbortSignal
    /** Whether what was found so far is enough to end early. */
    readonly isEnough?: () => boolean
  },
): Promise<void> {
  const { ask, clock, signal, isEnough = () => false } = options
  const patience = new Patience(clock)
  let timer: Timer | undefined
  return new Promise((resolve, reject) => {
    let isOver = false
    const end = (settle: () => void): void => {
      if (isOver) return
      isOver = true
      timer?.cancel()
      signal.removeEventListener('abort', onAbort)
      settle()
    }
    const onAbort = (): void => end(() => reject(signal.reason as Error))
    const pump = (): void => {
      if (isOver) return
      if (isEnough() || lookup.isDone) {
        end(resolve)
        return
      }
      for (const { peer } of lookup.next()) {
        patience.onAsked(peer.id)
        ask(peer).then(
          (peers) => {
            patience.onAnswered(peer.id)
            lookup.onAnswer(peer.id, peers)
            pump()
          },
          () => {
            patience.onFailed(peer.id)
            lookup.onFailure(peer.id)
            pump()
          },
        )
      }
      watch()
    }
    const watch = (): void => {
      timer?.cancel()
      const delayMs = patience.restMs()
      timer = delayMs === undefined ? undefined : clock.setTimer(delayMs, giveUp)
    }
    const giveUp = (): void => {
      for (const id of patience.takeSilent()) lookup.onFailure(id)
      pump()
    }
    signal.addEventListener('abort', onAbort, { once: true })
    if (signal.aborted) onAbort()
    pump()
  })
}

/** How long one look-up waits for whom. */
class Patience {
  readonly #clock: Clock
  /** Bounded by the look-up's requests in flight. */
  readonly #askedAtMs = new Map<NodeId, number>()
  /** Unknown until somebody has answered: then the request's own time-out decides. */
  #slowestMs: number | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  onAsked(id: NodeId): void {
    this.#askedAtMs.set(id, this.#clock.nowMs())
  }

  onAnswered(id: NodeId): void {
    const askedAtMs = this.#askedAtMs.get(id)
    if (askedAtMs === undefined) return
    this.#askedAtMs.delete(id)
    this.#slowestMs = Math.max(this.#slowestMs ?? 0, this.#clock.nowMs() - askedAtMs)
  }

  onFailed(id: NodeId): void {
    this.#askedAtMs.delete(id)
  }

  /** Until the first of those in flight has been silent for too long. */
  restMs(): number | undefined {
    // A map keeps its order: the first was asked first.
    const [firstAtMs] = this.#askedAtMs.values()
    if (firstAtMs === undefined || this.#slowestMs === undefined) return undefined
    return Math.max(0, firstAtMs + this.#limitMs(this.#slowestMs) - this.#clock.nowMs())
  }

  /** Those who have been silent for too long; each is returned once. */
  takeSilent(): NodeId[] {
    if (this.#slowestMs === undefined) return []
    const askedBeforeMs = this.#clock.nowMs() - this.#limitMs(this.#slowestMs)
    const silent = [...this.#askedAtMs].filter(([, atMs]) => atMs <= askedBeforeMs).map(([id]) => id)
    for (const id of silent) this.#askedAtMs.delete(id)
    return silent
  }

  #limitMs(slowestMs: number): number {
    return Math.max(MIN_PATIENCE_MS, PATIENCE_RATIO * slowestMs)
  }
}
