import { EspalierError } from '../base/error.ts'
import type { NodeId } from '../base/identity.ts'
import type { Address, PeerAddress } from '../net/address.ts'
import { CALL_TIMEOUT_MS, NET_LIMITS } from '../net/limits.ts'
import type { MessageType, StreamType } from '../net/message.ts'
import type { Caller, RpcPort } from '../net/rpc-port.ts'
import type { ByteStream, CallOptions } from '../net/transport.ts'
import { Bits } from './bits.ts'
import { IDLE_MS } from './network.ts'
import { SimCall, type Ending } from './rpc-call.ts'
import { SimMeeting } from './rpc-meeting.ts'
import type { Card, Fabric } from './rpc-fabric.ts'

const FIRST_BACK_OFF_MS = 1_000
const MAX_BACK_OFF_MS = 30_000

type PeerListener = Parameters<RpcPort['onPeer']>[0]

/** A type of message with who answers it. */
interface Served {
  readonly type: object
  readonly handler: (request: never, caller: Caller) => unknown
}

/** The network as the services of one simulated node see it. */
export class SimRpc implements RpcPort, Card {
  readonly localId: NodeId
  /** The node's number in its network: what the tables of all nodes are indexed by. */
  readonly index: number
  readonly address: Address
  /** Where the node stands on the map, each from 0 to 1. */
  readonly place: { readonly x: number; readonly y: number }
  readonly #network: Fabric
  readonly #addresses: readonly Address[]
  /** Bounded by the message types of the services. */
  readonly #served = new Map<number, Served>()
  /** Nodes whose true address is known. */
  readonly #known = new Bits()
  /** Nodes with whom a handshake was done. */
  readonly #linked = new Bits()
  /** What was told about others at addresses that are not theirs. Bounded by the limit of the real book. */
  #rumours: Map<NodeId, readonly Address[]> | undefined
  /** Nodes that did not answer a dial. Bounded by the nodes of the world. */
  #resting: Map<NodeId, { failures: number; untilMs: number }> | undefined
  /** Bounded by the services that ask. */
  readonly #listeners: PeerListener[] = []
  /** Bounded by what the services wait for; all have a time-out. */
  readonly #calls = new Set<Ending>()
  #state: 'new' | 'up' | 'down' = 'new'
  downSinceMs = 0

  /** Made by {@link SimRpcNetwork.attach}. */
  constructor(
    network: Fabric,
    options: {
      readonly id: NodeId
      readonly index: number
      readonly address: Address
      readonly place: { readonly x: number; readonly y: number }
    },
  ) {
    this.#network = network
    this.localId = options.id
    this.index = options.index
    this.address = options.address
    this.place = options.place
    this.#addresses = [options.address]
  }

  /** What the node tells about itself; the same array every time. */
  get addresses(): readonly Address[] {
    return this.#addresses
  }

  /** Whether it answers. */
  get isUp(): boolean {
    return this.#state === 'up'
  }

