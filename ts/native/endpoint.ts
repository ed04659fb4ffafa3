import { EspalierError } from '../base/error.ts'
import { fromNative, fromNativeText, native } from './error.ts'
import { addon } from './load.ts'
import { hold, onWake, release } from './queue.ts'
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
  requestCancelled(request: number): void
  datagram(link: number, protocol: number, body: Uint8Array): void
  streamOpened(stream: number, link: number, protocol: number): void
  streamReadable(stream: number): void
  streamWritable(stream: number): void
}

/** A running operation: its outcome, and the way to end it early. */
export interface Operation<T> {
  readonly result: Promise<T>
  cancel(): void
}

/** Bytes of a batch from which it does not wait for the end of the turn. */
const FLUSH_BYTES = 1_048_576

/** A native QUIC endpoint with its own thread and UDP port. While it is open it keeps the process alive. */
export class NativeEndpoint {
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
    },
    events: EndpointEvents,
  ) {
    listenForEvents()
    this.#events = events
    this.#number = native(() =>
      addon().transportOpen(options.keyHandle, options.hosts, options.port, options.accepts),
    )
    open.set(this.#number, this)
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

  /** The body is copied before this returns. */
  request(request: Omit<BatchedRequest, 'operation'>): Operation<Uint8Array> {
    return this.#operate((operation) => {
      this.#batch.request({ ...request, operation })
      this.#flushSoon()
    })
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

  /** Resolves when connections, port and thread are gone. */
  close(): Promise<void> {
    if (!this.#isClosed) native(() => addon().transportClose(this.#number))
    return this.#closed
  }

  /** Takes one event. @internal */
  receive(kind: number, numbers: readonly [number, number, number], payload: () => Uint8Array): void {
    const [first, second, third] = numbers
    switch (kind) {
      case EVENT.linkUp: {
        const bytes = payload()
        const peer = { id: bytes.slice(0, ID_BYTES), remote: text(bytes.subarray(ID_BYTES)) }
        this.#events.linkUp(first, { ...peer, outbound: second === 1 })
        return
      }
      case EVENT.linkMoved: {
        this.#events.linkMoved(first, { remote: text(payload()), outbound: second === 1 })
        return
      }
      case EVENT.linkClosed: {
        this.#events.linkClosed(first, fromNativeText(text(payload())))
        return
      }
      case EVENT.dialled:
      case EVENT.streamDone: {
        this.#settle(first, second === 1, third, payload)
        return
      }
      case EVENT.answered: {
        this.#settle(first, second === 1, undefined, payload)
        return
      }
      case EVENT.request: {
        this.#events.request(first, second, third, payload())
        return
      }
      case EVENT.requestCancelled: {
        this.#events.requestCancelled(first)
        return
      }
      case EVENT.datagram: {
        this.#events.datagram(second, third, payload())
        return
      }
      case EVENT.streamOpened: {
        this.#events.streamOpened(first, second, third)
        return
      }
      case EVENT.streamReadable: {
        this.#events.streamReadable(first)
        return
      }
      case EVENT.streamWritable: {
        this.#events.streamWritable(first)
        return
      }
      case EVENT.closed: {
        this.#end()
        return
      }
      default:
        throw new EspalierError('INVALID_STATE', `the native addon told an unknown event ${kind}`)
    }
  }

  #operate<T>(start: (operation: number) => void): Operation<T> {
    if (this.#isClosed) return { result: Promise.reject(closed()), cancel: () => undefined }
    do this.#lastOperation = (this.#lastOperation % 0xffff_ffff) + 1
    while (this.#operations.has(this.#lastOperation))
    const operation = this.#lastOperation
    const result = new Promise<T>((resolve, reject) => {
      this.#operations.set(operation, { resolve: resolve as (value: unknown) => void, reject })
      try {
        native(() => start(operation))
      } catch (thrown) {
        this.#operations.delete(operation)
        reject(fromNative(thrown))
      }
    })
    const cancel = (): void => {
      if (!this.#operations.has(operation)) return
      this.#batch.cancel(operation)
      this.#flushSoon()
    }
    return { result, cancel }
  }

  #settle(operation: number, succeeded: boolean, value: number | undefined, payload: () => Uint8Array): void {
    const pending = this.#operations.get(operation)
    if (pending === undefined) return
    this.#operations.delete(operation)
    if (!succeeded) pending.reject(fromNativeText(text(payload()), 'PEER_REFUSED'))
    else pending.resolve(value ?? payload())
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
    open.delete(this.#number)
    addon().transportForget(this.#number)
    release()
    for (const pending of [...this.#operations.values()]) pending.reject(closed())
    this.#operations.clear()
    this.#onClosed()
  }
}

interface Pending {
  readonly resolve: (value: unknown) => void
  readonly reject: (error: EspalierError) => void
}

/** As crates/binding/src/transport_events.rs numbers them. */
const EVENT = {
  linkUp: 1,
  linkClosed: 2,
  dialled: 3,
  answered: 4,
  request: 5,
  requestCancelled: 6,
  datagram: 7,
  streamDone: 8,
  streamOpened: 9,
  streamReadable: 10,
  streamWritable: 11,
  closed: 12,
  linkMoved: 13,
} as const
const RECORD_BYTES = 24
const ID_BYTES = 32
/** The largest single event, an answer of 1 MiB, with room for others. */
const SLAB_BYTES = 1_048_576 + 262_144

/** Bounded by the ports of the machine. */
const open = new Map<number, NativeEndpoint>()
let slab: Uint8Array | undefined

function listenForEvents(): void {
  if (slab !== undefined) return
  const bytes = new Uint8Array(SLAB_BYTES)
  slab = bytes
  const view = new DataView(bytes.buffer)
  onWake(() => {
    for (;;) {
      const filled = addon().transportDrain(bytes)
      if (filled === 0) return
      for (let at = 0; at < filled; at += view.getUint32(at, true)) dispatch(bytes, view, at)
    }
  })
  // Goodbyes leave, and no thread runs while the process takes itself apart.
  process.once('exit', () => addon().transportCloseAll())
}

function dispatch(bytes: Uint8Array, view: DataView, at: number): void {
  const end = at + view.getUint32(at, true)
  const number = (offset: number): number => view.getUint32(at + offset, true)
  const endpoint = open.get(number(8))
  try {
    endpoint?.receive(number(4), [number(12), number(16), number(20)], () =>
      bytes.slice(at + RECORD_BYTES, end),
    )
  } catch (thrown) {
    // A fault of this library; the other events must not suffer from it.
    process.emitWarning(thrown instanceof Error ? thrown : String(thrown))
  }
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8')
}

function closed(): EspalierError {
  return new EspalierError('CLOSED', 'the transport is closed')
}
