/**
 * Nodes, what they store and read, who they are, and what can go wrong. Begin with {@link createNode}.
 *
 * @module espalier
 */
export { createNode, type EspalierNode } from './node/node.ts'
export { type LookupReport, type LookupStep } from './dht/lookup-trace.ts'
export {
  type GetValueOptions,
  type HistoryOptions,
  type LookupOptions,
  type PutValueOptions,
  type ReadValueOptions,
  type WatchOptions,
} from './node/check-call.ts'
export { type NodeRegisters } from './node/registers.ts'
export { type RegisterChange, type RegisterEquivocation } from './dht/newest-version.ts'
export { type RegisterVersion } from './dht/register.ts'
export { type MetricsOptions, type NodeOptions } from './node/options.ts'
export { clientOnly, privateNetwork } from './node/presets.ts'
export { type ConnectionSummary, type NodeStatus, type PeerSummary } from './node/status.ts'
export { ERROR_CODES, EspalierError, isErrorCode, type ErrorCode, type ErrorDetails } from './base/error.ts'
export { parseNodeId, type NodeId } from './base/identity.ts'
export { silentLog, type Log, type LogFields } from './base/log.ts'
export {
  Identity,
  type Hardness,
  type IdentityLocation,
  type IdentityOptions,
  type ImportOptions,
} from './native/key-file.ts'
export {
  formatAddress,
  parseAddress,
  parsePeerAddress,
  type Address,
  type PeerAddress,
} from './net/address.ts'
export { type DialTrace, type RequestTrace } from './net/trace.ts'
export { type CallOptions, type ConnectionStats } from './net/transport.ts'
export { type ChildOptions, type NodeProviders } from './node/providers.ts'
export { type Announcement } from './dht/provider-publisher.ts'
export { type ProviderPlan } from './dht/provider-plan.ts'
export { type Provider } from './dht/provider-reader.ts'
export { type ProviderAssignments } from './dht/providers.ts'
export { type Objects } from './objects/objects.ts'
export {
  type GetBytesOptions,
  type GetOptions,
  type Progress,
  type PutOptions,
  type PutResult,
  type StoredOn,
  type TransferOptions,
} from './objects/options.ts'
export { type ObjectSource } from './objects/source.ts'
export { type ShardLayout } from './placement/layout.ts'
