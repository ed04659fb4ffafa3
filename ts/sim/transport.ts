import { copyBytes } from '../base/bytes.ts'
import { EspalierError } from '../base/error.ts'
import { precedes, type NodeId } from '../base/identity.ts'
import { formatAddress, type Address, type PeerAddress } from '../net/address.ts'
import type {
  CallOptions,
  Connection,
  Dialled,
  FirstRequest,
  Inbound,
  KnownPeer,
  Transport,
} from '../net/transport.ts'
import { SimConnection } from './connection.ts'
import { SimDial } from './dial.ts'
import { SimLink } from './link.ts'
import type { SimEndpoint, SimNetwork } from './network.ts'

const DEFAULT_PORT = 4_840
/** A handshake that has not finished by then is given up by the accepting side. */
const HALF_OPEN_MS = 5_000

/**
 * The simulator's `Transport`: same promises as the real one, over a {@link SimNetwork}.
 *
 * @category Simulator
 */
export class SimTransport implements Transport, SimEndpoint {
  readonly localId: NodeId
  readonly address: Address
  readonly #network: SimNetwork
  /** Live connections by peer. Bounded by the nodes of the world. */
  readonly #connections = new Map<NodeId, SimConnection>()
  /** Bounded by what the callers wait for; each dial has a time-out. */
  readonly #dials = new Map<string, SimDial>()
  /** Peers whose handshake with this side has begun. Bounded by the nodes of the world. */
  readonly #halfOpen = new Set<NodeId>()
  #inbound: Inbound | undefined
  #isClosed = false

