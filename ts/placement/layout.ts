import { EspalierError } from '../base/error.ts'

/**
 * How many shards a segment is cut into, and how many of them may be lost.
 *
 * @category Objects
 */
export interface ShardLayout {
  readonly dataShards: number
  readonly parityShards: number
}

/** The full profile of a network with twelve nodes or more: survives the loss of any four holders. */
export const FULL_LAYOUT: ShardLayout = { dataShards: 8, parityShards: 4 }

/** Data and parity together: the number of holders. */
export function totalShards(layout: ShardLayout): number {
  return layout.dataShards + layout.parityShards
}

/**
 * Shards of one segment that must be acknowledged before a write may succeed: all of the data and half of
 * the parity, rounded up. One more failure than the writer saw must not be the end of the object.
 */
export function writeThreshold(layout: ShardLayout): number {
  return layout.dataShards + Math.ceil(layout.parityShards / 2)
}

/**
 * The largest layout that `nodes` eligible nodes can carry with one shard each, and in words why it is not
 * the full one. Throws `PLACEMENT_IMPOSSIBLE` when there is no node.
 */
export function layoutFor(nodes: number): { readonly layout: ShardLayout; readonly reduced?: string } {
  const wanted = totalShards(FULL_LAYOUT)
  if (nodes < 1) {
    throw new EspalierError('PLACEMENT_IMPOSSIBLE', 'no node that keeps data for others is known', {
      details: { eligible: 0, wanted },
    })
  }
  if (nodes >= wanted) return { layout: FULL_LAYOUT }
  const dataShards = Math.max(1, Math.floor((2 * nodes) / 3))
  const layout = { dataShards, parityShards: nodes - dataShards }
  const known = nodes === 1 ? 'one node is' : `${nodes} nodes are`
  const loss = layout.parityShards === 0 ? 'no loss' : `the loss of ${layout.parityShards}`
  const reduced = `${known} known where the full profile wants ${wanted}; the object survives ${loss}`
  return { layout, reduced }
}
