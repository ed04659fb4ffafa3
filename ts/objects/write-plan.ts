import type { NodeId } from '../base/identity.ts'
import { totalShards, writeThreshold, type ShardLayout } from '../placement/layout.ts'
import type { PlacedHolder } from './manifest.ts'

/** One node's time as the holder of one shard index: it acknowledged the segments from `from` up to `to`. */
interface Tenure extends PlacedHolder {
  readonly from: number
  to: number
  /** Failed so that nobody knows whether it still has what it acknowledged. */
  lost: boolean
}

/**
 * Who keeps which shard while an object is written. Decides only; `put.ts` does the sending.
 *
 * A holder that fails hands its index to the next node in the order of the draw, from the first segment that
 * it had not acknowledged. What it acknowledged before counts when it refused (its disk is full) and does not
 * count when it vanished; either way readers are told of both.
 */
export class WritePlan {
  readonly layout: ShardLayout
  /** Acknowledged shards that every segment needs. */
  readonly threshold: number
  /** Tenures of each shard index, the current one last. Bounded by the shards plus the spares. */
  readonly #tenures: Tenure[][]
  /** Whether an index has a holder now. */
  readonly #isHeld: boolean[]
  /** Bounded by MAX_SPARES. */
  readonly #spares: NodeId[]

  constructor(options: { readonly layout: ShardLayout; readonly ranked: readonly NodeId[] }) {
    const shards = totalShards(options.layout)
    this.layout = options.layout
    this.threshold = writeThreshold(options.layout)
    this.#tenures = options.ranked
      .slice(0, shards)
      .map((nodeId, shardIndex) => [{ nodeId, shardIndex, from: 0, to: 0, lost: false }])
    this.#isHeld = this.#tenures.map(() => true)
    this.#spares = options.ranked.slice(shards, shards + MAX_SPARES)
  }

  /** The node that takes this index's shards now; nothing when it failed and no spare is left. */
  holderOf(shardIndex: number): NodeId | undefined {
    return this.#isHeld[shardIndex] === true ? this.#current(shardIndex)?.nodeId : undefined
  }

  /** The present holders, by shard index. */
  current(): PlacedHolder[] {
    return this.#tenures.flatMap((_, shardIndex) => {
      const nodeId = this.holderOf(shardIndex)
      return nodeId === undefined ? [] : [{ nodeId, shardIndex }]
    })
  }

  /** `holder` has acknowledged its shard of `segment`. Each holder acknowledges in segment order. */
  onStored(holder: PlacedHolder, segment: number): void {
    const tenure = this.#find(holder)
    if (tenure !== undefined) tenure.to = Math.max(tenure.to, segment + 1)
  }

  /** `holder` takes nothing more. Only the first report of a holder changes anything. */
  onFailed(holder: PlacedHolder, failure: { readonly keptItsShards: boolean }): void {
    const tenure = this.#find(holder)
    if (tenure === undefined || this.holderOf(holder.shardIndex) !== holder.nodeId) return
    tenure.lost = !failure.keptItsShards
    const spare = this.#spares.shift()
    if (spare === undefined) {
      this.#isHeld[holder.shardIndex] = false
      return
    }
    const next = { nodeId: spare, shardIndex: holder.shardIndex, from: tenure.to, to: tenure.to, lost: false }
    this.#tenures[holder.shardIndex]?.push(next)
  }

  /** `holder` vanished after the last segment, when nobody replaces it any more. */
  onVanished(holder: PlacedHolder): void {
    const tenure = this.#find(holder)
    if (tenure !== undefined) tenure.lost = true
  }

  /**
   * The fewest shards that any segment has or can still get: below the threshold the write has failed.
   * Segments that are not written yet count as stored by the present holders.
   */
  weakest(): number {
    const gaps = this.#tenures.flatMap((tenures, shardIndex) => this.#gapsOf(tenures, shardIndex))
    // The number of open gaps only grows where one starts.
    const deepest = gaps.map(({ from }) => gaps.filter((gap) => gap.from <= from && from < gap.to).length)
    return totalShards(this.layout) - Math.max(0, ...deepest)
  }

  /** Everybody who has acknowledged shards, present holders first, so that a reader tries them first. */
  holders(): (PlacedHolder & { readonly shards: number; readonly isPresent: boolean })[] {
    return this.#tenures
      .flat()
      .map(({ nodeId, shardIndex, from, to }) => {
        const isPresent = this.holderOf(shardIndex) === nodeId
        return { nodeId, shardIndex, shards: to - from, isPresent }
      })
      .filter(({ shards, isPresent }) => shards > 0 || isPresent)
      .sort((a, b) => Number(b.isPresent) - Number(a.isPresent) || a.shardIndex - b.shardIndex)
  }

  #gapsOf(tenures: readonly Tenure[], shardIndex: number): { readonly from: number; readonly to: number }[] {
    const gaps = tenures
      .filter((tenure) => tenure.lost && tenure.to > tenure.from)
      .map(({ from, to }) => ({ from, to }))
    const end = tenures.at(-1)
    if (this.#isHeld[shardIndex] === false && end !== undefined) gaps.push({ from: end.to, to: Infinity })
    return gaps
  }

  #current(shardIndex: number): Tenure | undefined {
    return this.#tenures[shardIndex]?.at(-1)
  }

  #find({ nodeId, shardIndex }: PlacedHolder): Tenure | undefined {
    return this.#tenures[shardIndex]?.find((tenure) => tenure.nodeId === nodeId)
  }
}

/** Replacements that a write may use up before it fails. */
const MAX_SPARES = 20