  constructor(
    network: SimNetwork,
    options: { readonly id: NodeId; readonly host?: string; readonly port?: number },
  ) {
    this.#network = network
    this.localId = options.id
    this.address = { host: options.host ?? network.newHost(), port: options.port ?? DEFAULT_PORT }
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- failures are rejections, as with real I/O
  async listen(inbound: Inbound): Promise<readonly Address[]> {
    if (this.#isClosed) throw closed()
    if (this.#inbound !== undefined) throw new EspalierError('INVALID_STATE', 'already listening')
    this.#network.attach(this.address, this)
    this.#inbound = inbound
    return [this.address]
  }

  async connect(peer: PeerAddress, options: CallOptions = {}): Promise<Connection> {
    if (this.#isClosed) throw closed()
    if (this.#inbound === undefined) throw new EspalierError('INVALID_STATE', 'listen comes before connect')
    if (peer.id === this.localId) {
      throw new EspalierError('INVALID_ARGUMENT', 'a node does not connect to itself')
    }
    if (options.signal?.aborted === true) {
      throw new EspalierError('ABORTED', 'the caller gave up', { cause: options.signal.reason })
    }
    const existing = peer.id === undefined ? undefined : this.#connections.get(peer.id)
    if (existing !== undefined) return existing
    if (peer.addresses.length === 0) {
      throw new EspalierError('PEER_UNREACHABLE', 'no address of the peer is known')
    }
    return this.#dial(peer).wait(options)
  }

  /** No sessions are resumed here: the request follows the handshake. */
  connectAndAsk(peer: KnownPeer, request: FirstRequest, options: CallOptions = {}): Dialled {
    const connection = this.connect(peer, options)
    // It is sent later, and has to be what was given now.
    const body = request.body instanceof Uint8Array ? copyBytes(request.body) : request.body
    // A caller of its own, with its own patience.
    const answer = this.connect(peer, request).then((ready) => ready.request(request.protocol, body, request))
    // Whoever looks at one of the two only must not be ended by the other.
    connection.catch(() => undefined)
    answer.catch(() => undefined)
    return { connection, answer }
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- as the real one, which waits for its threads
  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    if (this.#inbound !== undefined) this.#network.detach(this.address)
    for (const dial of [...this.#dials.values()]) dial.fail(closed())
    for (const connection of [...this.#connections.values()]) connection.close(0)
  }

  vanish(): void {
    this.#isClosed = true
    for (const dial of [...this.#dials.values()]) dial.fail(closed())
    for (const connection of [...this.#connections.values()]) connection.linkLost(closed())
  }

  /** A dial arrives. Nothing is answered by a node that is closed. */
  #receiveHello(from: NodeId): 'proof' | 'duplicate' | undefined {
    if (this.#isClosed) return undefined
    // The connection dialled by the smaller id survives.
    if (this.#dials.has(from) && precedes(this.localId, from)) return 'duplicate'
    this.#halfOpen.add(from)
    this.#network.world.schedule(HALF_OPEN_MS, () => this.#halfOpen.delete(from))
    return 'proof'
  }

  /** One handshake: half a round trip there, half back. */
  #attempt(dial: SimDial, address: Address): void {
    const target = this.#network.endpointAt(address)
    if (!(target instanceof SimTransport)) return
    const latencyMs = this.#network.latencyMs(this.localId, target.localId)
    const canPass = () => !this.#isClosed && this.#network.canReach(this.localId, target.localId)
    this.#network.world.schedule(latencyMs, () => {
      const answer = canPass() ? target.#receiveHello(this.localId) : undefined
      if (answer === undefined) return
      this.#network.world.schedule(latencyMs, () => {
        if (dial.isDone || !canPass()) return
        if (dial.expected !== undefined && dial.expected !== target.localId) dial.mismatch()
        else if (answer === 'proof') this.#establish(dial, target)
        else this.#network.world.schedule(2 * latencyMs, () => this.#retry(dial, address))
      })
    })
  }

  /** The dial that was to win has not come: it was given up. */
  #retry(dial: SimDial, address: Address): void {
    if (!dial.isDone) this.#attempt(dial, address)
  }

  /** Both ids are proved: this side of the connection is up, the other one when the word arrives there. */
  #establish(dial: SimDial, acceptor: SimTransport): void {
    if (acceptor === this) {
      dial.fail(new EspalierError('PEER_REFUSED', 'the address is our own'))
      return
    }
    const existing = this.#connections.get(acceptor.localId)
    if (existing !== undefined) {
      dial.succeed(existing)
      return
    }
    const link = new SimLink(this.#network, [this.localId, acceptor.localId])
    const mine = this.#newConnection(link, acceptor, true)
    link.send(this.localId, 'connect', () => acceptor.#accept(link, this, mine))
    dial.succeed(mine)
  }

  #accept(link: SimLink, dialler: SimTransport, theirs: SimConnection): void {
    const existing = this.#connections.get(dialler.localId)
    if (this.#isClosed) {
      link.lose('the peer closed')
    } else if (existing?.isUnconfirmed === true && precedes(this.localId, dialler.localId)) {
      link.lose('both sides dialled at once and the other connection is kept')
    } else {
      SimConnection.pair(theirs, this.#newConnection(link, dialler, false))
    }
  }

  #newConnection(link: SimLink, peer: SimTransport, outbound: boolean): SimConnection {
    const inbound = this.#inbound
    if (inbound === undefined) throw closed()
    const connection = new SimConnection(link, inbound, this.#network.world.clock, {
      localId: this.localId,
      peer: peer.localId,
      remote: peer.address,
      outbound,
    })
    // The peer came back before its silence was noticed.
    this.#connections
      .get(peer.localId)
      ?.linkLost(new EspalierError('CONNECTION_LOST', 'the peer has made a new connection'))
    this.#connections.set(peer.localId, connection)
    this.#halfOpen.delete(peer.localId)
    void connection.closed.then(() => {
      if (this.#connections.get(peer.localId) === connection) this.#connections.delete(peer.localId)
    })
    this.#network.world.record(`${this.localId.slice(0, 8)} up ${peer.localId.slice(0, 8)}`)
    inbound.onConnection(connection)
    for (const dial of [...this.#dials.values()]) {
      if (dial.expected === peer.localId) dial.succeed(connection)
    }
    return connection
  }

  #dial(peer: PeerAddress): SimDial {
    const name = peer.id ?? peer.addresses.map(formatAddress).join(' ')
    const known = this.#dials.get(name)
    if (known !== undefined) return known
    const dial: SimDial = new SimDial(this.#network.world.clock, peer, {
      attempt: (address) => this.#attempt(dial, address),
      done: () => this.#dials.delete(name),
    })
    this.#dials.set(name, dial)
    // A peer that is dialling us needs one more half round trip to be connected.
    const isHalfOpen = peer.id !== undefined && this.#halfOpen.has(peer.id)
    dial.start(isHalfOpen ? 2 * this.#network.latencyMs(this.localId, peer.id) : 0)
    return dial
  }
}

function closed(): EspalierError {
  return new EspalierError('CLOSED', 'the transport is closed')
}
