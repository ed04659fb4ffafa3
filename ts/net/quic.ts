import { EspalierError, toEspalierError } from '../base/error.ts'
import { copyBytes, encodeUtf8 } from '../base/bytes.ts'
import { keyOfNode, nodeIdFromBytes, type NodeId } from '../base/identity.ts'
import { checkBytes } from '../native/check.ts'
import { NativeEndpoint, type EndpointEvents } from '../native/endpoint.ts'
import { limitPeerBytes } from '../native/figures.ts'
import type { Identity } from '../native/key-file.ts'
import type { Operation } from '../native/operation.ts'
import { formatAddress, parseAddress, type Address, type PeerAddress } from './address.ts'
import {
  checkedRequest,
  MAX_RESPONSE_BYTES,
  parseRemote,
  QuicConnection,
  throwIfAborted,
  timeoutOf,
} from './quic-connection.ts'
import { QuicDial } from './quic-dial.ts'
import type { QuicStream } from './quic-stream.ts'
import type {
  CallOptions,
  Connection,
  Dialled,
  FirstRequest,
  Inbound,
  InboundRequest,
  KnownPeer,
  Transport,
} from './transport.ts'

/** How a node binds. */
export interface QuicOptions {
  /** Proves this node's id; stays open as long as the transport. */
  readonly identity: Identity
  /** UDP port, 0 to 65,535; 0 takes a free one. */
  readonly port: number
  /** IP addresses to bind, at most one of each family. */
  readonly hosts: readonly string[]
  /** Whether others may dial this node. Default true. */
  readonly accepts?: boolean
  /**
   * Whether sessions are remembered, in memory and in both roles, so that the next handshake with the same peer is
   * short and may carry a first request. Default true.
   */
  readonly resumes?: boolean
  /**
   * Bytes that peers may make the process hold, from 16 MiB: windows, requests, answers, what waits to be read. It
   * holds for all transports and threads of the process; the last that was set counts. Default: as it is, 512 MiB
   * at first.
   */
  readonly peerBytes?: number
}

/** A dial ends by itself in 5 s for each of at most 16 addresses; this is only the outer bound. */
const DIAL_LIMIT_MS = 60_000
const MAX_REFUSAL_CHARACTERS = 256
/** Of a request that goes with a dial: native code finds the link. */
const NO_LINK = 0

/** The real transport: QUIC with pure post-quantum TLS, in native code. */
export class QuicTransport implements Transport {
  readonly localId: NodeId
  readonly #options: QuicOptions
  /** Links by native number. Bounded by the pool of whoever uses the transport. */
  readonly #connections = new Map<number, QuicConnection>()
  /** By peer; as `#connections`. */
  readonly #byPeer = new Map<NodeId, QuicConnection>()
  /** Bounded by what the callers wait for; each dial has a limit. */
  readonly #dials = new Map<string, QuicDial>()
  /** Bounded by the streams that either side may open. */
  readonly #streams = new Map<number, QuicStream>()
  /** Requests that are being served. Bounded by the streams that peers may open. */
  readonly #served = new Map<number, ServedRequest>()
  #endpoint: NativeEndpoint | undefined
  #isClosed = false

  private constructor(options: QuicOptions) {
    this.#options = options
    this.localId = options.identity.id
  }

  /** Nothing is bound before `listen`. */
  static create(options: QuicOptions): QuicTransport {
    return new QuicTransport(options)
  }

