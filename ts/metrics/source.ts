import type { Meter } from '../base/metrics.ts'
import type { RpcLoad } from '../net/rpc.ts'

/** What the exporter reads of a node when somebody asks; the parts of a node have this shape. */
export interface MetricsSource {
  readonly metrics: Meter
  readonly transport: {
    /** Counts (`count.…`) and levels (`level.…`) by name. */
    figures(): ReadonlyMap<string, number>
    /** In seconds. */
    roundTrips(most: number): readonly number[]
  }
  readonly rpc: {
    load(): RpcLoad
    /** Live connections by who dialled. */
    connectionCounts(): { readonly inbound: number; readonly outbound: number }
  }
  readonly dht: {
    readonly peerCount: number
    readonly evenness: number
    readonly networkSize: { readonly nodes: number } | undefined
    readonly recordCount: number
    readonly registers: {
      readonly supersededCount: number
      readonly watchedCount: number
      readonly leaseCounts: { readonly granted: number; readonly held: number }
    }
    readonly providers: {
      readonly keptCount: number
      readonly announcedCount: number
      readonly cachedBytes: number
    }
  }
  readonly store: { readonly pendingCalls: number }
  /** Nothing for a node that keeps nothing for others. */
  readonly shards:
    | {
        usage(): { readonly usedBytes: number; readonly quotaBytes: number; readonly shards: number }
      }
    | undefined
}

/** One moment of a node: native figures are fetched once for all of its metrics. */
export interface Moment {
  readonly source: MetricsSource
  readonly figures: ReadonlyMap<string, number>
}
