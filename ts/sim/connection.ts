import { allowManyListeners } from '../base/abort.ts'
import { copyBytes } from '../base/bytes.ts'
import type { Clock, Timer } from '../base/clock.ts'
import { EspalierError, type ErrorCode } from '../base/error.ts'
import type { NodeId } from '../base/identity.ts'
import type { Address } from '../net/address.ts'
import type {
  ByteStream,
  Connection,
  ConnectionStats,
  Inbound,
  RequestOptions,
  StreamOptions,
} from '../net/transport.ts'
import type { LinkEnd, SimLink } from './link.ts'
import { SimStream } from './stream.ts'

const MAX_REQUEST_BYTES = 262_144
const DEFAULT_RESPONSE_BYTES = 65_536
/** What an answer may have, whatever its caller allows. */
const MAX_RESPONSE_BYTES = 1_048_576
const DEFAULT_TIMEOUT_MS = 10_000
const MAX_TIMEOUT_MS = 86_400_000
/** Requests under way in one direction; more wait, as they do for QUIC's stream credit. */
const MAX_REQUESTS = 1_024
const MAX_STREAMS = 1_024
/** What a real path with an MTU of 1,200 and our framing can take. */
const MAX_DATAGRAM_BYTES = 1_150
const MAX_ERROR_CHARACTERS = 200

/** A request that this side made. */
interface Call {
  /** Sends it; when too many are under way it waits for its turn. */
  readonly start: () => void
  readonly settle: (outcome: Uint8Array | EspalierError) => void
  readonly maxResponseBytes: number
  hasStarted: boolean
}

type Answer =
  | { readonly kind: 'answer'; readonly body: Uint8Array }
  | { readonly kind: 'failure'; readonly code: ErrorCode; readonly message: string }

/** One side of a simulated connection. */
export class SimConnection implements Connection, LinkEnd {
  readonly peer: NodeId
  readonly remote: Address
  readonly outbound: boolean
  readonly closed: Promise<EspalierError>
  readonly #localId: NodeId
  readonly #clock: Clock
  readonly #link: SimLink
  readonly #inbound: Inbound
  /** Own requests without an answer. Bounded by what the callers wait for; all have a time-out. */
  readonly #calls = new Map<number, Call>()
  /** Requests being served. Bounded by the peer's MAX_REQUESTS. */
  readonly #served = new Map<number, AbortController>()
  /** Bounded by MAX_STREAMS of each side. */
  readonly #streams = new Map<string, SimStream>()
  /** Set once by `pair`, before anything is sent. */
  #other: SimConnection | undefined
  #resolveClosed: (error: EspalierError) => void = () => undefined
  #end: EspalierError | undefined
  #nextCall = 0
  #nextStream = 0
  #started = 0
  #bytesSent = 0
  #bytesReceived = 0

