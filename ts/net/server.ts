import type { Env } from '../base/env.ts'
import { EspalierError, toEspalierError, type ErrorCode } from '../base/error.ts'
import type { NodeId } from '../base/identity.ts'
import { Intake, type IntakeLimits } from './intake.ts'
import type { MessageType, StreamType } from './message.ts'
import type { Pooled } from './pool.ts'
import type { Caller } from './rpc-port.ts'
import { outcomeOf, Tallies, type Tally } from './tally.ts'
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

interface RequestHandler {
  readonly isIdempotent: boolean
  readonly serve: (body: Uint8Array, caller: Caller) => Promise<Uint8Array>
  readonly tally: Tally
}

type StreamHandler = (stream: ByteStream, caller: Caller) => Promise<void>

/** What is not served is counted together: its numbers are the peers' choice. */
const UNKNOWN = { name: 'unknown', protocol: -1 }

/** Serves what peers ask: limits, size, decoding, handler, encoding, in this order. */
export class Server {
  readonly #env: Pick<Env, 'clock' | 'log' | 'metrics'>
  readonly #tallies: Tallies
  readonly #intake: Intake
  /** Bounded by the message types of the services. */
  readonly #handlers = new Map<number, RequestHandler>()
  /** Bounded by the stream types of the services. */
  readonly #streamHandlers = new Map<number, { readonly type: StreamType; readonly serve: StreamHandler }>()

  constructor(env: Pick<Env, 'clock' | 'log' | 'metrics'>, limits: IntakeLimits) {
    this.#env = env
    this.#tallies = new Tallies(env.metrics, 'inbound')
    this.#intake = new Intake(limits)
  }

  /** Requests and streams being served. */
  get served(): number {
    return this.#intake.served
  }

  handle<Request, Response>(
    type: MessageType<Request, Response>,
    handler: (request: Request, caller: Caller) => Promise<Response> | Response,
  ): void {
    this.#checkFree(type)
    const serve = async (body: Uint8Array, caller: Caller): Promise<Uint8Array> => {
      const response = type.encodeResponse(await handler(decodeRequest(type, body), caller))
      if (response.byteLength <= type.maxResponseBytes) return response
      throw new Error(`${type.name}: an answer of ${response.byteLength} bytes`)
    }
    this.#handlers.set(type.protocol, {
      isIdempotent: type.isIdempotent,
      serve,
      tally: this.#tallies.of(type),
    })
  }

  handleStream(type: StreamType, handler: StreamHandler): void {
    this.#checkFree(type)
    this.#streamHandlers.set(type.protocol, { type, serve: handler })
  }

  /** Answers one request; what it throws travels to the peer as its code and text. */
  async serve({ protocol, body, peer, remote, connection, signal }: InboundRequest): Promise<Uint8Array> {
    const handler = this.#handlers.get(protocol)
    const tally = handler?.tally ?? this.#tallies.of(UNKNOWN)
    const startedAtMs = this.#env.clock.nowMs()
    this.#begin(peer, startedAtMs, tally)
    try {
      if (handler === undefined) throw new EspalierError('UNSUPPORTED', `protocol ${protocol} is not served`)
      if (connection === undefined && !handler.isIdempotent) {
        throw new EspalierError('PROTOCOL_VIOLATION', 'this request has to wait for the handshake')
      }
      const answer = await handler.serve(body, { id: peer, remote, signal })
      tally.succeeded(this.#env.clock.nowMs() - startedAtMs)
      return answer
    } catch (error) {
      tally.failed(error, this.#env.clock.nowMs() - startedAtMs)
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
      this.#tallies.stream(UNKNOWN, 'UNSUPPORTED')
      stream.reset(RESET_UNKNOWN_PROTOCOL)
      return
    }
    const { type, serve } = handler
    try {
      this.#begin(peer, this.#env.clock.nowMs())
    } catch (error) {
      this.#tallies.stream(type, outcomeOf(error))
      stream.reset(RESET_NOT_SERVED)
      return
    }
    pooled.busy += 1
    try {
      await serve(stream, { id: peer, remote, signal: pooled.ended })
      this.#tallies.stream(type, 'ok')
    } catch (error) {
      this.#tallies.stream(type, outcomeOf(error))
      this.#outward(error, protocol)
      stream.reset(RESET_NOT_SERVED)
    } finally {
      pooled.busy -= 1
      this.#intake.finish(peer)
    }
  }

  /** Counts a request or stream in; `tally` takes the refusal too, where it is a request. */
  #begin(peer: NodeId, nowMs: number, tally?: Tally): void {
    try {
      this.#intake.begin(peer, nowMs)
    } catch (thrown) {
      const error = toEspalierError(thrown, 'LIMIT_EXCEEDED', 'the request is not taken')
      this.#env.metrics.counter('refusals', { reason: error.code.toLowerCase() }).add()
      tally?.failed(error, 0)
      throw error
    }
  }

  /** Datagrams have no owner yet. */
  dropDatagram(protocol: number, connection: Connection): void {
    this.#env.log.debug('dropped a datagram that nobody takes', { protocol, peer: connection.peer })
  }

  #outward(error: unknown, protocol: number): EspalierError {
    if (!(error instanceof EspalierError)) {
      const reason = error instanceof Error ? error.message : String(error)
      this.#env.log.error('a request handler failed', { protocol, reason })
      return new EspalierError('PEER_REFUSED', 'the request could not be served')
    }
    this.#env.log.debug('refused a request', { protocol, code: error.code, reason: error.message })
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
