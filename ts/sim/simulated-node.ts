import type { Clock } from '../base/clock.ts'
import type { NodeCrypto } from '../base/env.ts'
import { EspalierError } from '../base/error.ts'
import type { NodeId } from '../base/identity.ts'
import { silentLog, type Log } from '../base/log.ts'
import type { Meter } from '../base/metrics.ts'
import { Dht, type DhtOptions } from '../dht/dht.ts'
import { checkBytes, checkInteger } from '../native/check.ts'
import type { Address, PeerAddress } from '../net/address.ts'
import type { CallOptions } from '../net/transport.ts'
import { StubSigner, type Ground } from './crypto.ts'
import type { BytePool } from './byte-pool.ts'
import { SimDisk } from './disk.ts'
import type { SimRpcNetwork } from './rpc-network.ts'
import type { SimRpc } from './rpc.ts'

/** A wall clock that is off by more than 31 years tells no test anything. */
const MAX_SKEW_MS = 1e12

/** What a simulated node is made of. */
export interface NodeParts {
  readonly network: SimRpcNetwork
  readonly name: string
  readonly metrics: Meter
  readonly pool: BytePool
  readonly log?: Log | undefined
  readonly dht?: Omit<DhtOptions, 'ownAddresses'> | undefined
  /** Where its id is to be. Default: anywhere. */
  readonly near?: Ground | undefined
}

/**
 * One node of a {@link simulatedNetwork}: the table and the records of the product, over simulated network,
 * disk, clock and signatures.
 *
 * @category Simulator
 */
export class SimulatedNode {
  readonly id: NodeId
  /** What it keeps over crashes, and what goes wrong there. */
  readonly disk: SimDisk
  readonly #parts: NodeParts
  readonly #crypto: StubSigner
  readonly #rng
  /** Its wall clock is off by this. */
  #skewMs = 0
  /** Of the present incarnation. */
  #state: 'new' | 'starting' | 'up' | 'down' = 'new'
  #rpc: SimRpc
  #dht: Dht

  /** @internal */
  constructor(parts: NodeParts) {
    this.#parts = parts
    const { world } = parts.network
    this.#rng = world.rng.split(`node ${parts.name}`)
    this.#crypto = new StubSigner(this.#rng.split('key'), parts.near)
    this.id = this.#crypto.id
    this.disk = new SimDisk(world, { rng: this.#rng.split('disk'), clock: this.#clock, pool: parts.pool })
    this.#rpc = parts.network.attach(this.id)
    this.#dht = this.#makeDht()
  }

  /** Where it is reached. */
  get address(): Address {
    return this.#rpc.address
  }

  /** Whether it runs. */
  get isUp(): boolean {
    return this.#rpc.isUp
  }

  /**
   * The table of the present incarnation.
   *
   * @internal
   */
  get dht(): Dht {
    return this.#dht
  }

  /**
   * The network of the present incarnation.
   *
   * @internal
   */
  get rpc(): SimRpc {
    return this.#rpc
  }

  /**
   * What it signs with: for adversaries, who sign what no table would.
   *
   * @internal
   */
  get crypto(): NodeCrypto {
    return this.#crypto
  }

  /**
   * Starts to answer and to look after its table. `crash` and `start` again are a restart, and so is another `start`
   * after one that failed. Codes: `INVALID_STATE` (it runs or starts already), `STORAGE_CORRUPT`, `CLOSED` (it crashed
   * meanwhile).
   */
  async start(): Promise<void> {
    if (this.#state === 'starting' || this.#state === 'up') {
      throw new EspalierError('INVALID_STATE', 'the node runs already')
    }
    if (this.#state === 'down') {
      this.#rpc = this.#parts.network.attach(this.id)
      this.#dht = this.#makeDht()
    }
    this.#state = 'starting'
    const [rpc, dht] = [this.#rpc, this.#dht]
    try {
      await dht.load()
      rpc.start()
      await dht.start()
      if (rpc.isUp) this.#state = 'up'
    } catch (error) {
      // Else it crashed meanwhile, and the next incarnation may run already.
      if (this.#rpc === rpc) this.crash()
      throw error
    }
  }

  /** Joins through nodes that are known by address. Codes: `PEER_UNREACHABLE`, `TIMEOUT`, `CLOSED`. */
  join(peers: readonly PeerAddress[], options: CallOptions = {}): Promise<void> {
    return this.#dht.bootstrap(peers, options)
  }

  /** Ends as `kill -9` does: nobody is told, and what was not on disk is gone. A node that does not run stays so. */
  crash(): void {
    this.#state = 'down'
    this.disk.crash()
    this.#rpc.stop()
    // What a dead process no longer runs. What it still tries to write is refused.
    this.#dht.stop().catch(() => undefined)
  }

  /**
   * From now on the wall clock shows so much more than that of the world; liveness goes by another clock. Throws
   * `INVALID_ARGUMENT` for what is no whole number from −10¹² to 10¹².
   */
  setClockSkew(skewMs: number): void {
    this.#skewMs = checkInteger('skewMs', skewMs, -MAX_SKEW_MS, MAX_SKEW_MS)
  }

  /** Stores a named value of this node, as `EspalierNode.put` does. */
  async put(
    name: string,
    value: Uint8Array,
    options: CallOptions & { readonly expectSequence?: number } = {},
  ): Promise<{ readonly sequence: number; readonly accepted: readonly NodeId[] }> {
    return this.#dht.putValue(name, checkBytes('value', value), options)
  }

  /** Reads a named value, as `EspalierNode.get` does; default owner: this node. */
  get(
    name: string,
    { owner = this.id, ...options }: CallOptions & { readonly owner?: NodeId } = {},
  ): Promise<{ readonly value: Uint8Array; readonly sequence: number } | undefined> {
    return this.#dht.getValue(name, { owner }, options)
  }

  /** Nodes in the routing table. */
  peers(): readonly { readonly id: NodeId; readonly addresses: readonly Address[] }[] {
    return this.#dht.peers()
  }

  get #clock(): Clock {
    const { clock } = this.#parts.network.world
    return { ...clock, unixMs: () => clock.unixMs() + this.#skewMs }
  }

  #makeDht(): Dht {
    const { log = silentLog, metrics, dht = {} } = this.#parts
    const rpc = this.#rpc
    const env = { clock: this.#clock, rng: this.#rng, log, metrics, crypto: this.#crypto }
    return new Dht({ rpc, env, store: this.disk.open() }, { ...dht, ownAddresses: () => rpc.addresses })
  }
}
