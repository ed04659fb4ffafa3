export { type Clock, type Timer } from './base/clock.ts'
export { type Env, type NodeCrypto } from './base/env.ts'
export { type Rng } from './base/rng.ts'
export {
  type ByteStream,
  type Connection,
  type Inbound,
  type InboundRequest,
  type RequestOptions,
  type StreamOptions,
  type TrafficClass,
  type Transport,
} from './net/transport.ts'
export { localNetwork, type LocalNetwork, type LocalNetworkOptions } from './node/local-network.ts'
export { simEnv } from './sim/env.ts'
export { SimNetwork, type NetworkPath, type SimEndpoint, type SimNetworkOptions } from './sim/network.ts'
export { type SeededRng } from './sim/rng.ts'
export { SimTransport } from './sim/transport.ts'
export { World } from './sim/world.ts'
