import type { Clock, Timer } from '../base/clock.ts'
import type { Lookup, Peer } from './lookup.ts'
import { Patience } from './patience.ts'

/**
 * Runs a look-up to its end: asks whom the machine names and tells it the outcomes. Rejects only with
 * the reason of `signal`; a peer that fails is the machine's concern. A peer that is silent for much longer
 * than the others took is left out of this look-up; its request goes on, and the table takes the outcome.
 * So do the requests under way when the look-up ends.
 */
export async function drive(
  lookup: Lookup,
  options: {
    /** Asks one peer; answers the peers that it named. Rejects when it failed or lied. */
    readonly ask: (peer: Peer, path: number) => Promise<readonly Peer[]>
    readonly clock: Clock
    readonly signal: AbortSignal
    /** Whether what was found so far is enough to end early. */
    readonly isEnough?: () => boolean
  },
): Promise<void> {
  const { ask, clock, signal, isEnough } = options
  const patience = new Patience()
  let timer: Timer | undefined
  return new Promise((resolve, reject) => {
    let isOver = false
    const end = (): void => {
      isOver = true
      timer?.cancel()
      signal.removeEventListener('abort', onAbort)
    }
    const onAbort = (): void => {
      if (isOver) return
      end()
      reject(signal.reason as Error)
    }
    const pump = (): void => {
      if (isOver) return
      if (isEnough?.() === true || lookup.isDone) {
        end()
        resolve()
        return
      }
      for (const { peer, path } of lookup.next()) {
        patience.onAsked(peer.id, clock.nowMs())
        ask(peer, path).then(
          (peers) => {
            if (isOver) return
            patience.onAnswered(peer.id, clock.nowMs())
            lookup.onAnswer(peer.id, peers)
            pump()
          },
          () => {
            if (isOver) return
            patience.onFailed(peer.id)
            lookup.onFailure(peer.id)
            pump()
          },
        )
      }
      if (timer === undefined) watch()
    }
    /** The moment to look again only moves away, so one timer at a time is enough. */
    const watch = (): void => {
      const delayMs = patience.restMs(clock.nowMs())
      timer = delayMs === undefined ? undefined : clock.setTimer(delayMs, giveUp)
    }
    const giveUp = (): void => {
      timer = undefined
      for (const id of patience.takeSilent(clock.nowMs())) lookup.onFailure(id)
      pump()
    }
    signal.addEventListener('abort', onAbort, { once: true })
    if (signal.aborted) onAbort()
    else pump()
  })
}
