import { EspalierError } from '../base/error.ts'
import { encodeUtf8 } from '../base/bytes.ts'
import { keyOfNode, nodeIdFromBytes, type NodeId } from '../base/identity.ts'
import { NativeEndpoint, type EndpointEvents } from '../native/endpoint.ts'
import type { Identity } from '../native/key-file.ts'
import { formatAddress, parseAddress, type Address, type PeerAddress } from './address.ts'
import { MAX_RESPONSE_BYTES, QuicConnection, throwIfAborted, timeoutOf } from './quic-connection.ts'
import { QuicDial } from './quic-dial.ts'
import type { QuicStream } from './quic-stream.ts'
import type { CallOptions, Connection, Inbound, InboundRequest, Transport } from './transport.ts'

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
}

/** A dial ends by itself in 5 s for each of at most 16 addresses; this is only the outer bound. */
const DIAL_LIMIT_MS = 60_000
const MAX_REFUSAL_CHARACTERS = 256

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
    const { identity, hosts, port, accepts = true } = this.#options
    this.#endpoint = new NativeEndpoint(
      { keyHandle: identity.keyHandle, hosts, port, accepts },
      this.#eventsFor(inbound),
    )
    return this.addresses
  }

  async connect(peer: PeerAddress, options: CallOptions = {}): Promise<Connection> {
    if (this.#isClosed) throw closed()
    const endpoint = this.#endpoint
    if (endpoint === undefined) throw new EspalierError('INVALID_STATE', 'listen comes before connect')
    if (peer.id === this.localId) {
      throw new EspalierError('INVALID_ARGUMENT', 'a node does not connect to itself')
    }
    throwIfAborted(options.signal)
    timeoutOf(options)
    const existing = peer.id === undefined ? undefined : this.#byPeer.get(peer.id)
    if (existing?.isEnding === false) return existing
    if (peer.addresses.length === 0) {
      throw new EspalierError('PEER_UNREACHABLE', 'no address of the peer is known')
    }
    const link = await this.#linkTo(endpoint, peer, options)
    const connection = this.#connections.get(link)
    if (connection === undefined) throw new EspalierError('CONNECTION_LOST', 'the connection ended at once')
    return connection
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

  async #linkTo(endpoint: NativeEndpoint, peer: PeerAddress, options: CallOptions): Promise<number> {
    try {
      return await this.#dial(endpoint, peer).wait(options)
    } catch (thrown) {
      // A dial that closing cut short looks like one that nobody answered.
      throw this.#isClosed ? closed() : thrown
    }
  }

  #dial(endpoint: NativeEndpoint, peer: PeerAddress): QuicDial {
    const addresses = peer.addresses.map(formatAddress)
    const key = peer.id ?? addresses.join(' ')
    const running = this.#dials.get(key)
    if (running !== undefined) return running
    const id = peer.id === undefined ? undefined : keyOfNode(peer.id)
    const dial = new QuicDial(endpoint.dial({ id, addresses, timeoutMs: DIAL_LIMIT_MS }), () => {
      if (this.#dials.get(key) === dial) this.#dials.delete(key)
    })
    this.#dials.set(key, dial)
    return dial
  }

  #eventsFor(inbound: Inbound): EndpointEvents {
    return {
      linkUp: (link, peer) => this.#onLinkUp(inbound, link, peer),
      linkMoved: (link, to) => this.#connections.get(link)?.onMoved(to),
      linkClosed: (link, reason) => this.#onLinkClosed(link, reason),
      request: (request, link, protocol, body) => {
        const connection = this.#connections.get(link)
        if (connection === undefined) return
        const served = new ServedRequest({ protocol, body, connection })
        this.#served.set(request, served)
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
    let answer: { readonly payload: Uint8Array; readonly refused: boolean }
    try {
      const payload = await inbound.onRequest(served)
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
  readonly connection: Connection
  #controller: AbortController | undefined
  #isAborted = false

  constructor(options: Omit<InboundRequest, 'signal'>) {
    this.protocol = options.protocol
    this.body = options.body
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

function closed(): EspalierError {
  return new EspalierError('CLOSED', 'the transport is closed')
}
