/** What the network services allow. Each is an option of `Rpc`; the defaults are in {@link NET_LIMITS}. */
export interface NetLimits {
  /** Connections kept in the pool; over it the least recently used one closes. */
  readonly maxConnections: number
  /** Own requests under way to one peer; more wait for their turn. */
  readonly maxRequestsPerPeer: number
  /** Own requests under way to all peers; more wait for their turn. */
  readonly maxRequests: number
  /** Own requests that wait for their turn; over it a request is `LIMIT_EXCEEDED`. */
  readonly maxQueuedRequests: number
  /** Requests of one peer being served at once; over it they are answered `LIMIT_EXCEEDED`. */
  readonly maxServedPerPeer: number
  /** Requests of all peers being served at once; over it they are answered `LIMIT_EXCEEDED`. */
  readonly maxServed: number
  /** Requests that one peer may make, over time; over it they are answered `RATE_LIMITED`. */
  readonly requestsPerSecond: number
  /** Requests that one peer may make at once after a pause. */
  readonly requestBurst: number
  /** Peers whose addresses and whose rates are remembered; the least recently used is forgotten. */
  readonly maxPeers: number
}

/** Generous for honest peers, finite for others. */
export const NET_LIMITS: NetLimits = {
  maxConnections: 1_024,
  maxRequestsPerPeer: 512,
  maxRequests: 8_192,
  maxQueuedRequests: 65_536,
  maxServedPerPeer: 1_024,
  maxServed: 16_384,
  requestsPerSecond: 2_000,
  requestBurst: 4_000,
  maxPeers: 10_000,
}

/** Addresses kept for each peer. */
export const MAX_ADDRESSES = 8
/** Default of one whole call, dial included. */
export const CALL_TIMEOUT_MS = 10_000
