import type { NodeId } from '../base/identity.ts'
import type { Address } from '../net/address.ts'
import type { Rpc } from '../net/rpc.ts'
import type { ConnectionStats } from '../net/transport.ts'
import type { Services } from './services.ts'

/**
 * Counts and sizes of one moment.
 *
 * @category Watching
 */
export interface NodeStatus {
  /** Nodes in the routing table. */
  readonly peers: number
  /** Nodes of the network that serve, as complete look-ups estimate it; nothing before the first. */
  readonly networkSize: number | undefined
  readonly connections: number
  /** Shards kept for objects of the network; none on a client. */
  readonly shards: number
  readonly usedBytes: number
  /** Most bytes of shards that are kept; 0 on a client. */
  readonly quotaBytes: number
  /** The highest resident memory of this process so far. */
  readonly memoryPeakBytes: number
}

/**
 * One live connection.
 *
 * @category Watching
 */
export interface ConnectionSummary extends ConnectionStats {
  readonly peer: NodeId
  readonly remote: Address
  /** Whether this node dialled. */
  readonly outbound: boolean
}

/**
 * One entry of the routing table.
 *
 * @category Watching
 */
export interface PeerSummary {
  readonly id: NodeId
  readonly addresses: readonly Address[]
}

export function summarizeStatus({ dht, rpc, shards }: Services): NodeStatus {
  const usage = shards?.usage() ?? { usedBytes: 0, quotaBytes: 0, shards: 0 }
  return {
    peers: dht.peers().length,
    networkSize: dht.networkSize === undefined ? undefined : Math.round(dht.networkSize.nodes),
    connections: rpc.connections().length,
    ...usage,
    // libuv answers kibibytes on every platform.
    memoryPeakBytes: process.resourceUsage().maxRSS * 1024,
  }
}

export function summarizeConnections(rpc: Rpc): readonly ConnectionSummary[] {
  return rpc.connections().map(({ peer, remote, outbound, stats }) => ({ peer, remote, outbound, ...stats }))
}