  /** The addresses that were bound, empty before `listen`. */
  get addresses(): readonly Address[] {
    return this.#endpoint?.addresses.map(parseAddress) ?? []
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- failures are rejections
  async listen(inbound: Inbound): Promise<readonly Address[]> {
    if (this.#isClosed) throw closed()
    if (this.#endpoint !== undefined) throw new EspalierError('INVALID_STATE', 'already listening')
    const { identity, hosts, port, accepts = true, resumes = true, peerBytes } = this.#options
    if (peerBytes !== undefined) limitPeerBytes(peerBytes)
    this.#endpoint = new NativeEndpoint(
      { keyHandle: identity.keyHandle, hosts, port, accepts, resumes },
      this.#eventsFor(inbound),
    )
    return this.addresses
  }

  async connect(peer: PeerAddress, options: CallOptions = {}): Promise<Connection> {
    const endpoint = this.#ready(peer, options)
    const existing = peer.id === undefined ? undefined : this.#byPeer.get(peer.id)
    if (existing?.isEnding === false) return existing
    checkAddresses(peer)
    return this.#connectionOf(this.#dial(endpoint, peer).wait(options))
  }

  connectAndAsk(peer: KnownPeer, request: FirstRequest, options: CallOptions = {}): Dialled {
    const dialled = this.#tryConnectAndAsk(peer, request, options)
    // Whoever looks at one of the two only must not be ended by the other.
    dialled.connection.catch(() => undefined)
    dialled.answer.catch(() => undefined)
    return dialled
  }

  /** What the endpoint counted (`count.…`) and holds (`level.…`), by name; empty before `listen`. */
  figures(): ReadonlyMap<string, number> {
    return this.#endpoint?.figures() ?? new Map()
  }

  /** Smoothed round-trip times of at most `most` connections, in seconds. */
  roundTrips(most: number): readonly number[] {
    return this.#endpoint?.roundTrips(most) ?? []
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await this.#endpoint?.close()
  }

  /** The endpoint for a dial whose arguments are in order. */
  #ready(peer: PeerAddress, options: CallOptions): NativeEndpoint {
    if (this.#isClosed) throw closed()
    if (this.#endpoint === undefined) throw new EspalierError('INVALID_STATE', 'listen comes before connect')
    if (peer.id === this.localId) {
      throw new EspalierError('INVALID_ARGUMENT', 'a node does not connect to itself')
    }
    throwIfAborted(options.signal)
    timeoutOf(options)
    return this.#endpoint
  }

  #tryConnectAndAsk(peer: KnownPeer, request: FirstRequest, options: CallOptions): Dialled {
    try {
      return this.#connectAndAsk(peer, request, options)
    } catch (thrown) {
      const failed = Promise.reject(toEspalierError(thrown, 'INVALID_STATE', 'the dial could not be started'))
      return { connection: failed, answer: failed }
    }
  }

  #connectAndAsk(peer: KnownPeer, request: FirstRequest, options: CallOptions): Dialled {
    const endpoint = this.#ready(peer, options)
    const { protocol, body } = request
    const question = checkedRequest(protocol, body, request, NO_LINK)
    const existing = this.#byPeer.get(peer.id)
    const isDialling = this.#dials.has(peer.id)
    if (existing?.isEnding === false || isDialling) {
      const connection = this.connect(peer, options)
      // It is sent later, and has to be what was given now.
      const own = copyBytes(question.body)
      const answer = connection.then((connected) => connected.request(protocol, own, request))
      return { connection, answer }
    }
    checkAddresses(peer)
    const addresses = peer.addresses.map(formatAddress)
    const target = { id: keyOfNode(peer.id), addresses, timeoutMs: DIAL_LIMIT_MS }
    const { dialled, answer } = endpoint.dialAndAsk(target, question, request.signal)
    const dial = this.#remember(peer.id, dialled)
    return { connection: this.#connectionOf(dial.wait(options)), answer: this.#orClosed(answer) }
  }

  async #connectionOf(dialled: Promise<number>): Promise<Connection> {
    const connection = this.#connections.get(await this.#orClosed(dialled))
    if (connection === undefined) throw new EspalierError('CONNECTION_LOST', 'the connection ended at once')
    return connection
  }

  /** What closing cuts short looks like a peer that doesn't answer. */
  async #orClosed<T>(result: Promise<T>): Promise<T> {
    try {
      return await result
    } catch (thrown) {
      throw this.#isClosed ? closed() : thrown
    }
  }