  constructor(
    link: SimLink,
    inbound: Inbound,
    clock: Clock,
    options: { readonly localId: NodeId; peer: NodeId; remote: Address; outbound: boolean },
  ) {
    this.peer = options.peer
    this.remote = options.remote
    this.outbound = options.outbound
    this.#localId = options.localId
    this.#clock = clock
    this.#link = link
    this.#inbound = inbound
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve
    })
    link.join(this)
  }

  /** Makes two sides each other's. */
  static pair(a: SimConnection, b: SimConnection): void {
    a.#other = b
    b.#other = a
  }

  /** Whether the other side does not know of this connection yet. */
  get isUnconfirmed(): boolean {
    return this.#other === undefined
  }

  async request(protocol: number, body: Uint8Array, options: RequestOptions = {}): Promise<Uint8Array> {
    checkProtocol(protocol)
    checkBytes(body)
    checkRange('timeoutMs', options.timeoutMs, MAX_TIMEOUT_MS)
    checkRange('maxResponseBytes', options.maxResponseBytes, MAX_RESPONSE_BYTES)
    if (this.#end !== undefined) throw this.#end
    if (options.signal?.aborted === true) throw aborted(options.signal)
    if (body.byteLength > MAX_REQUEST_BYTES) {
      const message = `a request has at most ${MAX_REQUEST_BYTES} bytes, not ${body.byteLength}`
      throw new EspalierError('LIMIT_EXCEEDED', message)
    }
    const copy = copyBytes(body)
    return new Promise((resolve, reject) => this.#call(protocol, copy, options, { resolve, reject }))
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- a rejection, not an exception, for wrong arguments
  async openStream(protocol: number, options: StreamOptions = {}): Promise<ByteStream> {
    checkProtocol(protocol)
    if (this.#end !== undefined) throw this.#end
    if (options.signal?.aborted === true) throw aborted(options.signal)
    if (this.#streams.size >= MAX_STREAMS) {
      throw new EspalierError('LIMIT_EXCEEDED', `at most ${MAX_STREAMS} streams may be open`)
    }
    const id = `${this.outbound ? 'd' : 'a'}${this.#nextStream}`
    this.#nextStream += 1
    const stream = this.#addStream(id)
    this.#send(`open ${id} ${protocol}`, 16, (other) => {
      other.#inbound.onStream(protocol, other.#addStream(id), other)
    })
    return stream
  }

  sendDatagram(protocol: number, body: Uint8Array): boolean {
    checkProtocol(protocol)
    checkBytes(body)
    if (this.#end !== undefined || body.byteLength > MAX_DATAGRAM_BYTES) return false
    const copy = copyBytes(body)
    this.#bytesSent += copy.byteLength
    this.#link.sendDatagram(this.#localId, `datagram ${protocol} ${copy.byteLength}`, () => {
      const other = this.#other
      if (other === undefined || other.#end !== undefined) return
      other.#bytesReceived += copy.byteLength
      other.#inbound.onDatagram(protocol, copy, other)
    })
    return true
  }

  close(code: number): void {
    if (this.#end !== undefined) return
    this.#send(`close ${code}`, 16, (other) => {
      const details = { closeCode: code }
      other.linkLost(new EspalierError('CONNECTION_LOST', `the peer closed with code ${code}`, { details }))
    })
    this.linkLost(new EspalierError('CLOSED', 'this side closed the connection'))
  }

  /** Ends this side with `error`, whoever caused it. */
  linkLost(error: EspalierError): void {
    if (this.#end !== undefined) return
    this.#end = error
    for (const call of [...this.#calls.values()]) call.settle(error)
    for (const controller of this.#served.values()) controller.abort(error)
    this.#served.clear()
    for (const stream of [...this.#streams.values()]) stream.fail(error)
    this.#link.leave(this)
    this.#resolveClosed(error)
  }

  stats(): ConnectionStats {
    return {
      keyExchange: 'simulated',
      signature: 'simulated',
      cipherSuite: 'simulated',
      rttMs: 2 * this.#link.latencyMs,
      bytesSent: this.#bytesSent,
      bytesReceived: this.#bytesReceived,
      packetsLost: 0,
    }
  }

  #call(
    protocol: number,
    body: Uint8Array,
    options: RequestOptions,
    promise: { resolve: (answer: Uint8Array) => void; reject: (error: EspalierError) => void },
  ): void {
    const { signal, timeoutMs = DEFAULT_TIMEOUT_MS, maxResponseBytes = DEFAULT_RESPONSE_BYTES } = options
    const id = this.#nextCall
    this.#nextCall += 1
    const giveUp = (error: EspalierError) => {
      if (call.hasStarted) this.#send(`cancel ${id}`, 16, (other) => other.#cancel(id, error))
      call.settle(error)
    }
    const timer: Timer = this.#clock.setTimer(timeoutMs, () =>
      giveUp(new EspalierError('TIMEOUT', `no answer within ${timeoutMs} ms`)),
    )
    const onAbort = () => giveUp(aborted(signal))
    allowManyListeners(signal)
    signal?.addEventListener('abort', onAbort, { once: true })
    const call: Call = {
      hasStarted: false,
      maxResponseBytes,
      start: () => {
        call.hasStarted = true
        this.#started += 1
        this.#send(`request ${id} ${protocol} ${body.byteLength}`, body.byteLength, (other) => {
          void other.#serve(id, protocol, body)
        })
      },
      settle: (outcome) => {
        if (!this.#calls.delete(id)) return
        timer.cancel()
        signal?.removeEventListener('abort', onAbort)
        if (call.hasStarted) this.#started -= 1
        if (outcome instanceof EspalierError) promise.reject(outcome)
        else promise.resolve(outcome)
        this.#startWaiting()
      },
    }
    this.#calls.set(id, call)
    this.#startWaiting()
  }

  #startWaiting(): void {
    if (this.#started >= MAX_REQUESTS || this.#started === this.#calls.size || this.#end !== undefined) return
    for (const call of this.#calls.values()) {
      if (this.#started >= MAX_REQUESTS) return
      if (!call.hasStarted) call.start()
    }
  }

  async #serve(id: number, protocol: number, body: Uint8Array): Promise<void> {
    const controller = new AbortController()
    this.#served.set(id, controller)
    const answer = await this.#answer({
      protocol,
      body,
      peer: this.peer,
      remote: this.remote,
      connection: this,
      signal: controller.signal,
    })
    if (!this.#served.delete(id)) return
    const bytes = answer.kind === 'answer' ? answer.body.byteLength : answer.message.length
    this.#send(`${answer.kind} ${id} ${bytes}`, bytes, (other) => other.#receiveAnswer(id, answer))
  }

  async #answer(request: Parameters<Inbound['onRequest']>[0]): Promise<Answer> {
    try {
      const body = new Uint8Array(await this.#inbound.onRequest(request))
      if (body.byteLength <= MAX_RESPONSE_BYTES) return { kind: 'answer', body }
      throw new EspalierError('LIMIT_EXCEEDED', `an answer may have ${MAX_RESPONSE_BYTES} bytes`)
    } catch (error) {
      if (!(error instanceof EspalierError)) {
        return { kind: 'failure', code: 'PEER_REFUSED', message: 'the peer could not serve the request' }
      }
      return { kind: 'failure', code: error.code, message: error.message.slice(0, MAX_ERROR_CHARACTERS) }
    }
  }

  #receiveAnswer(id: number, answer: Answer): void {
    const call = this.#calls.get(id)
    if (answer.kind === 'failure') {
      call?.settle(new EspalierError(answer.code, `the peer answered: ${answer.message}`))
    } else if (call !== undefined && answer.body.byteLength > call.maxResponseBytes) {
      const message = `the answer has ${answer.body.byteLength} bytes, more than ${call.maxResponseBytes}`
      call.settle(new EspalierError('LIMIT_EXCEEDED', message))
    } else {
      call?.settle(answer.body)
    }
  }

  #cancel(id: number, error: EspalierError): void {
    const controller = this.#served.get(id)
    this.#served.delete(id)
    controller?.abort(new EspalierError('ABORTED', 'the caller has given up', { cause: error }))
  }

  #addStream(id: string): SimStream {
    const stream = new SimStream(this.peer, {
      data: (bytes) =>
        this.#send(`data ${id} ${bytes.byteLength}`, bytes.byteLength, (other) =>
          other.#streams.get(id)?.receiveData(bytes),
        ),
      end: () => this.#send(`end ${id}`, 8, (other) => other.#streams.get(id)?.receiveEnd()),
      credit: (count) =>
        this.#send(`credit ${id} ${count}`, 8, (other) => other.#streams.get(id)?.receiveCredit(count)),
      reset: (code) =>
        this.#send(`reset ${id} ${code}`, 8, (other) => other.#streams.get(id)?.receiveReset(code)),
      done: () => this.#streams.delete(id),
    })
    this.#streams.set(id, stream)
    return stream
  }

  #send(what: string, sizeBytes: number, receive: (other: SimConnection) => void): void {
    if (this.#end !== undefined) return
    this.#bytesSent += sizeBytes
    this.#link.send(this.#localId, what, () => {
      const other = this.#other
      if (other === undefined || other.#end !== undefined) return
      other.#bytesReceived += sizeBytes
      receive(other)
    })
  }
}

function checkProtocol(protocol: number): void {
  if (Number.isInteger(protocol) && protocol >= 0 && protocol <= 0xffff) return
  throw new EspalierError('INVALID_ARGUMENT', `a protocol is an integer from 0 to 65535, not ${protocol}`)
}

function checkBytes(body: unknown): void {
  if (body instanceof Uint8Array) return
  throw new EspalierError('INVALID_ARGUMENT', `the body must be a Uint8Array, not ${typeof body}`)
}

function checkRange(name: string, value: number | undefined, max: number): void {
  if (value === undefined || (value >= 0 && value <= max)) return
  throw new EspalierError('INVALID_ARGUMENT', `${name} must be from 0 to ${max}, not ${value}`)
}

function aborted(signal: AbortSignal | undefined): EspalierError {
  return new EspalierError('ABORTED', 'the caller gave up', { cause: signal?.reason })
}
