import type { Clock } from '../base/clock.ts'
import { EspalierError, type ErrorCode } from '../base/error.ts'
import type { Log } from '../base/log.ts'
import { Intake, type IntakeLimits } from './intake.ts'
import type { MessageType, StreamType } from './message.ts'
import type { Pooled } from './pool.ts'
import type { Caller } from './rpc-port.ts'
import type { ByteStream, Connection, InboundRequest } from './transport.ts'

/** Reset codes of docs/PROTOCOL.md §4; those below 256 belong to the protocol of the stream. */
const RESET_UNKNOWN_PROTOCOL = 256
const RESET_NOT_SERVED = 257

/** Codes whose text may tell of this machine's files and keys: peers get the code alone. */
const INTERNAL: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'STORAGE_BUSY',
  'STORAGE_CORRUPT',
  'STORAGE_FULL',
  'KEY_INVALID',
  'NATIVE_UNAVAILABLE',
  'DECRYPT_FAILED',
])

type RequestHandler = (body: Uint8Array, caller: Caller) => Promise<Uint8Array>
type StreamHandler = (stream: ByteStream, caller: Caller) => Promise<void>

/** Serves what peers ask: limits, size, decoding, handler, encoding, in this order. */
export class Server {
  readonly #clock: Clock
  readonly #log: Log
  readonly #intake: Intake
  /** Bounded by the message types of the services. */
  readonly #handlers = new Map<number, RequestHandler>()
  /** Bounded by the stream types of the services. */
  readonly #streamHandlers = new Map<number, StreamHandler>()

  constructor(env: { readonly clock: Clock; readonly log: Log }, limits: IntakeLimits) {
    this.#clock = env.clock
    this.#log = env.log
    this.#intake = new Intake(limits)
  }

  handle<Request, Response>(
    type: MessageType<Request, Response>,
    handler: (request: Request, caller: Caller) => Promise<Response> | Response,
  ): void {
    this.#checkFree(type)
    this.#handlers.set(type.protocol, async (body, caller) => {
      const response = type.encodeResponse(await handler(decodeRequest(type, body), caller))
      if (response.byteLength <= type.maxResponseBytes) return response
      throw new Error(`${type.name}: an answer of ${response.byteLength} bytes`)
    })
  }

  handleStream(type: StreamType, handler: StreamHandler): void {
    this.#checkFree(type)
    this.#streamHandlers.set(type.protocol, handler)
  }

  /** Answers one request; what it throws travels to the peer as its code and text. */
  async serve({ protocol, body, connection, signal }: InboundRequest): Promise<Uint8Array> {
    const { peer, remote } = connection
    this.#intake.begin(peer, this.#clock.nowMs())
    try {
      const handler = this.#handlers.get(protocol)
      if (handler === undefined) throw new EspalierError('UNSUPPORTED', `protocol ${protocol} is not served`)
      return await handler(body, { id: peer, remote, signal })
    } catch (error) {
      throw this.#outward(error, protocol)
    } finally {
      this.#intake.finish(peer)
    }
  }

  /** Hands a stream to its owner. */
  async serveStream(protocol: number, stream: ByteStream, pooled: Pooled): Promise<void> {
    const { peer, remote } = pooled.connection
    const handler = this.#streamHandlers.get(protocol)
    if (handler === undefined) {
      stream.reset(RESET_UNKNOWN_PROTOCOL)
      return
    }
    try {
      this.#intake.begin(peer, this.#clock.nowMs())
    } catch {
      stream.reset(RESET_NOT_SERVED)
      return
    }
    pooled.busy += 1
    try {
      await handler(stream, { id: peer, remote, signal: pooled.ended })
    } catch (error) {
      this.#outward(error, protocol)
      stream.reset(RESET_NOT_SERVED)
    } finally {
      pooled.busy -= 1
      this.#intake.finish(peer)
    }
  }

  /** Datagrams have no owner yet. */
  dropDatagram(protocol: number, connection: Connection): void {
    this.#log.debug('dropped a datagram that nobody takes', { protocol, peer: connection.peer })
  }

  #outward(error: unknown, protocol: number): EspalierError {
    if (!(error instanceof EspalierError)) {
      const reason = error instanceof Error ? error.message : String(error)
      this.#log.error('a request handler failed', { protocol, reason })
      return new EspalierError('PEER_REFUSED', 'the request could not be served')
    }
    this.#log.debug('refused a request', { protocol, code: error.code, reason: error.message })
    if (!INTERNAL.has(error.code)) return error
    return new EspalierError(error.code, 'the request could not be served')
  }

  #checkFree(type: { readonly name: string; readonly protocol: number }): void {
    if (!this.#handlers.has(type.protocol) && !this.#streamHandlers.has(type.protocol)) return
    throw new EspalierError('INVALID_STATE', `${type.name}: protocol ${type.protocol} has a handler already`)
  }
}

function decodeRequest<Request>(type: MessageType<Request, unknown>, body: Uint8Array): Request {
  if (body.byteLength > type.maxRequestBytes) {
    const message = `${type.name} has at most ${type.maxRequestBytes} bytes, not ${body.byteLength}`
    throw new EspalierError('LIMIT_EXCEEDED', message)
  }
  try {
    return type.decodeRequest(body)
  } catch (error) {
    throw asViolation(error, `${type.name} request`)
  }
}

/** A decoder's failure is the sender's fault, whatever it threw. */
export function asViolation(error: unknown, what: string): EspalierError {
  if (error instanceof EspalierError && error.code === 'PROTOCOL_VIOLATION') return error
  return new EspalierError('PROTOCOL_VIOLATION', `${what} does not decode`, { cause: error })
}
