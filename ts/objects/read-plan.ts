import type { NodeId } from '../base/identity.ts'
import { totalShards, type ShardLayout } from '../placement/layout.ts'
import type { PlacedHolder } from './manifest.ts'

/** What one segment has come to. */
export type ReadVerdict =
  | { readonly kind: 'reading' }
  | { readonly kind: 'complete' }
  /** `found` shards could still be had: fewer than the object needs. */
  | { readonly kind: 'missing'; readonly found: number }

interface Holder {
  status: 'dialling' | 'open' | 'dead'
  /** Smoothed time to an answer, for the order of asking only. */
  latencyMs: number
  /** Requests that it has not answered. */
  waiting: number
}

/** A holder with more unanswered requests is asked only when the object can't do without it. */
const MAX_WAITING = 4
/** Asked beyond the shards that are needed, so that one slow holder delays nothing. */
const SPARES = 1

/** What is known of the holders of one object while it is read. Decides only; `get.ts` does the asking. */
export class ReadPlan {
  readonly layout: ShardLayout
  readonly places: readonly PlacedHolder[]
  /** Bounded by the holders of the manifest. */
  readonly #holders = new Map<NodeId, Holder>()

  constructor(options: { readonly layout: ShardLayout; readonly holders: readonly PlacedHolder[] }) {
    this.layout = options.layout
    this.places = options.holders
    for (const { nodeId } of options.holders) {
      this.#holders.set(nodeId, { status: 'dialling', latencyMs: 0, waiting: 0 })
    }
  }

  /** The holder can be asked; reaching it took `tookMs`. */
  onOpened(nodeId: NodeId, tookMs: number): void {
    const holder = this.#holders.get(nodeId)
    if (holder?.status !== 'dialling') return
    holder.status = 'open'
    holder.latencyMs = tookMs
  }

  /** The holder cannot be reached, or is lost, and will not be asked again. */
  onDead(nodeId: NodeId): void {
    const holder = this.#holders.get(nodeId)
    if (holder !== undefined) holder.status = 'dead'
  }

  onAsked(nodeId: NodeId): void {
    const holder = this.#holders.get(nodeId)
    if (holder !== undefined) holder.waiting += 1
  }

  onAnswered(nodeId: NodeId, tookMs: number): void {
    const holder = this.#holders.get(nodeId)
    if (holder === undefined) return
    holder.waiting -= 1
    this.#smooth(holder, tookMs)
  }

  /** A request has waited `waitedMs` and goes on waiting. */
  onSlow(nodeId: NodeId, waitedMs: number): void {
    const holder = this.#holders.get(nodeId)
    if (holder !== undefined) this.#smooth(holder, waitedMs)
  }

  statusOf(nodeId: NodeId): Holder['status'] {
    return this.#holders.get(nodeId)?.status ?? 'dead'
  }

  isBusy(nodeId: NodeId): boolean {
    return (this.#holders.get(nodeId)?.waiting ?? 0) >= MAX_WAITING
  }

  /** Places in the order in which to ask them: idle, fast, data before parity (no decoding), index. */
  ranked(): readonly PlacedHolder[] {
    return [...this.places].sort(
      (a, b) => this.#rank(a) - this.#rank(b) || a.shardIndex - b.shardIndex || this.#age(a) - this.#age(b),
    )
  }

  #rank(place: PlacedHolder): number {
    const latencyMs = this.#holders.get(place.nodeId)?.latencyMs ?? 0
    // Doublings above 16 ms: a smaller difference is noise, and data shards spare the decoding.
    const speed = Math.max(0, Math.ceil(Math.log2(Math.max(latencyMs, 1) / 16)))
    const isParity = place.shardIndex >= this.layout.dataShards
    return (this.isBusy(place.nodeId) ? 1000 : 0) + 2 * speed + (isParity ? 1 : 0)
  }

  #age(place: PlacedHolder): number {
    return this.places.indexOf(place)
  }

  #smooth(holder: Holder, sampleMs: number): void {
    holder.latencyMs = 0.7 * holder.latencyMs + 0.3 * sampleMs
  }
}

/** Which shard of one segment to ask for next, and from whom. */
export class SegmentPlan {
  readonly #plan: ReadPlan
  /** Bounded by the holders of the manifest. */
  readonly #tried = new Set<PlacedHolder>()
  readonly #asked = new Set<PlacedHolder>()
  /** Bounded by the shards of the layout. */
  readonly #obtained = new Set<number>()
  #extra = 0

  constructor(plan: ReadPlan) {
    this.#plan = plan
  }

  /** Places to ask now; each is returned once. */
  next(): PlacedHolder[] {
    const chosen: PlacedHolder[] = []
    if (this.verdict().kind !== 'reading') return chosen
    for (const place of this.#plan.ranked()) {
      const active = this.#obtained.size + this.#asked.size
      const needed = this.#plan.layout.dataShards
      if (active >= needed + SPARES + this.#extra) break
      if (this.#tried.has(place) || this.#plan.statusOf(place.nodeId) !== 'open') continue
      if (this.#isCovered(place.shardIndex)) continue
      if (active >= needed && this.#plan.isBusy(place.nodeId)) continue
      this.#tried.add(place)
      this.#asked.add(place)
      chosen.push(place)
    }
    return chosen
  }

  /** The right bytes have arrived. */
  onShard(place: PlacedHolder): void {
    this.#asked.delete(place)
    this.#obtained.add(place.shardIndex)
  }

  /** It refused, sent something else, or was lost. */
  onRefused(place: PlacedHolder): void {
    this.#asked.delete(place)
  }

  /** What was asked takes long: one more place may be asked. */
  onSlow(): void {
    this.#extra += 1
  }

  /** The holders that have been asked and have not answered. */
  waitingFor(): readonly PlacedHolder[] {
    return [...this.#asked]
  }

  verdict(): ReadVerdict {
    const needed = this.#plan.layout.dataShards
    if (this.#obtained.size >= needed) return { kind: 'complete' }
    const found = this.#reachable()
    return found < needed ? { kind: 'missing', found } : { kind: 'reading' }
  }

  #isCovered(shardIndex: number): boolean {
    if (this.#obtained.has(shardIndex)) return true
    return [...this.#asked].some((place) => place.shardIndex === shardIndex)
  }

  /** Shard indices that have arrived or may still arrive. */
  #reachable(): number {
    let found = 0
    for (let shardIndex = 0; shardIndex < totalShards(this.#plan.layout); shardIndex += 1) {
      const mayArrive = this.#plan.places.some(
        (place) =>
          place.shardIndex === shardIndex &&
          (this.#asked.has(place) ||
            (!this.#tried.has(place) && this.#plan.statusOf(place.nodeId) !== 'dead')),
      )
      if (mayArrive || this.#obtained.has(shardIndex)) found += 1
    }
    return found
  }
}
