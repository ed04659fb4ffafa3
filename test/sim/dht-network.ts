import { keyOfNode, type Key, type NodeId } from '../../ts/base/identity.ts'
import { compareBytes } from '../../ts/base/bytes.ts'
import type { Meter } from '../../ts/base/metrics.ts'
import { Dht } from '../../ts/dht/dht.ts'
import type { Address } from '../../ts/net/address.ts'
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

/** Nodes with the table and the network services of the product, in simulated time. */
export class DhtNetwork {
  readonly world: World
  readonly sim: SimNetwork
  readonly nodes: DhtNode[] = []

  constructor(seed: string, options: SimNetworkOptions = {}) {
    this.world = new World({ seed })
    this.sim = new SimNetwork(this.world, options)
  }

  /** Starts `count` nodes, each joining through the first. */
  async grow(count: number): Promise<void> {
    for (let number = 0; number < count; number += 1) {
      const node = this.#make()
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

  #make(): DhtNode {
    const { env, id } = simEnv(this.world, { name: `${this.nodes.length}` })
    const transport = new SimTransport(this.sim, { id })
    const rpc = new Rpc({ transport, env }, { allowPrivate: false })
    const { address } = transport
    const store = memoryStore({ clock: env.clock })
    const dht = new Dht({ rpc, env, store }, { serves: true, ownAddresses: () => [address] })
    return { id, address, rpc, dht, store, metrics: env.metrics }
  }
}
