import { concatBytes } from './bytes.ts'
import type { NodeCrypto } from './env.ts'

// Leaves and inner nodes are hashed under contexts of their own, so that no inner node can be shown
// as a leaf (the second-preimage trick on Merkle trees).
const LEAF_CONTEXT = 'espalier 2026-11 record leaf v1'
const NODE_CONTEXT = 'espalier 2026-11 record node v1'

/** Most leaves of one tree: six levels, 192 bytes of path. */
export const MAX_LEAVES = 64

type Hashing = Pick<NodeCrypto, 'deriveKey'>

/** Where a leaf sits in its tree, and the neighbours that lead from it to the root. */
export interface MerklePath {
  /** 0 to `count` − 1. */
  readonly index: number
  /** Leaves in the tree, 1 to {@link MAX_LEAVES}. */
  readonly count: number
  /** From the leaf upwards, 32 bytes each, exactly {@link pathLength} of them. */
  readonly siblings: readonly Uint8Array[]
}

/** A tree's root with the path of every leaf. A node without a neighbour rises unchanged. */
export function merkleTree(
  crypto: Hashing,
  leaves: readonly Uint8Array[],
): { readonly root: Uint8Array; readonly paths: readonly MerklePath[] } {
  const siblings: Uint8Array[][] = leaves.map(() => [])
  let level = leaves.map((leaf) => crypto.deriveKey(LEAF_CONTEXT, leaf))
  for (let height = 0; level.length > 1; height += 1) {
    for (const [leaf, path] of siblings.entries()) {
      const neighbour = level[(leaf >> height) ^ 1]
      if (neighbour !== undefined) path.push(neighbour)
    }
    level = pairUp(crypto, level)
  }
  return {
    root: level[0] ?? new Uint8Array(32),
    paths: siblings.map((path, index) => ({ index, count: leaves.length, siblings: path })),
  }
}

/** The root that `leaf` and its path lead to; `undefined` when the path has the wrong length for its place. */
export function rootOf(crypto: Hashing, leaf: Uint8Array, path: MerklePath): Uint8Array | undefined {
  if (path.index >= path.count || path.siblings.length !== pathLength(path)) return undefined
  let node = crypto.deriveKey(LEAF_CONTEXT, leaf)
  let used = 0
  for (let { index, count } = path; count > 1; index >>= 1, count = (count + 1) >> 1) {
    const isLone = (index ^ 1) >= count
    const sibling = isLone ? undefined : path.siblings[used++]
    if (sibling !== undefined) node = joined(crypto, index & 1 ? [sibling, node] : [node, sibling])
  }
  return node
}

/** How many neighbours the path of a leaf has: one a level, none where it rises alone. */
export function pathLength(place: { readonly index: number; readonly count: number }): number {
  let length = 0
  for (let { index, count } = place; count > 1; index >>= 1, count = (count + 1) >> 1) {
    if ((index ^ 1) < count) length += 1
  }
  return length
}

function pairUp(crypto: Hashing, level: readonly Uint8Array[]): Uint8Array[] {
  const above: Uint8Array[] = []
  for (let at = 0; at < level.length; at += 2) {
    const pair = level.slice(at, at + 2)
    above.push(...(pair.length === 2 ? [joined(crypto, pair)] : pair))
  }
  return above
}

function joined(crypto: Hashing, pair: readonly Uint8Array[]): Uint8Array {
  return crypto.deriveKey(NODE_CONTEXT, concatBytes(pair))
}
