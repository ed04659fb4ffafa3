import type { Lookup, Peer } from './lookup.ts'

/**
 * Runs a look-up to its end: asks whom the machine names and tells it the outcomes. Rejects only with
 * the reason of `signal`; a peer that fails is the machine's concern.
 */
export async function drive(
  lookup: Lookup,
  options: {
    /** Asks one peer; answers the peers that it named. Rejects when it failed or lied. */
    readonly ask: (peer: Peer) => Promise<readonly Peer[]>
    readonly signal: AbortSignal
    /** Whether what was found so far is enough to end early. */
    readonly isEnough?: () => boolean
  },
): Promise<void> {
  const { ask, signal, isEnough = () => false } = options
  return new Promise((resolve, reject) => {
    let isOver = false
    const end = (settle: () => void): void => {
      if (isOver) return
      isOver = true
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
        ask(peer).then(
          (peers) => {
            lookup.onAnswer(peer.id, peers)
            pump()
          },
          () => {
            lookup.onFailure(peer.id)
            pump()
          },
        )
      }
    }
    signal.addEventListener('abort', onAbort, { once: true })
    if (signal.aborted) onAbort()
    pump()
  })
}
