import { integer, checkOptions, flag } from '../base/options.ts'
import type { Env } from '../base/env.ts'
import { EspalierError } from '../base/error.ts'
import type { NodeId } from '../base/identity.ts'
import type { Address, PeerAddress } from './address.ts'
import { Call } from './call.ts'
import { Connector } from './connector.ts'
import { Dialler } from './dialler.ts'
import { Gates } from './gates.ts'
import { CALL_TIMEOUT_MS, NET_LIMITS, type NetLimits } from './limits.ts'
import type { MessageType, StreamType } from './message.ts'
import { Peers } from './peers.ts'
import { ConnectionPool, type Pooled } from './pool.ts'
import type { Caller, RpcPort } from './rpc-port.ts'
import { asViolation, Server } from './server.ts'
import { isDialable } from './special-ranges.ts'
import { outcomeOf, Tallies } from './tally.ts'
import type { ByteStream, CallOptions, Connection, ConnectionStats, Transport } from './transport.ts'

/** Close code of a connection that made room for another; docs/PROTOCOL.md lists the codes. */
const CLOSE_SURPLUS = 3

/** How to run an {@link Rpc}. */
export interface RpcOptions extends Partial<NetLimits> {
  /** Also dial special addresses that peers name: loopback, private, link-local and the like. */
  readonly allowPrivate: boolean
}

/** A live connection as status and metrics see it. */
export interface ConnectionView {
  readonly peer: NodeId
  readonly remote: Address
  readonly outbound: boolean
  readonly stats: ConnectionStats
}

/** Requests and streams of one moment. */
export interface RpcLoad {
  /** Own requests that wait for an answer, and own streams that are being opened. */
  readonly underWay: number
  /** Own requests and openings that wait for their turn. */
  readonly queued: number
  /** Requests and streams of peers that are being served. */
  readonly served: number
  readonly dials: number
}

type PeerListener = (peer: {
  readonly id: NodeId
  readonly remote: Address
  readonly outbound: boolean
}) => void

/**
 * The network as services see it. Dials and pools connections, one for each peer, keeps the limits,
 * and lets every call end with its outcome, its time-out (default 10 s, dialling included) or `CLOSED`.
 */
export class Rpc implements RpcPort {
  readonly localId: NodeId
  readonly #transport: Transport
  readonly #env: Env
  readonly #peers: Peers
  readonly #pool: ConnectionPool
  readonly #gates: Gates
  readonly #connector: Connector
  readonly #dialler: Dialler
  readonly #tallies: Tallies
  readonly #server: Server
  /** Every connection that was ever in the pool, as long as somebody holds it. */
  readonly #adopted = new WeakMap<Connection, Pooled>()
  /** Bounded by the services that ask. */
  readonly #listeners: PeerListener[] = []
  #state: 'new' | 'running' | 'stopped' = 'new'

  /** Throws `INVALID_ARGUMENT` for unknown options and for limits out of range. */
  constructor(deps: { readonly transport: Transport; readonly env: Env }, options: RpcOptions) {
    const checked = checkOptions(options, OPTIONS)
    this.#transport = deps.transport
    this.#env = deps.env
    this.localId = deps.transport.localId
    this.#peers = new Peers(checked)
    this.#pool = new ConnectionPool(checked)
    this.#gates = new Gates(checked)
    this.#connector = new Connector(this.#transport, this.#env)
    this.#dialler = new Dialler(this.#connector, this.#peers, this.#env.clock)
    this.#tallies = new Tallies(this.#env.metrics, 'outbound')
    this.#server = new Server(this.#env, checked)
  }

  /** Starts to accept; answers the addresses that were bound. Codes: those of `Transport.listen`. */
  async start(): Promise<readonly Address[]> {
    if (this.#state === 'stopped') throw closed()
    if (this.#state === 'running') throw new EspalierError('INVALID_STATE', 'already started')
    this.#state = 'running'
    return this.#transport.listen({
      onRequest: (request) =>
        request.connection === undefined
          ? this.#server.serve(request)
          : this.#occupy(this.#adopt(request.connection), () => this.#server.serve(request)),
      onStream: (protocol, stream, connection) => {
        void this.#server.serveStream(protocol, stream, this.#adopt(connection))
      },
      onDatagram: (protocol, _body, connection) => this.#server.dropDatagram(protocol, connection),
      onConnection: (connection) => {
        this.#adopt(connection)
      },
      onMoved: ({ peer, remote }) => this.#peers.succeeded(peer, remote),
    })
  }

