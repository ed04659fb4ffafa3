import type { EspalierError } from '../base/error.ts'
import type { NodeId } from '../base/identity.ts'
import type { Address, PeerAddress } from './address.ts'

/**
 * Urgency of traffic, highest first; a lower class never delays a higher one.
 *
 * @category Transport
 */
export type TrafficClass = 'control' | 'request' | 'media' | 'message' | 'bulk'

/**
 * How long to wait, and when to give up early.
 *
 * @category Node
 */
export interface CallOptions {
  /** Ends the call with `ABORTED`. */
  readonly signal?: AbortSignal
  /** Ends the call with `TIMEOUT`. Each call names its own default. */
  readonly timeoutMs?: number
}

/**
 * How to send one request.
 *
 * @category Transport
 */
export interface RequestOptions extends CallOptions {
  /** Default `request`. */
  readonly trafficClass?: TrafficClass
  /** A longer answer ends the request with `LIMIT_EXCEEDED`. Default 65,536. */
  readonly maxResponseBytes?: number
}

/**
 * How to open a stream.
 *
 * @category Transport
 */
export interface StreamOptions extends CallOptions {
  /** Default `bulk`. */
  readonly trafficClass?: TrafficClass
}

/**
 * How bytes move. Two implementations, real QUIC and the simulator, pass one contract suite.
 *
 * @category Transport
 */
export interface Transport {
  readonly localId: NodeId
  /**
   * Binds and starts to accept, once. Answers the addresses that were bound. Codes: `INVALID_STATE`
   * the second time, `CLOSED`, `INVALID_ARGUMENT` for an address that is taken or not ours.
   */
  listen(inbound: Inbound): Promise<readonly Address[]>
  /**
   * Resolves once the remote has proved its id in the handshake, with the existing connection if
   * there is one. Codes: `PEER_UNREACHABLE`, `PEER_MISMATCH`, `PEER_REFUSED`, `TIMEOUT` (default
   * 10,000 ms), `ABORTED`, `CLOSED`, `INVALID_ARGUMENT` (the own id), `INVALID_STATE` (before `listen`).
   */
  connect(peer: PeerAddress, options?: CallOptions): Promise<Connection>
  /**
   * As `connect` to a peer of known id, with a first request that the peer may answer more than once. It goes with
   * the first packets when an earlier session can be resumed (TLS 1.3 early data, RFC 9001 §4.6), else as soon as
   * the handshake is done; over an existing connection at once. The two outcomes are independent of each other,
   * but a dial that fails fails both.
   */
  connectAndAsk(peer: KnownPeer, request: FirstRequest, options?: CallOptions): Dialled
  /** Closes every connection, frees the port and ends the threads. Idempotent. */
  close(): Promise<void>
}

/**
 * A peer whose id is known.
 *
 * @category Transport
 */
export interface KnownPeer extends PeerAddress {
  readonly id: NodeId
}

/**
 * A request that may be answered more than once, as sent together with a dial.
 *
 * @category Transport
 */
export interface FirstRequest extends RequestOptions {
  readonly protocol: number
  readonly body: Uint8Array
}

/**
 * The outcomes of a dial and of the request that went with it.
 *
 * @category Transport
 */
export interface Dialled {
  readonly connection: Promise<Connection>
  readonly answer: Promise<Uint8Array>
}

/**
 * What the owner of a transport does with what arrives. None of these may throw.
 *
 * @category Transport
 */
export interface Inbound {
  /**
   * Answers a request. A rejection travels back as its code and a short text; another error than
   * `EspalierError` as `PEER_REFUSED`. `signal` aborts when the caller has given up or the connection is lost.
   */
  onRequest(request: InboundRequest): Promise<Uint8Array>
  /** Takes over a stream that the peer opened. */
  onStream(protocol: number, stream: ByteStream, connection: Connection): void
  /** Takes a datagram, which may come late, twice or never. */
  onDatagram(protocol: number, body: Uint8Array, connection: Connection): void
  /** A connection in either direction is up; `connection.closed` tells its end. */
  onConnection(connection: Connection): void
  /** `connection.remote` is another now: the peer has moved, or a second connection with it took over. */
  onMoved?(connection: Connection): void
}

