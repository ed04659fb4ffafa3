import { EspalierError } from '../base/error.ts'
import { fromEventText, fromNative, native } from './error.ts'
import { addon } from './load.ts'
import { hold, release } from './queue.ts'
import { figuresOf, NO_FIGURES } from './figures.ts'
import { EVENT, ID_BYTES, textOf, type EventRecord } from './event-record.ts'
import { endEvents, listenForEvents, receiveEvents, type Receiver } from './events.ts'
import { abortable, Pending, type Operation } from './operation.ts'
import { RequestBatch, type BatchedRequest } from './request-batch.ts'

/** What an endpoint tells. None of these may throw. Numbers name links, requests and streams of the endpoint. */
export interface EndpointEvents {
  linkUp(
    link: number,
    peer: { readonly id: Uint8Array; readonly remote: string; readonly outbound: boolean },
  ): void
  /** New traffic of a link takes another connection now. */
  linkMoved(link: number, to: { readonly remote: string; readonly outbound: boolean }): void
  linkClosed(link: number, reason: EspalierError): void
  request(request: number, link: number, protocol: number, body: Uint8Array): void
  /** From a peer whose handshake is not done: perhaps an old message that somebody plays again. */
  earlyRequest(
    request: number,
    from: { readonly id: Uint8Array; readonly remote: string },
    protocol: number,
    body: Uint8Array,
  ): void
  requestCancelled(request: number): void
  datagram(link: number, protocol: number, body: Uint8Array): void
  streamOpened(stream: number, link: number, protocol: number): void
  streamReadable(stream: number): void
  streamWritable(stream: number): void
}

/** Encodes what goes along with a dial; native code copies it at once. */
const firstRequest = new RequestBatch()
/** Bytes of a batch from which it does not wait for the end of the turn. */
const FLUSH_BYTES = 1_048_576

/** A native QUIC endpoint with its own thread and UDP port. While it is open it keeps the process alive. */
export class NativeEndpoint implements Receiver {
  /** As the system writes them, for example `127.0.0.1:4840`. */
  readonly addresses: readonly string[]
  readonly keyExchange: string
  readonly signature: string
  readonly cipherSuite: string
  readonly #number: number
  readonly #events: EndpointEvents
  /** Bounded by what the owner waits for; each has a time-out. */
  readonly #operations = new Map<number, Pending>()
  readonly #batch = new RequestBatch()
  readonly #closed: Promise<void>
  #onClosed: () => void = () => undefined
  #lastOperation = 0
  #isFlushDue = false
  #isClosed = false