  /** Ends every call with `CLOSED` and every connection. Idempotent. */
  async stop(): Promise<void> {
    this.#state = 'stopped'
    this.#gates.close(closed())
    await this.#transport.close()
  }

  /** Live connections, in no order that means anything. */
  connections(): readonly ConnectionView[] {
    return this.#pool.values().map((connection) => ({
      peer: connection.peer,
      remote: connection.remote,
      outbound: connection.outbound,
      stats: connection.stats(),
    }))
  }

  /** Live connections by who dialled. */
  connectionCounts(): { readonly inbound: number; readonly outbound: number } {
    const all = this.#pool.values()
    const outbound = all.filter((connection) => connection.outbound).length
    return { inbound: all.length - outbound, outbound }
  }

  /** What is under way and what waits, at this moment. */
  load(): RpcLoad {
    const { underWay, queued } = this.#gates.load
    return { underWay, queued, served: this.#server.served, dials: this.#dialler.size }
  }

  async request<Request, Response>(
    peer: PeerAddress | NodeId,
    type: MessageType<Request, Response>,
    request: Request,
    options: CallOptions = {},
  ): Promise<Response> {
    const call = this.#begin(options)
    const tally = this.#tallies.of(type)
    let leave: (() => void) | undefined
    try {
      const body = type.encodeRequest(request)
      if (body.byteLength > type.maxRequestBytes) {
        const message = `${type.name} has at most ${type.maxRequestBytes} bytes, not ${body.byteLength}`
        throw new EspalierError('LIMIT_EXCEEDED', message)
      }
      const known = this.#idOf(peer, call)
      const id = typeof known === 'string' ? known : await known
      leave = this.#gates.tryEnter(id) ?? (await this.#gates.enter(id, call))
      const answer = await this.#ask(id, type, body, call)
      const response = decodeResponse(type, answer)
      tally.succeeded(call.elapsedMs)
      return response
    } catch (error) {
      tally.failed(error, call.elapsedMs)
      throw error
    } finally {
      leave?.()
    }
  }

  handle<Request, Response>(
    type: MessageType<Request, Response>,
    handler: (request: Request, caller: Caller) => Promise<Response> | Response,
  ): void {
    this.#server.handle(type, handler)
  }

  async openStream(
    peer: PeerAddress | NodeId,
    type: StreamType,
    options: CallOptions = {},
  ): Promise<ByteStream> {
    const call = this.#begin(options)
    let leave: (() => void) | undefined
    try {
      const known = this.#idOf(peer, call)
      const id = typeof known === 'string' ? known : await known
      leave = this.#gates.tryEnter(id) ?? (await this.#gates.enter(id, call))
      const pooled = this.#pool.use(id) ?? (await this.#dial(id, call))
      const stream = await pooled.connection.openStream(type.protocol, {
        ...call.rest(),
        trafficClass: type.trafficClass,
      })
      this.#tallies.stream(type, 'ok')
      return stream
    } catch (error) {
      this.#tallies.stream(type, outcomeOf(error))
      throw error
    } finally {
      leave?.()
    }
  }

  handleStream(type: StreamType, handler: (stream: ByteStream, caller: Caller) => Promise<void>): void {
    this.#server.handleStream(type, handler)
  }

  /**
   * Dials what the operator named, private or not, and whether or not the peer is resting. Codes: those
   * of `Transport.connect`; `INVALID_ARGUMENT` when no address is one that a node can have.
   */
  async connect(peer: PeerAddress, options: CallOptions = {}): Promise<NodeId> {
    const call = this.#begin(options)
    if (peer.id !== undefined && this.#pool.use(peer.id) !== undefined) return peer.id
    const addresses = peer.addresses.filter((address) => isDialable(address, { allowPrivate: true }))
    if (addresses.length === 0) {
      throw new EspalierError('INVALID_ARGUMENT', 'none of the addresses can be dialled')
    }
    const target = peer.id === undefined ? { addresses } : { id: peer.id, addresses }
    const connection = await this.#connector.connect(target, call.rest())
    return this.#adopt(connection).connection.peer
  }

  onPeer(listener: PeerListener): void {
    this.#listeners.push(listener)
  }

  addressesOf(id: NodeId): readonly Address[] {
    return this.#peers.addressesOf(id)
  }

  learn(peer: { readonly id: NodeId; readonly addresses: readonly Address[] }): void {
    if (peer.id !== this.localId) this.#peers.learn(peer.id, peer.addresses)
  }

  #begin(options: CallOptions): Call {
    if (this.#state === 'stopped') throw closed()
    if (this.#state === 'new') throw new EspalierError('INVALID_STATE', 'the network is not started')
    return new Call(this.#env.clock, options, CALL_TIMEOUT_MS)
  }

  /** The id alone where it is known, so that the common case waits for nothing. */
  #idOf(peer: PeerAddress | NodeId, call: Call): NodeId | Promise<NodeId> {
    const id = typeof peer === 'string' ? peer : peer.id
    if (id === this.localId) {
      throw new EspalierError('INVALID_ARGUMENT', 'a node does not call itself over the network')
    }
    if (typeof peer === 'string') return peer
    if (id === undefined) return this.connect(peer, call.rest())
    this.#peers.learn(id, peer.addresses)
    return id
  }

  /** Over the pooled connection, else with the dial of a new one where the request may be answered twice. */
  async #ask(
    id: NodeId,
    type: Omit<StreamType, 'name'> & Pick<MessageType<never, never>, 'isIdempotent' | 'maxResponseBytes'>,
    body: Uint8Array,
    call: Call,
  ): Promise<Uint8Array> {
    const { protocol, trafficClass, isIdempotent, maxResponseBytes } = type
    const options = () => ({ ...call.rest(), trafficClass, maxResponseBytes })
    const pooled = this.#pool.use(id)
    if (pooled === undefined && isIdempotent) {
      const answer = this.#dialler.ask(id, call, { protocol, body, ...options() })
      if (answer !== undefined) return answer
    }
    const ready = pooled ?? (await this.#dial(id, call))
    return this.#occupy(ready, () => ready.connection.request(protocol, body, options()))
  }

  async #dial(id: NodeId, call: Call): Promise<Pooled> {
    return this.#adopt(await this.#dialler.dial(id, call))
  }

  async #occupy<T>(pooled: Pooled, use: () => Promise<T>): Promise<T> {
    pooled.busy += 1
    try {
      return await use()
    } finally {
      pooled.busy -= 1
    }
  }

  /** Takes a connection into the pool, once, whichever way it is seen first. */
  #adopt(connection: Connection): Pooled {
    const known = this.#adopted.get(connection)
    if (known !== undefined) return known
    const pooled = this.#pool.add(connection)
    this.#adopted.set(connection, pooled)
    void connection.closed.then((reason) => {
      this.#pool.remove(pooled)
      pooled.end(reason)
    })
    const { peer: id, remote, outbound } = connection
    this.#peers.succeeded(id, remote)
    for (const listener of this.#listeners) {
      try {
        listener({ id, remote, outbound })
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error)
        this.#env.log.error('a peer listener failed', { reason })
      }
    }
    this.#pool.surplus(pooled)?.connection.close(CLOSE_SURPLUS)
    return pooled
  }
}