  /** Starts to accept. `CLOSED` after `stop`, `INVALID_STATE` for another time. */
  start(): void {
    if (this.#state === 'down') throw closed()
    if (this.#state !== 'new') throw new EspalierError('INVALID_STATE', 'already started')
    this.#state = 'up'
  }

  /** Ends every call with `CLOSED` and answers nobody any more; the others are not told. */
  stop(): void {
    this.#state = 'down'
    this.downSinceMs = this.#network.world.nowMs
    for (const call of [...this.#calls]) call.fail(closed())
  }

  request<Request, Response>(
    peer: PeerAddress | NodeId,
    type: MessageType<Request, Response>,
    request: Request,
    options: CallOptions = {},
  ): Promise<Response> {
    if (typeof peer !== 'string' && peer.id === undefined) {
      return this.connect(peer, options).then((id) => this.request(id, type, request, options))
    }
    return new Promise((resolve, reject) => {
      this.#check(options)
      const to = this.#peerOf(peer)
      const addresses = to === undefined ? this.#rumoursOf(peer) : to.addresses
      const deps = { network: this.#network, from: this, to, type, addresses }
      const call = new SimCall(deps, request, {
        resolve,
        reject,
        ended: (ending) => this.#calls.delete(ending),
      })
      this.#calls.add(call)
      call.start(options, CALL_TIMEOUT_MS)
    })
  }

  handle<Request, Response>(
    type: MessageType<Request, Response>,
    handler: (request: Request, caller: Caller) => Promise<Response> | Response,
  ): void {
    if (this.#served.has(type.protocol)) {
      throw new EspalierError(
        'INVALID_STATE',
        `${type.name}: protocol ${type.protocol} has a handler already`,
      )
    }
    this.#served.set(type.protocol, { type, handler })
  }

  /** Takes the place of what `handle` was given, and answers that: how an adversary makes a node lie. */
  replaceHandler<Request, Response>(
    type: MessageType<Request, Response>,
    handler: (request: Request, caller: Caller) => Promise<Response> | Response,
  ): (request: Request, caller: Caller) => Promise<Response> | Response {
    const former = this.#handlerOf(type)
    this.#served.delete(type.protocol)
    this.handle(type, handler)
    return former
  }

  /** `UNSUPPORTED`: streams need `SimTransport`. */
  openStream(): Promise<ByteStream> {
    return Promise.reject(new EspalierError('UNSUPPORTED', 'this network carries requests only'))
  }

  /** Nobody can open one here. */
  handleStream(type: StreamType): void {
    if (this.#served.has(type.protocol)) {
      throw new EspalierError(
        'INVALID_STATE',
        `${type.name}: protocol ${type.protocol} has a handler already`,
      )
    }
  }

  connect(peer: PeerAddress, options: CallOptions = {}): Promise<NodeId> {
    return new Promise((resolve, reject) => {
      this.#check(options)
      const meeting = new SimMeeting({ network: this.#network, from: this }, peer, {
        resolve,
        reject,
        ended: (ending) => this.#calls.delete(ending),
      })
      this.#calls.add(meeting)
      meeting.start(options, CALL_TIMEOUT_MS)
    })
  }

  onPeer(listener: PeerListener): void {
    this.#listeners.push(listener)
  }

  addressesOf(id: NodeId): readonly Address[] {
    const node = this.#network.node(id)
    if (node !== undefined && this.#known.has(node.index)) return node.addresses
    return this.#rumours?.get(id) ?? []
  }

  learn({ id, addresses }: { readonly id: NodeId; readonly addresses: readonly Address[] }): void {
    const node = this.#network.node(id)
    if (node === this || addresses.length === 0) return
    if (node !== undefined && (addresses === node.addresses || includes(addresses, node.address))) {
      this.#known.add(node.index)
      // What was told now is new: the failures were those of other addresses.
      if (this.#rumours?.delete(id) === true) this.#resting?.delete(id)
      return
    }
    if (node !== undefined && this.#known.has(node.index)) return
    this.#rumours ??= new Map()
    this.#rumours.set(id, addresses)
    const [oldest] = this.#rumours.keys()
    if (this.#rumours.size > NET_LIMITS.maxPeers && oldest !== undefined) this.#rumours.delete(oldest)
  }

  /**
   * Answers a request that has arrived: what the handler answers, throws or promises.
   */
  serve<Request, Response>(
    type: MessageType<Request, Response>,
    request: Request,
    caller: Caller,
  ): Promise<Response> | Response {
    return this.#handlerOf(type)(request, caller)
  }

  /**
   * Whether requests to it need no handshake first.
   */
  isLinkedTo(peer: Card): boolean {
    if (!this.#linked.has(peer.index)) return false
    if (!peer.isUp && this.#network.world.nowMs - peer.downSinceMs > IDLE_MS) this.#linked.delete(peer.index)
    return this.#linked.has(peer.index)
  }

  /**
   * A handshake with it is done.
   */
  link(peer: Card, outbound: boolean): void {
    this.#known.add(peer.index)
    this.#resting?.delete(peer.localId)
    if (!this.#linked.add(peer.index)) return
    for (const listener of this.#listeners) listener({ id: peer.localId, remote: peer.address, outbound })
  }

  /**
   * The other side knows nothing of a connection any more.
   */
  unlink(peer: Card): void {
    this.#linked.delete(peer.index)
  }

  /**
   * It did not answer a dial: it is not dialled again for a second, then two, up to half a minute.
   */
  rest(id: NodeId): void {
    this.#resting ??= new Map()
    const failures = this.#resting.get(id)?.failures ?? 0
    const restMs = Math.min(MAX_BACK_OFF_MS, FIRST_BACK_OFF_MS * 2 ** failures)
    this.#resting.set(id, { failures: failures + 1, untilMs: this.#network.world.nowMs + restMs })
  }

  #handlerOf<Request, Response>(
    type: MessageType<Request, Response>,
  ): (request: Request, caller: Caller) => Promise<Response> | Response {
    const served = this.#served.get(type.protocol)
    if (served?.type !== type) {
      throw new EspalierError('UNSUPPORTED', `protocol ${type.protocol} is not served`)
    }
    // The one decoding edge of this network: the types of the message are those of its handler.
    return served.handler as (request: Request, caller: Caller) => Promise<Response> | Response
  }

  #rumoursOf(peer: PeerAddress | NodeId): readonly Address[] {
    const id = typeof peer === 'string' ? peer : peer.id
    return (id === undefined ? undefined : this.#rumours?.get(id)) ?? []
  }

  #check({ signal, timeoutMs }: CallOptions): void {
    if (this.#state === 'down') throw closed()
    if (this.#state === 'new') throw new EspalierError('INVALID_STATE', 'the network is not started')
    if (timeoutMs !== undefined && !(timeoutMs >= 0)) {
      throw new EspalierError('INVALID_ARGUMENT', 'timeoutMs must be a number from 0')
    }
    if (signal?.aborted === true) {
      throw new EspalierError('ABORTED', 'the caller gave up', { cause: signal.reason })
    }
  }

  /** Whom a request goes to. Throws what a dial that is not even begun ends with. */
  #peerOf(peer: PeerAddress | NodeId): Card | undefined {
    const id = typeof peer === 'string' ? peer : peer.id
    if (id === this.localId || id === undefined) {
      throw new EspalierError('INVALID_ARGUMENT', 'a request goes to another node, named by its id')
    }
    if (typeof peer !== 'string') this.learn({ id, addresses: peer.addresses })
    const node = this.#network.node(id)
    const isKnown = node !== undefined && this.#known.has(node.index)
    if (isKnown && this.isLinkedTo(node)) return node
    if (!isKnown && this.#rumours?.has(id) !== true) {
      throw new EspalierError('PEER_UNREACHABLE', `no address of ${id} is known`)
    }
    const restMs = (this.#resting?.get(id)?.untilMs ?? 0) - this.#network.world.nowMs
    if (restMs > 0) {
      const details = { retryAfterMs: restMs }
      throw new EspalierError('PEER_UNREACHABLE', `${id} did not answer; it is not dialled again yet`, {
        details,
      })
    }
    return isKnown ? node : undefined
  }
}

function includes(addresses: readonly Address[], { host, port }: Address): boolean {
  return addresses.some((address) => address.port === port && address.host === host)
}

function closed(): EspalierError {
  return new EspalierError('CLOSED', 'the network is closed')
}
