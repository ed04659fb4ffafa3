import { keyOfNode, type Key, type NodeId } from '../../ts/base/identity.ts'
import { compareBytes } from '../../ts/base/bytes.ts'
import { EspalierError } from '../../ts/base/error.ts'
import type { Meter } from '../../ts/base/metrics.ts'
import { Dht } from '../../ts/dht/dht.ts'
import type { Address } from '../../ts/net/address.ts'
import type { RpcPort } from '../../ts/net/rpc-port.ts'
import { Rpc } from '../../ts/net/rpc.ts'
import { simEnv } from '../../ts/sim/env.ts'
import { SimNetwork, type SimNetworkOptions } from '../../ts/sim/network.ts'
import { SimTransport } from '../../ts/sim/transport.ts'
import { World } from '../../ts/sim/world.ts'
import { memoryStore } from '../../ts/storage/memory.ts'
import type { Store } from '../../ts/storage/store.ts'

/** A node with everything real above the transport but its signatures and its disk. */
export interface DhtNode {
  readonly id: NodeId
  readonly address: Address
  readonly rpc: Rpc
  readonly dht: Dht
  readonly store: Store
  readonly metrics: Meter
}

interface NodeOptions {
  /** Its wall clock is off by this. Default 0. */
  readonly skewMs?: number
  /** Default true. */
  readonly serves?: boolean
  /** Answers this kind of request with `LIMIT_EXCEEDED`. */
  readonly refuses?: { readonly protocol: number }
}

/** Nodes with the table and the network services of the product, in simulated time. */
export class DhtNetwork {
  readonly world: World
  readonly sim: SimNetwork
  readonly nodes: DhtNode[] = []
  #made = 0

  constructor(seed: string, options: SimNetworkOptions = {}) {
    this.world = new World({ seed })
    this.sim = new SimNetwork(this.world, options)
  }

  /** Starts `count` nodes, each joining through the first. */
  async grow(count: number, options: NodeOptions = {}): Promise<void> {
    for (let number = 0; number < count; number += 1) {
      const node = this.#make(options)
      await node.rpc.start()
      await node.dht.start()
      const [first] = this.nodes
      this.nodes.push(node)
      if (first === undefined) continue
      await this.world.runUntil(node.dht.bootstrap([{ id: first.id, addresses: [first.address] }]))
    }
  }

  /** Ends a node without a word to the others. */
  kill(node: DhtNode): void {
    this.sim.kill(node.address)
    this.nodes.splice(this.nodes.indexOf(node), 1)
    // What a dead process no longer runs.
    void node.dht.stop()
  }

  /** The ids nearest to `target` among all live nodes but `without`. */
  nearest(target: Key, count: number, without: NodeId): NodeId[] {
    const distanceTo = (id: NodeId) => keyOfNode(id).map((byte, at) => byte ^ (target[at] ?? 0))
    return this.nodes
      .map(({ id }) => id)
      .filter((id) => id !== without)
      .sort((a, b) => compareBytes(distanceTo(a), distanceTo(b)))
      .slice(0, count)
  }

  #make({ skewMs = 0, serves = true, refuses }: NodeOptions): DhtNode {
    const { env: world, id } = simEnv(this.world, { name: `${this.#made}` })
    this.#made += 1
    const { clock } = world
    const env = { ...world, clock: { ...clock, unixMs: () => clock.unixMs() + skewMs } }
    const transport = new SimTransport(this.sim, { id })
    const rpc = new Rpc({ transport, env }, { allowPrivate: false })
    const { address } = transport
    const store = memoryStore({ clock: env.clock })
    const port = refuses === undefined ? rpc : refusing(rpc, refuses.protocol)
    const dht = new Dht({ rpc: port, env, store }, { serves, ownAddresses: () => (serves ? [address] : []) })
    return { id, address, rpc, dht, store, metrics: env.metrics }
  }
}

function refusing(rpc: Rpc, protocol: number): RpcPort {
  const refuse = (): never => {
    throw new EspalierError('LIMIT_EXCEEDED', 'not here')
  }
  return {
    localId: rpc.localId,
    request: (...args) => rpc.request(...args),
    handle: (type, handler) => rpc.handle(type, type.protocol === protocol ? refuse : handler),
    openStream: (...args) => rpc.openStream(...args),
    handleStream: (...args) => rpc.handleStream(...args),
    connect: (...args) => rpc.connect(...args),
    onPeer: (...args) => rpc.onPeer(...args),
    addressesOf: (id) => rpc.addressesOf(id),
    learn: (peer) => rpc.learn(peer),
  }
}