const OPTIONS = {
  allowPrivate: flag({ default: false }),
  maxConnections: limit(NET_LIMITS.maxConnections),
  maxRequestsPerPeer: limit(NET_LIMITS.maxRequestsPerPeer),
  maxRequests: limit(NET_LIMITS.maxRequests),
  maxQueuedRequests: integer({ min: 0, max: 1_000_000, default: NET_LIMITS.maxQueuedRequests }),
  maxServedPerPeer: limit(NET_LIMITS.maxServedPerPeer),
  maxServed: limit(NET_LIMITS.maxServed),
  requestsPerSecond: limit(NET_LIMITS.requestsPerSecond),
  requestBurst: limit(NET_LIMITS.requestBurst),
  maxPeers: limit(NET_LIMITS.maxPeers),
}

function limit(byDefault: number) {
  return integer({ min: 1, max: 1_000_000, default: byDefault })
}

function decodeResponse<Response>(
  type: Pick<MessageType<unknown, Response>, 'name' | 'decodeResponse'>,
  answer: Uint8Array,
): Response {
  try {
    return type.decodeResponse(answer)
  } catch (error) {
    throw asViolation(error, `${type.name} answer`)
  }
}

function closed(): EspalierError {
  return new EspalierError('CLOSED', 'the network is closed')
}