/**
 * One request from a peer.
 *
 * @category Transport
 */
export interface InboundRequest {
  readonly protocol: number
  /** Owned by the receiver. */
  readonly body: Uint8Array
  readonly peer: NodeId
  /** Where the peer's packets come from. */
  readonly remote: Address
  /**
   * `undefined` when the request came before the handshake was done. Somebody may be sending an old message of the
   * peer again: only what may be answered more than once may be answered.
   */
  readonly connection: Connection | undefined
  readonly signal: AbortSignal
}

/**
 * A live, mutually authenticated connection; at most one per pair of nodes.
 *
 * @category Transport
 */
export interface Connection {
  /** The id that the handshake proved. */
  readonly peer: NodeId
  readonly remote: Address
  /** Whether this side dialled. When both did at once, the dial of the smaller id survives. */
  readonly outbound: boolean
  /**
   * One small message each way; the body is copied before this returns. Default time-out 10,000 ms.
   * Codes: `TIMEOUT`, `ABORTED`, `CONNECTION_LOST`, `CLOSED`, `LIMIT_EXCEEDED` (body over 262,144 or
   * answer over `maxResponseBytes`), `INVALID_ARGUMENT` (a protocol that is no integer from 0 to 65,535),
   * and whatever code the handler answered, with a text of at most a few hundred characters. The answer is memory
   * of the caller's own; up to 512 bytes it is a view into a buffer that others share, as with `Buffer.allocUnsafe`.
   */
  request(protocol: number, body: Uint8Array, options?: RequestOptions): Promise<Uint8Array>
  /** Opens a stream to the handler of `protocol`. Codes: those of {@link request}. */
  openStream(protocol: number, options?: StreamOptions): Promise<ByteStream>
  /** False when the path cannot take it. */
  sendDatagram(protocol: number, body: Uint8Array): boolean
  /** Settles once, with `CLOSED` when this side closed, else `CONNECTION_LOST`; never rejects. */
  readonly closed: Promise<EspalierError>
  /** Ends the connection; the peer is told `code`. Idempotent. */
  close(code: number): void
  /** Counts and times of this moment. */
  stats(): ConnectionStats
}

/**
 * A reliable byte stream in both directions with back-pressure. Iterating it reads to the end.
 *
 * @category Transport
 */
export interface ByteStream extends AsyncIterable<Uint8Array> {
  readonly peer: NodeId
  /**
   * Copies `bytes` before it returns; resolves when the stream can take more. Codes: `STREAM_RESET`,
   * `CONNECTION_LOST`, `CLOSED` (also after `closeWrite`).
   */
  write(bytes: Uint8Array): Promise<void>
  /** Ends this side's direction; the other may go on. Resolves when all has been handed to the network. */
  closeWrite(): Promise<void>
  /** Fills the start of `target`; resolves with the count, 0 at the end. At most one read at a time (`INVALID_STATE`). */
  readInto(target: Uint8Array): Promise<number>
  /** Abandons both directions; both sides see `STREAM_RESET`, with `code` in `details.resetCode`. Idempotent. */
  reset(code: number): void
}

/**
 * What is known of a connection.
 *
 * @category Watching
 */
export interface ConnectionStats {
  /** TLS group that the handshake used, for example `MLKEM768`. */
  readonly keyExchange: string
  /** TLS signature scheme of the peer's proof, for example `mldsa65`. */
  readonly signature: string
  readonly cipherSuite: string
  readonly rttMs: number
  readonly bytesSent: number
  readonly bytesReceived: number
  readonly packetsLost: number
}
