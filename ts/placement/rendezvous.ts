import { compareBytes, concatBytes } from '../base/bytes.ts'
import { keyOfNode, type NodeId } from '../base/identity.ts'

/** What a draw depends on: the object's id, and the hash that every node computes alike. */
export interface Draw {
  /** 32 bytes that nobody can choose for a given node: the random object id. */
  readonly key: Uint8Array
  /** A cryptographic hash of at least 16 bytes. */
  readonly hash: (material: Uint8Array) => Uint8Array
}

/** Separates these hashes from all others over the same bytes. */
const LABEL = new TextEncoder().encode('espalier placement v1\0')

/**
 * Rendezvous hashing (Thaler and Ravishankar, 1998): every node in the order of its hash with the key, best
 * first, each once. A node that joins or leaves moves nothing but its own place, and any node that knows
 * the same candidates draws the same order.
 */
export function rankNodes(candidates: Iterable<NodeId>, draw: Draw): NodeId[] {
  const scored = Array.from(new Set(candidates), (id) => ({
    id,
    score: draw.hash(concatBytes([LABEL, draw.key, keyOfNode(id)])),
  }))
  // Equal scores need a hash collision; the id still decides, so that the order never depends on the input's.
  scored.sort((a, b) => compareBytes(b.score, a.score) || (a.id < b.id ? -1 : 1))
  return scored.map(({ id }) => id)
}
