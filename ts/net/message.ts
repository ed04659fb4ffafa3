import type { TrafficClass } from './transport.ts'

/**
 * One kind of request with its answer: the number on the wire, both codecs and both size limits.
 * `decode…` gets hostile bytes and throws `PROTOCOL_VIOLATION`.
 */
export interface MessageType<Request, Response> {
  /** For logs and metrics, for example `dht.findNode`. */
  readonly name: string
  /** Unique over the whole protocol; docs/PROTOCOL.md lists the ranges. */
  readonly protocol: number
  readonly trafficClass: TrafficClass
  /**
   * Whether answering it twice does no harm. Only such a request goes along with the first packets of a resumed
   * connection, where somebody might play it again.
   */
  readonly isIdempotent: boolean
  readonly maxRequestBytes: number
  readonly maxResponseBytes: number
  encodeRequest(request: Request): Uint8Array
  decodeRequest(bytes: Uint8Array): Request
  encodeResponse(response: Response): Uint8Array
  decodeResponse(bytes: Uint8Array): Response
}

/** A kind of bulk stream: what its opener and its acceptor do with the bytes is the owner's protocol. */
export interface StreamType {
  readonly name: string
  readonly protocol: number
  readonly trafficClass: TrafficClass
}
