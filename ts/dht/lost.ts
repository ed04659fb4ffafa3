import type { NodeId } from '../base/identity.ts'
import type { Peer } from './lookup.ts'

/** Peers remembered. */
const MAX_LOST = 64
/** A peer that was away for so long is forgotten. */
const MAX_AGE_MS = 3 * 24 * 3_600_000

/**
 * Contacts that fell silent and left the table. One that answers again joins two halves of a network that
 * was split for longer than a table remembers.
 */
export class Lost {
  /** The next to try first. Bounded by {@link MAX_LOST}. */
  readonly #peers = new Map<NodeId, { readonly peer: Peer; readonly lostAtMs: number }>()

  /** Takes one in; of too many the one whose turn is next is forgotten. */
  add(peer: Peer, nowMs: number): void {
    if (peer.addresses.length === 0 || this.#peers.has(peer.id)) return
    this.#peers.set(peer.id, { peer, lostAtMs: nowMs })
    const [first] = this.#peers.keys()
    if (this.#peers.size > MAX_LOST && first !== undefined) this.#peers.delete(first)
  }

  /** It is back. */
  delete(id: NodeId): void {
    this.#peers.delete(id)
  }

  /** Whom to try now: each in turn. */
  next(nowMs: number): Peer | undefined {
    for (const [id, lost] of this.#peers) {
      this.#peers.delete(id)
      if (nowMs - lost.lostAtMs >= MAX_AGE_MS) continue
      this.#peers.set(id, lost)
      return lost.peer
    }
    return undefined
  }
}
