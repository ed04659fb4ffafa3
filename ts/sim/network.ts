import type { NodeId } from '../base/identity.ts'
import { formatAddress, type Address } from '../net/address.ts'
import { EspalierError } from '../base/error.ts'
import type { World } from './world.ts'

/** A silent connection is given up after this, as QUIC's idle time-out does. */
export const IDLE_MS = 30_000

/**
 * What the network knows of a node that listens.
 *
 * @category Simulator
 */
export interface SimEndpoint {
  readonly localId: NodeId
  /** Ends the node as `kill -9` does: nobody is told. */
  vanish(): void
}

/**
 * What the network does to the paths that connections run on.
 *
 * @category Simulator
 */
export interface NetworkPath {
  /** Whether it ends at that node. */
  joins(id: NodeId): boolean
  /** Nothing passes any more, and nobody is told. */
  cut(): void
  /** Both sides are told at once. */
  lose(why: string): void
  /** A partition came or went. */
  reachabilityChanged(): void
}

/**
 * How the simulated network behaves.
 *
 * @category Simulator
 */
export interface SimNetworkOptions {
  /** One-way delay between two nodes. Default: from 5 to 80 ms, fixed for each pair by the seed. */
  readonly latencyMs?: (a: NodeId, b: NodeId) => number
  /** Share of datagrams that get lost. Reliable traffic is only delayed. Default 0. */
  readonly datagramLossRatio?: number
}

/**
 * Who can reach whom, how fast and how reliably.
 *
 * @category Simulator
 */
export class SimNetwork {
  readonly world: World
  /** Bounded by the nodes of the world. */
  readonly #endpoints = new Map<string, SimEndpoint>()
  /** Bounded by pairs of live nodes that are connected. */
  readonly #links = new Set<NetworkPath>()
  readonly #latencyMs: (a: NodeId, b: NodeId) => number
  readonly #lossRatio: number
  readonly #lossRng
  /** Group of each node while the network is split; bounded by the nodes of the world. */
  #groups: ReadonlyMap<NodeId, number> = new Map()
  #nextHost = 0

  constructor(world: World, options: SimNetworkOptions = {}) {
    this.world = world
    this.#latencyMs = options.latencyMs ?? seededLatency(world)
    this.#lossRatio = options.datagramLossRatio ?? 0
    this.#lossRng = world.rng.split('datagram loss')
  }

  /** A fresh public-looking host; consecutive ones lie in different /16 networks. */
  newHost(): string {
    const index = this.#nextHost
    this.#nextHost += 1
    return `${30 + ((index >> 8) & 63)}.${index & 255}.${(index >> 14) & 255}.1`
  }

  /** Throws `INVALID_ARGUMENT` for an address in use. */
  attach(address: Address, endpoint: SimEndpoint): void {
    const name = formatAddress(address)
    if (this.#endpoints.has(name)) throw new EspalierError('INVALID_ARGUMENT', `${name} is in use`)
    this.#endpoints.set(name, endpoint)
  }

  /** Forgets who listens there. */
  detach(address: Address): void {
    this.#endpoints.delete(formatAddress(address))
  }

  /** Who listens there. */
  endpointAt(address: Address): SimEndpoint | undefined {
    return this.#endpoints.get(formatAddress(address))
  }

  /** One-way delay between two nodes. */
  latencyMs(a: NodeId, b: NodeId): number {
    return this.#latencyMs(a, b)
  }

  /** Draws whether the next datagram is lost. */
  losesDatagram(): boolean {
    return this.#lossRatio > 0 && this.#lossRng.float() < this.#lossRatio
  }

  /** Whether no partition lies between two nodes. */
  canReach(a: NodeId, b: NodeId): boolean {
    return this.#groups.get(a) === this.#groups.get(b)
  }

  /** Takes a path into account when the network changes. */
  addLink(link: NetworkPath): void {
    this.#links.add(link)
  }

  /** The opposite of {@link addLink}. */
  removeLink(link: NetworkPath): void {
    this.#links.delete(link)
  }

  /** Splits the network: nodes of different groups, and unnamed ones, no longer reach each other. */
  partition(groups: readonly (readonly NodeId[])[]): void {
    this.#groups = new Map(groups.flatMap((group, index) => group.map((id): [NodeId, number] => [id, index])))
    this.world.record(`partition ${groups.map((group) => group.length).join('|')}`)
    for (const link of this.#links) link.reachabilityChanged()
  }

  /** Ends the partition. What was under way arrives now, unless its connection was given up. */
  heal(): void {
    this.partition([])
  }

  /** The node at `address` dies without a word; its peers find out by their idle time-out. */
  kill(address: Address): void {
    const endpoint = this.endpointAt(address)
    if (endpoint === undefined) return
    this.world.record(`kill ${endpoint.localId}`)
    this.detach(address)
    for (const link of this.#links) {
      if (link.joins(endpoint.localId)) link.cut()
    }
    endpoint.vanish()
  }

  /** Both ends of every connection between two nodes lose it at once. */
  resetConnection(a: NodeId, b: NodeId): void {
    for (const link of [...this.#links]) {
      if (link.joins(a) && link.joins(b)) link.lose('the connection was reset')
    }
  }
}

function seededLatency(world: World): (a: NodeId, b: NodeId) => number {
  const rng = world.rng.split('latency')
  /** Bounded by the pairs that ever spoke. */
  const known = new Map<string, number>()
  return (a, b) => {
    const pair = a < b ? `${a}${b}` : `${b}${a}`
    let latencyMs = known.get(pair)
    if (latencyMs === undefined) {
      // Whole milliseconds let events share instants, which is what makes large worlds fast.
      latencyMs = 5 + rng.split(pair).below(76)
      known.set(pair, latencyMs)
    }
    return latencyMs
  }
}