  /** Binds and accepts from now on. Codes: `INVALID_ARGUMENT` for an address that is taken or not ours. */
  constructor(
    options: {
      readonly keyHandle: number
      readonly hosts: readonly string[]
      readonly port: number
      readonly accepts: boolean
      readonly resumes: boolean
    },
    events: EndpointEvents,
  ) {
    listenForEvents()
    this.#events = events
    const { keyHandle, hosts, port, accepts, resumes } = options
    this.#number = native(() => addon().transportOpen(keyHandle, hosts, port, accepts, resumes))
    receiveEvents(this.#number, this)
    hold()
    const [keyExchange = '', signature = '', cipherSuite = '', ...addresses] = addon().transportFacts(
      this.#number,
    )
    this.keyExchange = keyExchange
    this.signature = signature
    this.cipherSuite = cipherSuite
    this.addresses = addresses
    this.#closed = new Promise((resolve) => (this.#onClosed = resolve))
  }

  /** Answers the link. */
  dial(peer: {
    readonly id: Uint8Array | undefined
    readonly addresses: readonly string[]
    readonly timeoutMs: number
  }): Operation<number> {
    return this.#operate((operation) =>
      addon().transportDial(this.#number, operation, peer.id, peer.addresses, peer.timeoutMs),
    )
  }

  /** As `dial`, with an idempotent request that goes along: with the first packets when a session can be resumed. */
  dialAndAsk(
    peer: {
      readonly id: Uint8Array
      readonly addresses: readonly string[]
      readonly timeoutMs: number
    },
    request: BatchedRequest,
    signal?: AbortSignal,
  ): { readonly dialled: Operation<number>; readonly answer: Promise<Uint8Array> } {
    if (this.#isClosed) {
      const result = Promise.reject(closed())
      return { dialled: { result, cancel: () => undefined }, answer: result }
    }
    const question = this.#nextOperation()
    const pending = new Pending()
    this.#operations.set(question, pending)
    firstRequest.request(question, { ...request, isIdempotent: true })
    const record = firstRequest.take()
    const dialled = this.#operate<number>((dial) => {
      try {
        addon().transportDial(this.#number, dial, peer.id, peer.addresses, peer.timeoutMs, record)
      } catch (thrown) {
        // No event will end the question.
        this.#operations.delete(question)
        pending.reject(fromNative(thrown))
        throw thrown
      }
    })
    const result = pending.promise as Promise<Uint8Array>
    return { dialled, answer: abortable({ result, cancel: () => this.#cancel(question) }, signal) }
  }

  /** The body is copied before this returns. `signal` ends it early with `ABORTED`. */
  request(request: BatchedRequest, signal?: AbortSignal): Promise<Uint8Array> {
    if (this.#isClosed) return Promise.reject(closed())
    const operation = this.#nextOperation()
    const pending = new Pending()
    this.#operations.set(operation, pending)
    this.#batch.request(operation, request)
    this.#flushSoon()
    const result = pending.promise as Promise<Uint8Array>
    return signal === undefined
      ? result
      : abortable({ result, cancel: () => this.#cancel(operation) }, signal)
  }

  answer(request: number, payload: Uint8Array, how: { readonly refused: boolean }): void {
    if (this.#isClosed) return
    this.#batch.answer(request, payload, how)
    this.#flushSoon()
  }

  /** Answers the stream. */
  openStream(options: {
    readonly link: number
    readonly trafficClass: number
    readonly protocol: number
    readonly timeoutMs: number
  }): Operation<number> {
    const { link, trafficClass, protocol, timeoutMs } = options
    return this.#operate((operation) =>
      addon().transportOpenStream(this.#number, operation, link, trafficClass, protocol, timeoutMs),
    )
  }

  /** Bytes that were copied into `target`; 0 at the end, −1 to wait for `streamReadable`. */
  read(stream: number, target: Uint8Array): number {
    return native(() => addon().transportRead(this.#number, stream, target))
  }

  /** Copies `bytes`; true when the writer should wait for `streamWritable`. */
  write(stream: number, bytes: Uint8Array): boolean {
    return native(() => addon().transportWrite(this.#number, stream, bytes))
  }

  /** Ends the write side; resolves when everything has been handed to the network. */
  async finish(stream: number): Promise<void> {
    await this.#operate<number>((operation) => addon().transportFinish(this.#number, stream, operation))
      .result
  }

  reset(stream: number, code: number): void {
    if (!this.#isClosed) native(() => addon().transportReset(this.#number, stream, code))
  }

  release(stream: number): void {
    if (!this.#isClosed) native(() => addon().transportRelease(this.#number, stream))
  }

  sendDatagram(link: number, protocol: number, body: Uint8Array): boolean {
    return !this.#isClosed && native(() => addon().transportDatagram(this.#number, link, protocol, body))
  }

  closeLink(link: number, code: number): void {
    if (!this.#isClosed) native(() => addon().transportCloseLink(this.#number, link, code))
  }

  /** Round-trip time in milliseconds, bytes sent, bytes received, packets lost. */
  stats(link: number): readonly number[] {
    return native(() => addon().transportStats(this.#number, link))
  }

  /** Counts and levels by name; empty once it is closed. */
  figures(): ReadonlyMap<string, number> {
    return this.#isClosed ? NO_FIGURES : figuresOf(native(() => addon().transportFigures(this.#number)))
  }

  /** Smoothed round-trip times of at most `most` links, in seconds. */
  roundTrips(most: number): readonly number[] {
    return this.#isClosed ? [] : native(() => addon().transportRoundTrips(this.#number, most))
  }

  /** Resolves when connections, port and thread are gone. */
  close(): Promise<void> {
    if (!this.#isClosed) native(() => addon().transportClose(this.#number))
    return this.#closed
  }

  /** Takes one event. @internal */
  receive(event: EventRecord): void {
    const { kind, first, second, third } = event
    switch (kind) {
      case EVENT.answered:
        this.#settle(event, undefined)
        break
      case EVENT.request:
        this.#events.request(first, second, third, event.payload())
        break
      case EVENT.dialled:
      case EVENT.streamDone:
        this.#settle(event, third)
        break
      case EVENT.streamReadable:
        this.#events.streamReadable(first)
        break
      case EVENT.streamWritable:
        this.#events.streamWritable(first)
        break
      case EVENT.streamOpened:
        this.#events.streamOpened(first, second, third)
        break
      case EVENT.datagram:
        this.#events.datagram(second, third, event.payload())
        break
      case EVENT.earlyRequest:
        this.#receiveEarly(event)
        break
      case EVENT.requestCancelled:
        this.#events.requestCancelled(first)
        break
      case EVENT.closed:
        this.#end()
        break
      default:
        this.#receiveOfLink(event)
    }
  }

  /** Ends every operation with `error`. @internal */
  fail(error: EspalierError): void {
    for (const pending of this.#operations.values()) pending.reject(error)
    this.#operations.clear()
  }

  #receiveOfLink(event: EventRecord): void {
    const { kind, first: link } = event
    const outbound = event.second === 1
    if (kind === EVENT.linkUp) {
      const bytes = event.payload()
      const peer = { id: bytes.slice(0, ID_BYTES), remote: textOf(bytes.subarray(ID_BYTES)), outbound }
      this.#events.linkUp(link, peer)
    } else if (kind === EVENT.linkMoved) {
      this.#events.linkMoved(link, { remote: event.text(), outbound })
    } else if (kind === EVENT.linkClosed) {
      this.#events.linkClosed(link, fromEventText(event.text()))
    } else {
      throw new EspalierError('INVALID_STATE', `the native addon told an unknown event ${kind}`)
    }
  }

  #receiveEarly(event: EventRecord): void {
    const { first: request, second: remoteBytes, third: protocol } = event
    const bytes = event.payload()
    const bodyAt = ID_BYTES + remoteBytes
    const from = { id: bytes.slice(0, ID_BYTES), remote: textOf(bytes.subarray(ID_BYTES, bodyAt)) }
    this.#events.earlyRequest(request, from, protocol, bytes.slice(bodyAt))
  }

  #operate<T>(start: (operation: number) => void): Operation<T> {
    if (this.#isClosed) return { result: Promise.reject(closed()), cancel: () => undefined }
    const operation = this.#nextOperation()
    const pending = new Pending()
    this.#operations.set(operation, pending)
    try {
      native(() => start(operation))
    } catch (thrown) {
      this.#operations.delete(operation)
      pending.reject(fromNative(thrown))
    }
    return { result: pending.promise as Promise<T>, cancel: () => this.#cancel(operation) }
  }

  #nextOperation(): number {
    do this.#lastOperation = (this.#lastOperation % 0xffff_ffff) + 1
    while (this.#operations.has(this.#lastOperation))
    return this.#lastOperation
  }

  #cancel(operation: number): void {
    if (!this.#operations.has(operation)) return
    this.#batch.cancel(operation)
    this.#flushSoon()
  }

  /** Ends an operation with `value`, or with the payload where that is the outcome. */
  #settle(event: EventRecord, value: number | undefined): void {
    const pending = this.#operations.get(event.first)
    if (pending === undefined) return
    this.#operations.delete(event.first)
    if (event.second !== 1) pending.reject(fromEventText(event.text(), 'PEER_REFUSED'))
    else pending.resolve(value ?? event.payload())
  }

  #flushSoon(): void {
    if (this.#batch.sizeBytes >= FLUSH_BYTES) {
      this.#flush()
      return
    }
    if (this.#isFlushDue) return
    this.#isFlushDue = true
    queueMicrotask(() => {
      this.#isFlushDue = false
      this.#flush()
    })
  }

  #flush(): void {
    const batch = this.#batch.take()
    if (batch.byteLength === 0 || this.#isClosed) return
    try {
      addon().transportSubmit(this.#number, batch)
    } catch {
      // The endpoint is closing: its last event ends whatever was in the batch.
    }
  }

  #end(): void {
    this.#isClosed = true
    endEvents(this.#number)
    addon().transportForget(this.#number)
    release()
    this.fail(closed())
    this.#onClosed()
  }
}

function closed(): EspalierError {
  return new EspalierError('CLOSED', 'the transport is closed')
}
