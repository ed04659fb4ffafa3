/**
 * For tests of what is built on Espalier: {@link localNetwork} is a network of real nodes in one line; the rest is the
 * simulator, in which the same code runs in virtual time.
 *
 * @module espalier/testing
 */
export { type Clock, type Timer } from './base/clock.ts'
export { type Env, type NodeCrypto } from './base/env.ts'
export {
  type Counter,
  type CounterName,
  type Histogram,
  type HistogramName,
  type Meter,
  type Sample,
} from './base/metrics.ts'
export { type Rng } from './base/rng.ts'
export {
  type ByteStream,
  type Connection,
  type Dialled,
  type FirstRequest,
  type Inbound,
  type InboundRequest,
  type KnownPeer,
  type RequestOptions,
  type StreamOptions,
  type TrafficClass,
  type Transport,
} from './net/transport.ts'
export { localNetwork, type LocalNetwork, type LocalNetworkOptions } from './node/local-network.ts'
export { type DiskFaults, type SimDisk } from './sim/disk.ts'
export { simEnv } from './sim/env.ts'
export { SimNetwork, type NetworkPath, type SimEndpoint, type SimNetworkOptions } from './sim/network.ts'
export { type SimRpcNetworkOptions } from './sim/rpc-network.ts'
export { type SeededRng } from './sim/rng.ts'
export {
  simulatedNetwork,
  type SimulatedNetwork,
  type SimulatedNetworkOptions,
} from './sim/simulated-network.ts'
export { type SimulatedNode } from './sim/simulated-node.ts'
export { SimTransport } from './sim/transport.ts'
export { World } from './sim/world.ts'
