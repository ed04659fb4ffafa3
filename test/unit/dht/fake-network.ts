import type { Env, NodeCrypto } from '../../../ts/base/env.ts'
import { EspalierError, toEspalierError } from '../../../ts/base/error.ts'
import { keyOfNode, type NodeId } from '../../../ts/base/identity.ts'
import { silentLog, type Log } from '../../../ts/base/log.ts'
import { Meter } from '../../../ts/base/metrics.ts'
import { nodeIdOf } from '../../../ts/base/record.ts'
import { compareDistance } from '../../../ts/dht/key.ts'
import { Dht, type DhtOptions } from '../../../ts/dht/dht.ts'
import { deriveKey, hash } from '../../../ts/native/hash.ts'
import { SigningKey, verify } from '../../../ts/native/sign.ts'
import { formatAddress, type Address, type PeerAddress } from '../../../ts/net/address.ts'
import type { MessageType } from '../../../ts/net/message.ts'
import type { Caller, RpcPort } from '../../../ts/net/rpc-port.ts'
import type { CallOptions } from '../../../ts/net/transport.ts'
import { World } from '../../../ts/sim/world.ts'
import { memoryStore } from '../../../ts/storage/memory.ts'
import type { Store } from '../../../ts/storage/store.ts'

type Serve = (body: Uint8Array, caller: Caller) => Promise<Uint8Array>

/** Stands in for `Rpc` and all below it: real messages, real ids, no sockets and no time. */
export class FakeNetwork {
  readonly world: World
  readonly ports = new Map<NodeId, FakePort>()
  readonly #byAddress = new Map<string, FakePort>()
  /** Requests that reached a peer, by message name. */
  readonly counts = new Map<string, number>()

  #keys = 0

  constructor(seed: string) {
    this.world = new World({ seed })
  }

  get nodes(): readonly FakeNode[] {
    return [...this.ports.values()].flatMap(({ node }) => (node === undefined ? [] : [node]))
  }

  /** The next of a series of keys that the seed fixes. */
  nextCrypto(): NodeCrypto {
    this.#keys += 1
    return realCrypto(this.world.rng.split(`key ${this.#keys}`).bytes(32))
  }

  port(id: NodeId): FakePort {
    const number = this.#byAddress.size + 1
    const address = { host: `10.${number >> 16}.${(number >> 8) & 255}.${number & 255}`, port: 4_840 }
    const port = new FakePort(this, { id, address })
    this.attach(port)
    return port
  }

  attach(port: FakePort): void {
    this.ports.set(port.localId, port)
    this.#byAddress.set(formatAddress(port.address), port)
  }

  at(address: Address): FakePort | undefined {
    return this.#byAddress.get(formatAddress(address))
  }

  /** The ids nearest to a key among all serving nodes that are up: what a look-up should find. */
  oracle(target: Uint8Array, count: number, without?: NodeId): NodeId[] {
    return this.nodes
      .filter(({ id, port, serves }) => port.isUp && serves && id !== without)
      .map(({ id }) => id)
      .sort((x, y) => compareDistance(target as never, { a: keyOfNode(x), b: keyOfNode(y) }))
      .slice(0, count)
  }
}

/** One node's view of the fake network. */
export class FakePort implements RpcPort {
  readonly localId: NodeId
  readonly address: Address
  node: FakeNode | undefined
  isUp = true
  /** How long it takes to answer, in simulated time. */
  delayMs = 0
  readonly #network: FakeNetwork
  readonly #book = new Map<NodeId, Address[]>()
  readonly #connected = new Set<NodeId>()
  readonly #handlers = new Map<number, Serve>()

  constructor(network: FakeNetwork, self: { readonly id: NodeId; readonly address: Address }) {
    this.#network = network
    this.localId = self.id
    this.address = self.address
  }

