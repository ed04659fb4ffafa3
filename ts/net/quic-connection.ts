import { EspalierError, toEspalierError } from '../base/error.ts'
import type { NodeId } from '../base/identity.ts'
import { checkBytes, checkInteger } from '../native/check.ts'
import type { NativeEndpoint } from '../native/endpoint.ts'
import { abortable, aborted } from '../native/operation.ts'
import type { BatchedRequest } from '../native/request-batch.ts'
import { parseAddress, type Address } from './address.ts'
import { QuicStream } from './quic-stream.ts'
import type {
  ByteStream,
  CallOptions,
  Connection,
  ConnectionStats,
  RequestOptions,
  StreamOptions,
  TrafficClass,
} from './transport.ts'

/** Bytes in the body of a request. */
export const MAX_REQUEST_BYTES = 262_144
/** Bytes that an answer may have, whatever its caller allows. */
export const MAX_RESPONSE_BYTES = 1_048_576
const DEFAULT_RESPONSE_BYTES = 65_536
const DEFAULT_TIMEOUT_MS = 10_000
/** A day: longer waits are mistakes. */
const MAX_TIMEOUT_MS = 86_400_000
const MAX_PROTOCOL = 65_535
const MAX_CLOSE_CODE = 0xffff_ffff

const NO_OPTIONS: RequestOptions = {}

const CLASS_NUMBERS: Readonly<Record<TrafficClass, number>> = {
  control: 0,
  request: 1,
  media: 2,
  message: 3,
  bulk: 4,
}

/** The link with one peer: whichever QUIC connection carries it. */
export class QuicConnection implements Connection {
  readonly peer: NodeId
  readonly closed: Promise<EspalierError>
  readonly #endpoint: NativeEndpoint
  readonly #link: number
  /** Bounded by the streams that either side may open. */
  readonly #streams: Map<number, QuicStream>
  #remote: Address
  #outbound: boolean
  #hasClosed = false
  #lost: EspalierError | undefined
  #onClosed: (reason: EspalierError) => void = () => undefined

  constructor(
    endpoint: NativeEndpoint,
    options: {
      readonly peer: NodeId
      readonly link: number
      readonly remote: string
      readonly outbound: boolean
      /** Where the transport finds the streams that native code names. */
      readonly streams: Map<number, QuicStream>
    },
  ) {
    this.#endpoint = endpoint
    this.#link = options.link
    this.#streams = options.streams
    this.peer = options.peer
    this.#remote = parseRemote(options.remote)
    this.#outbound = options.outbound
    this.closed = new Promise((resolve) => (this.#onClosed = resolve))
  }

  get remote(): Address {
    return this.#remote
  }

  /** Whether it has ended, or this side has asked for it. @internal */
  get isEnding(): boolean {
    return this.#hasClosed || this.#lost !== undefined
  }

  get outbound(): boolean {
    return this.#outbound
  }

  request(protocol: number, body: Uint8Array, options: RequestOptions = NO_OPTIONS): Promise<Uint8Array> {
    // Not an async function: at this rate each promise counts.
    try {
      return this.#request(protocol, body, options)
    } catch (thrown) {
      return Promise.reject(toEspalierError(thrown, 'INVALID_STATE', 'the request could not be sent'))
    }
  }

  async openStream(protocol: number, options: StreamOptions = {}): Promise<ByteStream> {
    checkInteger('protocol', protocol, 0, MAX_PROTOCOL)
    this.#check(options)
    const operation = this.#endpoint.openStream({
      link: this.#link,
      protocol,
      trafficClass: CLASS_NUMBERS[options.trafficClass ?? 'bulk'],
      timeoutMs: timeoutOf(options),
    })
    return this.takeStream(await abortable(operation, options.signal))
  }

  sendDatagram(protocol: number, body: Uint8Array): boolean {
    checkInteger('protocol', protocol, 0, MAX_PROTOCOL)
    const own = checkBytes('body', body)
    return !this.isEnding && this.#endpoint.sendDatagram(this.#link, protocol, own)
  }

