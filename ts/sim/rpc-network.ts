import { EspalierError } from '../base/error.ts'
import type { NodeId } from '../base/identity.ts'
import { checkOptions, integer, number } from '../base/options.ts'
import { formatAddress, type Address } from '../net/address.ts'
import { Deadlines } from './deadlines.ts'
import type { Stand } from './rpc-fabric.ts'
import { SimRpc } from './rpc.ts'
import type { SeededRng } from './rng.ts'
import { MAX_DELAY_MS, type World } from './world.ts'

const PORT = 4_840
const WEATHER = {
  lossRatio: number({ min: 0, max: 1, default: 0 }),
  jitterMs: integer({ min: 0, max: MAX_DELAY_MS, default: 0 }),
}

/** One way between neighbours, and what the whole width of the map adds. */
const NEAREST_MS = 5
const FARTHEST_MS = 75

/**
 * How messages travel between simulated nodes.
 *
 * @category Simulator
 */
export interface SimRpcNetworkOptions {
  /** One-way delay between two nodes. Default: 5 to 80 ms by the distance of their places on a map, drawn by the seed. */
  readonly latencyMs?: (a: NodeId, b: NodeId) => number
  /**
   * `values` hands messages over as they are; `bytes` sends each through the codec of its type, with the
   * limits of its size, as the wire does. Default `values`.
   */
  readonly wire?: 'values' | 'bytes'
}

// A `Fabric`. To say `implements` would ask the declarations for the members that they leave out as internal.
/**
 * Requests between thousands of nodes, without transport, connections and codecs: what services see of the
 * network, and nothing below. Pools, rate limits and streams are left to `SimTransport`.
 */
export class SimRpcNetwork {
  readonly world: World
  readonly wire: 'values' | 'bytes'
  /** @internal */
  readonly deadlines: Deadlines
  /** Requests that arrived, by the name of their message. Bounded by the message types. */
  readonly arrivals = new Map<string, number>()
  /** The latest incarnation of each node, by number. Bounded by the nodes of the world. */
  readonly #nodes: SimRpc[] = []
  readonly #byId = new Map<NodeId, SimRpc>()
  readonly #byAddress = new Map<string, SimRpc>()
  readonly #latencyMs: ((a: NodeId, b: NodeId) => number) | undefined
  readonly #places: SeededRng
  readonly #weather: SeededRng
  /** Group of each node, by number, while the network is split; bounded by the nodes of the world. */
  #groups: readonly (number | undefined)[] = []
  #lossRatio = 0
  #jitterMs = 0

  constructor(world: World, options: SimRpcNetworkOptions = {}) {
    this.world = world
    this.wire = options.wire ?? 'values'
    this.deadlines = new Deadlines(world)
    this.#latencyMs = options.latencyMs
    this.#places = world.rng.split('places')
    this.#weather = world.rng.split('weather')
  }

  /** Requests that arrived so far. */
  get requests(): number {
    let sum = 0
    for (const count of this.arrivals.values()) sum += count
    return sum
  }

  /** A network card for a node; for one that crashed a new one, at the same address. */
  attach(id: NodeId): SimRpc {
    const earlier = this.#byId.get(id)
    if (earlier?.isUp === true) throw new EspalierError('INVALID_STATE', `${id} is attached already`)
    const index = earlier?.index ?? this.#nodes.length
    const place = earlier?.place ?? { x: this.#places.float(), y: this.#places.float() }
    const rpc = new SimRpc(this, { id, index, place, address: earlier?.address ?? addressOf(index) })
    this.#nodes[index] = rpc
    this.#byId.set(id, rpc)
    this.#byAddress.set(formatAddress(rpc.address), rpc)
    return rpc
  }

  /** Whoever has that id, up or not. */
  node(id: NodeId): SimRpc | undefined {
    return this.#byId.get(id)
  }

  /** Whoever has that address, up or not. */
  nodeAt(address: Address): SimRpc | undefined {
    return this.#byAddress.get(formatAddress(address))
  }

  /** Splits the network: nodes of different groups, and unnamed ones, no longer reach each other. */
  partition(groups: readonly (readonly NodeId[])[]): void {
    const numbers: (number | undefined)[] = []
    for (const [number, group] of groups.entries()) {
      for (const id of group) {
        const index = this.#byId.get(id)?.index
        if (index !== undefined) numbers[index] = number
      }
    }
    this.#groups = numbers
    this.world.record(`partition ${groups.map((group) => group.length).join('|')}`)
  }

  /** Ends the partition. */
  heal(): void {
    this.partition([])
  }

  /**
   * From now on every message is lost with `lossRatio` (0 to 1) and sent again after a probe time-out, as QUIC
   * does, and takes up to `jitterMs` (whole milliseconds, at most a day) longer, so that later ones overtake it. Without
   * arguments: fair weather. Throws `INVALID_ARGUMENT` for anything else.
   */
  setWeather(weather: { readonly lossRatio?: number; readonly jitterMs?: number } = {}): void {
    const { lossRatio, jitterMs } = checkOptions(weather, WEATHER, 'weather')
    this.#lossRatio = lossRatio
    this.#jitterMs = jitterMs
    this.world.record(`weather ${lossRatio} ${jitterMs}`)
  }

  /** One-way delay in fair weather. */
  latencyMs(a: Stand, b: Stand): number {
    if (this.#latencyMs !== undefined) return this.#latencyMs(a.localId, b.localId)
    const distance = Math.sqrt((a.place.x - b.place.x) ** 2 + (a.place.y - b.place.y) ** 2)
    return NEAREST_MS + Math.round((FARTHEST_MS * distance) / Math.SQRT2)
  }

  /** Whether no partition lies between two nodes. */
  canReach(a: Stand, b: Stand): boolean {
    return this.#groups[a.index] === this.#groups[b.index]
  }

  /**
   * How long one message takes; nothing when it does not arrive.
   *
   * @internal
   */
  transitMs(from: Stand, to: Stand): number | undefined {
    if (!this.canReach(from, to)) return undefined
    if (this.#lossRatio > 0 && this.#weather.float() < this.#lossRatio) return undefined
    const jitterMs = this.#jitterMs > 0 ? this.#weather.below(this.#jitterMs + 1) : 0
    return this.latencyMs(from, to) + jitterMs
  }

  /** @internal */
  countArrival(name: string): void {
    this.arrivals.set(name, (this.arrivals.get(name) ?? 0) + 1)
  }
}

/** Public-looking; consecutive nodes lie in different /16 networks, as far as there are enough. */
function addressOf(index: number): Address {
  return { host: `${30 + ((index >> 8) & 63)}.${index & 255}.${(index >> 14) & 255}.1`, port: PORT }
}