  async request<Request, Response>(
    peer: PeerAddress | NodeId,
    type: MessageType<Request, Response>,
    request: Request,
    options: CallOptions = {},
  ): Promise<Response> {
    const id = typeof peer === 'string' ? peer : peer.id!
    if (typeof peer !== 'string') this.learn({ id, addresses: peer.addresses })
    const body = type.encodeRequest(request)
    if (body.byteLength > type.maxRequestBytes) throw new EspalierError('LIMIT_EXCEEDED', type.name)
    const target = this.#dial(id)
    await Promise.resolve()
    if (options.signal?.aborted === true) throw new EspalierError('ABORTED', 'given up')
    this.#network.counts.set(type.name, (this.#network.counts.get(type.name) ?? 0) + 1)
    const signal = options.signal ?? new AbortController().signal
    const served = target.#serve(type.protocol, body, { id: this.localId, remote: this.address, signal })
    const answer = await this.#inTime(served, options)
    if (!target.isUp) throw new EspalierError('CONNECTION_LOST', 'the peer went away')
    if (answer.byteLength > type.maxResponseBytes) throw new EspalierError('LIMIT_EXCEEDED', type.name)
    return type.decodeResponse(answer)
  }

  handle<Request, Response>(
    type: MessageType<Request, Response>,
    handler: (request: Request, caller: Caller) => Promise<Response> | Response,
  ): void {
    this.handleRaw(type.protocol, async (body, caller) =>
      type.encodeResponse(await handler(type.decodeRequest(body), caller)),
    )
  }

  /** For liars: any bytes as an answer. A later handler of the same protocol takes its place. */
  handleRaw(protocol: number, serve: Serve): void {
    this.#handlers.set(protocol, serve)
  }

  async connect(peer: PeerAddress): Promise<NodeId> {
    await Promise.resolve()
    const target = peer.addresses
      .map((address) => this.#network.at(address))
      .find((port) => port?.isUp === true)
    if (target === undefined) throw new EspalierError('PEER_UNREACHABLE', 'nobody is there')
    if (peer.id !== undefined && peer.id !== target.localId)
      throw new EspalierError('PEER_MISMATCH', 'another')
    this.#meet(target)
    return target.localId
  }

  addressesOf(id: NodeId): readonly Address[] {
    return this.#book.get(id) ?? []
  }

  learn({ id, addresses }: { readonly id: NodeId; readonly addresses: readonly Address[] }): void {
    const all = [...(this.#book.get(id) ?? []), ...addresses]
    const distinct = [...new Map(all.map((address) => [formatAddress(address), address])).values()]
    if (distinct.length > 0) this.#book.set(id, distinct.slice(0, 8))
  }

  onPeer(): void {
    // Nothing here listens to bare handshakes.
  }

  openStream(): never {
    throw new EspalierError('UNSUPPORTED', 'no streams here')
  }

  handleStream(): never {
    throw new EspalierError('UNSUPPORTED', 'no streams here')
  }

  /** The answer, unless simulated time or the caller's patience ends before. */
  #inTime(served: Promise<Uint8Array>, options: CallOptions): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      const timer = this.#network.world.clock.setTimer(options.timeoutMs ?? 10_000, () => {
        reject(new EspalierError('TIMEOUT', 'no answer'))
      })
      const onAbort = (): void => reject(new EspalierError('ABORTED', 'given up'))
      options.signal?.addEventListener('abort', onAbort, { once: true })
      const end = (): void => {
        timer.cancel()
        options.signal?.removeEventListener('abort', onAbort)
      }
      served.finally(end).then(resolve, reject)
    })
  }

  #dial(id: NodeId): FakePort {
    const isConnected = this.#connected.has(id)
    const known = isConnected
      ? this.#network.ports.get(id)
      : this.addressesOf(id)
          .map((address) => this.#network.at(address))
          .find((port) => port?.localId === id)
    if (known?.isUp !== true || !this.isUp) throw new EspalierError('PEER_UNREACHABLE', 'nobody is there')
    this.#meet(known)
    return known
  }

  #meet(target: FakePort): void {
    this.#connected.add(target.localId)
    target.#connected.add(this.localId)
    this.#book.set(target.localId, [target.address])
  }

  async #serve(protocol: number, body: Uint8Array, caller: Caller): Promise<Uint8Array> {
    const handler = this.#handlers.get(protocol)
    if (handler === undefined) throw new EspalierError('UNSUPPORTED', 'no handler')
    if (this.delayMs > 0) {
      await new Promise<void>((resolve) => {
        this.#network.world.clock.setTimer(this.delayMs, resolve)
      })
    }
    try {
      return await handler(body, caller)
    } catch (thrown) {
      // Only the code and a text travel.
      throw new EspalierError(toEspalierError(thrown, 'PEER_REFUSED', 'handler').code, 'refused by the peer')
    }
  }
}