  close(code: number): void {
    checkInteger('code', code, 0, MAX_CLOSE_CODE)
    if (this.isEnding) return
    this.#hasClosed = true
    this.#endpoint.closeLink(this.#link, code)
  }

  stats(): ConnectionStats {
    const [rttMs = 0, bytesSent = 0, bytesReceived = 0, packetsLost = 0] = this.#figures()
    const { keyExchange, signature, cipherSuite } = this.#endpoint
    return { keyExchange, signature, cipherSuite, rttMs, bytesSent, bytesReceived, packetsLost }
  }

  /** The stream of a native number. @internal */
  takeStream(number: number): QuicStream {
    const stream = new QuicStream(this.#endpoint, {
      peer: this.peer,
      number,
      onReleased: () => this.#streams.delete(number),
    })
    this.#streams.set(number, stream)
    return stream
  }

  /** @internal */
  onMoved(to: { readonly remote: string; readonly outbound: boolean }): void {
    this.#remote = parseRemote(to.remote)
    this.#outbound = to.outbound
  }

  /** @internal */
  onClosed(reason: EspalierError): void {
    this.#lost ??= reason
    this.#onClosed(this.#hasClosed && reason.code !== 'CLOSED' ? closedHere() : reason)
  }

  /** None once it has ended. Native code may have lost it already, while the event that tells so is on its way. */
  #figures(): readonly number[] {
    if (this.isEnding) return []
    try {
      return this.#endpoint.stats(this.#link)
    } catch (thrown) {
      const { code } = toEspalierError(thrown, 'INVALID_STATE', 'the connection has no figures')
      if (code === 'CONNECTION_LOST' || code === 'CLOSED') return []
      throw thrown
    }
  }

  #request(protocol: number, body: Uint8Array, options: RequestOptions): Promise<Uint8Array> {
    const request = checkedRequest(protocol, body, options, this.#link)
    this.#check(options)
    return this.#endpoint.request(request, options.signal)
  }

  #check(options: CallOptions): void {
    if (this.#hasClosed) throw closedHere()
    if (this.#lost !== undefined) throw this.#lost
    throwIfAborted(options.signal)
  }
}

function closedHere(): EspalierError {
  return new EspalierError('CLOSED', 'this side closed the connection')
}

/** A request over `link` whose arguments are in order. Throws `INVALID_ARGUMENT` and `LIMIT_EXCEEDED`. */
export function checkedRequest(
  protocol: number,
  body: Uint8Array,
  options: RequestOptions,
  link: number,
): BatchedRequest {
  checkInteger('protocol', protocol, 0, MAX_PROTOCOL)
  const { maxResponseBytes = DEFAULT_RESPONSE_BYTES, trafficClass = 'request' } = options
  checkInteger('maxResponseBytes', maxResponseBytes, 0, MAX_RESPONSE_BYTES)
  const timeoutMs = timeoutOf(options)
  const own = checkBytes('body', body)
  if (own.byteLength > MAX_REQUEST_BYTES) {
    throw new EspalierError(
      'LIMIT_EXCEEDED',
      `${own.byteLength} bytes were given, a request may have ${MAX_REQUEST_BYTES}`,
    )
  }
  // Made whole at once: spreading it into another object for the link takes longer than all the checks.
  return { link, protocol, body: own, maxResponseBytes, trafficClass: CLASS_NUMBERS[trafficClass], timeoutMs }
}

/** Throws `ABORTED` when the caller has given up already. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw aborted(signal)
}

/** The milliseconds of a call. Throws `INVALID_ARGUMENT`. */
export function timeoutOf(options: CallOptions): number {
  const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS
  return checkInteger('timeoutMs', Math.ceil(timeoutMs), 0, MAX_TIMEOUT_MS)
}

/** A link-local address carries the zone of this machine, which says nothing to others. */
export function parseRemote(text: string): Address {
  return parseAddress(text.replace(/%[^\]]*/, ''))
}
