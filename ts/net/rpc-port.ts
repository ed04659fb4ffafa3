import type { NodeId } from '../base/identity.ts'
import type { Address, PeerAddress } from './address.ts'
import type { MessageType, StreamType } from './message.ts'
import type { ByteStream, CallOptions } from './transport.ts'

/** Who sent a request, as the handshake proved it. */
export interface Caller {
  readonly id: NodeId
  /** Where its packets come from. */
  readonly remote: Address
  /** Aborts when the caller has given up or its connection is lost. */
  readonly signal: AbortSignal
}

/**
 * What services see of the network. Dialling, pooling, back-off, limits and metrics live behind it.
 */
export interface RpcPort {
  readonly localId: NodeId
  /** Codes: those of `Transport.connect`, `Connection.request`, the handler's, and `PROTOCOL_VIOLATION` for an answer that does not decode. */
  request<Request, Response>(
    peer: PeerAddress | NodeId,
    type: MessageType<Request, Response>,
    request: Request,
    options?: CallOptions,
  ): Promise<Response>
  /** One handler for each type; a second is `INVALID_STATE`. */
  handle<Request, Response>(
    type: MessageType<Request, Response>,
    handler: (request: Request, caller: Caller) => Promise<Response> | Response,
  ): void
  openStream(peer: PeerAddress | NodeId, type: StreamType, options?: CallOptions): Promise<ByteStream>
  handleStream(type: StreamType, handler: (stream: ByteStream, caller: Caller) => Promise<void>): void
  /**
   * Dials an address whose owner is not known and answers the id that it proved, for bootstrap.
   */
  connect(peer: PeerAddress, options?: CallOptions): Promise<NodeId>
  /** Called with every node that completed a handshake, in either direction, until `stop`. */
  onPeer(
    listener: (peer: { readonly id: NodeId; readonly remote: Address; readonly outbound: boolean }) => void,
  ): void
  /** Addresses that the book holds for a node, best first; empty when unknown. */
  addressesOf(id: NodeId): readonly Address[]
  /** Tells the book where a node says that it can be reached. At most 8 are kept. */
  learn(peer: { readonly id: NodeId; readonly addresses: readonly Address[] }): void
}