/** A node: a fake port below, the real table, real signatures and a memory store above. */
export class FakeNode {
  readonly network: FakeNetwork
  readonly port: FakePort
  readonly id: NodeId
  readonly env: Env
  readonly store: Store
  readonly dht: Dht
  readonly serves: boolean

  constructor(
    network: FakeNetwork,
    options: DhtOptions & {
      readonly crypto?: NodeCrypto
      readonly store?: Store
      readonly log?: Log
      /** Comes back under the same id and address. */
      readonly port?: FakePort
      readonly skewMs?: number
    } = {},
  ) {
    const { crypto = network.nextCrypto(), store, log = silentLog, port, skewMs = 0, ...dhtOptions } = options
    this.network = network
    this.id = nodeIdOf(crypto, crypto.publicKey)
    this.port = port ?? network.port(this.id)
    this.port.node = this
    const { clock } = network.world
    this.env = {
      clock: { ...clock, unixMs: () => clock.unixMs() + skewMs },
      rng: network.world.rng.split(this.id),
      log,
      metrics: new Meter(),
      crypto,
    }
    this.store = store ?? memoryStore({ clock: this.env.clock })
    this.serves = dhtOptions.serves ?? true
    this.dht = new Dht(
      { rpc: this.port, env: this.env, store: this.store },
      { allowPrivate: true, ownAddresses: () => (this.serves ? [this.port.address] : []), ...dhtOptions },
    )
  }

  /** What another node needs to dial this one. */
  get peer(): PeerAddress & { readonly id: NodeId } {
    return { id: this.id, addresses: [this.port.address] }
  }
}

/** Real ML-DSA-65 and BLAKE3 under a fresh key, or under the key of a seed with signatures that repeat. */
export function realCrypto(seed?: Uint8Array): NodeCrypto {
  const key = seed === undefined ? SigningKey.generate() : SigningKey.fromSeed(seed)
  return {
    publicKey: key.publicKey,
    sign: (message) => key.sign(message, seed === undefined ? {} : { deterministic: true }),
    verify: (publicKey, message, signature) => verify(publicKey, message, signature),
    hash: (bytes) => hash(bytes),
    deriveKey: (context, material) => deriveKey(context, material),
  }
}

/** `count` nodes, started and joined one after the other through the first. */
export async function networkOf(count: number, options: DhtOptions & { readonly seed?: string } = {}) {
  const { seed = `network of ${count}`, ...dhtOptions } = options
  const network = new FakeNetwork(seed)
  const nodes: FakeNode[] = []
  for (let at = 0; at < count; at += 1) {
    const node = new FakeNode(network, dhtOptions)
    await node.dht.start()
    if (nodes[0] !== undefined) await node.dht.bootstrap([nodes[0].peer])
    nodes.push(node)
  }
  return { network, nodes }
}

export async function stopAll(nodes: readonly FakeNode[]): Promise<void> {
  await Promise.all(nodes.map(({ dht }) => dht.stop()))
}