  #dial(endpoint: NativeEndpoint, peer: PeerAddress): QuicDial {
    const addresses = peer.addresses.map(formatAddress)
    const key = peer.id ?? addresses.join(' ')
    const running = this.#dials.get(key)
    if (running !== undefined) return running
    const id = peer.id === undefined ? undefined : keyOfNode(peer.id)
    return this.#remember(key, endpoint.dial({ id, addresses, timeoutMs: DIAL_LIMIT_MS }))
  }

  #remember(key: string, dialled: Operation<number>): QuicDial {
    const dial = new QuicDial(dialled, () => {
      if (this.#dials.get(key) === dial) this.#dials.delete(key)
    })
    this.#dials.set(key, dial)
    return dial
  }

  #eventsFor(inbound: Inbound): EndpointEvents {
    return {
      linkUp: (link, peer) => this.#onLinkUp(inbound, link, peer),
      linkMoved: (link, to) => {
        const connection = this.#connections.get(link)
        if (connection === undefined) return
        connection.onMoved(to)
        inbound.onMoved?.(connection)
      },
      linkClosed: (link, reason) => this.#onLinkClosed(link, reason),
      request: (request, link, protocol, body) => {
        const connection = this.#connections.get(link)
        if (connection === undefined) return
        const { peer, remote } = connection
        void this.#serve(inbound, request, new ServedRequest({ protocol, body, peer, remote, connection }))
      },
      earlyRequest: (request, from, protocol, body) => {
        const peer = nodeIdFromBytes(from.id)
        const remote = parseRemote(from.remote)
        const served = new ServedRequest({ protocol, body, peer, remote, connection: undefined })
        void this.#serve(inbound, request, served)
      },
      requestCancelled: (request) => {
        this.#served.get(request)?.abort()
        this.#served.delete(request)
      },
      datagram: (link, protocol, body) => {
        const connection = this.#connections.get(link)
        if (connection !== undefined) inbound.onDatagram(protocol, body, connection)
      },
      streamOpened: (stream, link, protocol) => {
        const connection = this.#connections.get(link)
        if (connection === undefined) this.#endpoint?.reset(stream, 0)
        else inbound.onStream(protocol, connection.takeStream(stream), connection)
      },
      streamReadable: (stream) => this.#streams.get(stream)?.onReadable(),
      streamWritable: (stream) => this.#streams.get(stream)?.onWritable(),
    }
  }

  #onLinkUp(
    inbound: Inbound,
    link: number,
    {
      id,
      remote,
      outbound,
    }: { readonly id: Uint8Array; readonly remote: string; readonly outbound: boolean },
  ): void {
    const endpoint = this.#endpoint
    if (endpoint === undefined) return
    const peer = nodeIdFromBytes(id)
    const connection = new QuicConnection(endpoint, { peer, link, remote, outbound, streams: this.#streams })
    this.#connections.set(link, connection)
    this.#byPeer.set(peer, connection)
    inbound.onConnection(connection)
  }

  #onLinkClosed(link: number, reason: EspalierError): void {
    const connection = this.#connections.get(link)
    if (connection === undefined) return
    this.#connections.delete(link)
    if (this.#byPeer.get(connection.peer) === connection) this.#byPeer.delete(connection.peer)
    connection.onClosed(reason)
  }

  async #serve(inbound: Inbound, request: number, served: ServedRequest): Promise<void> {
    this.#served.set(request, served)
    let answer: { readonly payload: Uint8Array; readonly refused: boolean }
    try {
      const payload = checkBytes('answer', await inbound.onRequest(served))
      if (payload.byteLength > MAX_RESPONSE_BYTES) {
        throw new EspalierError('LIMIT_EXCEEDED', `an answer may have ${MAX_RESPONSE_BYTES} bytes`)
      }
      answer = { payload, refused: false }
    } catch (thrown) {
      answer = { payload: encodeRefusal(thrown), refused: true }
    }
    if (this.#served.delete(request)) this.#endpoint?.answer(request, answer.payload, answer)
  }
}

/** A request as its handler sees it. The signal is made only when somebody looks: most handlers don't. */
class ServedRequest implements InboundRequest {
  readonly protocol: number
  readonly body: Uint8Array
  readonly peer: NodeId
  readonly remote: Address
  readonly connection: Connection | undefined
  #controller: AbortController | undefined
  #isAborted = false

  constructor(options: Omit<InboundRequest, 'signal'>) {
    this.protocol = options.protocol
    this.body = options.body
    this.peer = options.peer
    this.remote = options.remote
    this.connection = options.connection
  }

  get signal(): AbortSignal {
    this.#controller ??= new AbortController()
    if (this.#isAborted) this.abort()
    return this.#controller.signal
  }

  abort(): void {
    this.#isAborted = true
    this.#controller?.abort(new EspalierError('ABORTED', 'the caller no longer waits'))
  }
}

/** Code, zero byte and text. Another error than ours may hold anything, so its text stays here. */
function encodeRefusal(thrown: unknown): Uint8Array {
  if (!(thrown instanceof EspalierError)) return encodeUtf8('PEER_REFUSED\0the request failed')
  return encodeUtf8(`${thrown.code}\0${thrown.message.slice(0, MAX_REFUSAL_CHARACTERS)}`)
}

function checkAddresses(peer: PeerAddress): void {
  if (peer.addresses.length > 0) return
  throw new EspalierError('PEER_UNREACHABLE', 'no address of the peer is known')
}

function closed(): EspalierError {
  return new EspalierError('CLOSED', 'the transport is closed')
}
