import { EspalierError } from '../base/error.ts'
import type { NodeId } from '../base/identity.ts'
import { silentLog, type Log } from '../base/log.ts'
import { Meter } from '../base/metrics.ts'
import { checkOptions, oneOf, optional, shape, type CheckedTable } from '../base/options.ts'
import type { DhtOptions } from '../dht/options.ts'
import { ping } from '../dht/wire.ts'
import { checkInteger } from '../native/check.ts'
import { BytePool } from './byte-pool.ts'
import type { Ground } from './crypto.ts'
import { Overlay } from './overlay.ts'
import { SimRpcNetwork, type SimRpcNetworkOptions } from './rpc-network.ts'
import { SimulatedNode } from './simulated-node.ts'
import { World } from './world.ts'

const MAX_SIZE = 100_000
/** Nodes that join at the same time, each through the first. */
const JOINING_TOGETHER = 16
/** As that of the product. */
const BUCKET_SIZE = 20

/**
 * What {@link simulatedNetwork} may be told beside the size.
 *
 * @category Simulator
 */
export interface SimulatedNetworkOptions extends SimRpcNetworkOptions {
  /** Decides about everything that is drawn: equal seeds give equal runs. Default 1. */
  readonly seed?: string | number
  /**
   * `joining`: every node joins through the first, as real ones do. `settled`: the tables are filled as those of
   * a network that has stood for long, which takes a thousandth of the time. Default `joining`.
   */
  readonly start?: 'joining' | 'settled'
  /** Of all nodes. Default: silent. */
  readonly log?: Log
  /**
   * How the tables run.
   *
   * @internal
   */
  readonly dht?: Omit<DhtOptions, 'ownAddresses'>
}

const OPTIONS = {
  seed: shape(
    (value): value is string | number => typeof value === 'string' || Number.isSafeInteger(value),
    'text or a whole number',
    { default: 1 },
  ),
  start: oneOf(['joining', 'settled'], { default: 'joining' }),
  log: shape((value): value is Log => isObject(value), 'a log', {
    default: silentLog,
  }),
  latencyMs: optional(
    shape(
      (value): value is (a: NodeId, b: NodeId) => number => typeof value === 'function',
      'a function of two ids',
    ),
  ),
  wire: oneOf(['values', 'bytes'], { default: 'values' }),
  // The tables check their own.
  dht: optional(shape((value): value is Omit<DhtOptions, 'ownAddresses'> => isObject(value), 'an object')),
}

/**
 * Simulated nodes in their world: see {@link simulatedNetwork}.
 *
 * @category Simulator
 */
export class SimulatedNetwork {
  readonly world: World
  /** @internal */
  readonly network: SimRpcNetwork
  /** What all nodes count together. */
  readonly metrics = new Meter()
  readonly #options: CheckedTable<typeof OPTIONS>
  readonly #pool = new BytePool()
  /** Bounded by what the caller adds. */
  readonly #nodes: SimulatedNode[] = []

  /** @internal */
  constructor(options: SimulatedNetworkOptions) {
    const checked = checkOptions(options, OPTIONS)
    this.#options = checked
    const { seed, wire, latencyMs } = checked
    this.world = new World({ seed })
    this.network = new SimRpcNetwork(this.world, { wire, ...(latencyMs === undefined ? {} : { latencyMs }) })
  }

  /** All nodes, those that crashed too. */
  get nodes(): readonly SimulatedNode[] {
    return this.#nodes
  }

  /** One more node, which does not run yet. */
  add(): SimulatedNode {
    return this.#make()
  }

  /**
   * {@link SimulatedNetwork.add} with an id that is ground until it lies next to a key, as those of Sybils are.
   *
   * @internal
   */
  addNear(near: Ground): SimulatedNode {
    return this.#make(near)
  }

  #make(near?: Ground): SimulatedNode {
    const { log, dht } = this.#options
    const name = `${this.#nodes.length}`
    const node = new SimulatedNode({
      network: this.network,
      name,
      metrics: this.metrics,
      pool: this.#pool,
      log,
      dht,
      near,
    })
    this.#nodes.push(node)
    return node
  }

  /** Lets `durationMs` of simulated time pass. Throws `INVALID_ARGUMENT` for what is no finite number from 0. */
  async run(durationMs: number): Promise<void> {
    await this.world.run(durationMs)
  }

  /** Lets time pass until `promise` settles, and answers its outcome. Throws `TIMEOUT` after a simulated day. */
  async until<T>(promise: Promise<T>): Promise<T> {
    return this.world.runUntil(promise)
  }

  /** Requests that arrived so far, of all nodes. */
  get requests(): number {
    return this.network.requests
  }

  /**
   * From now on every message is lost with `lossRatio` (0 to 1) and sent again after a probe time-out, as QUIC
   * does, and takes up to `jitterMs` (whole milliseconds, at most a day) longer, so that later ones overtake it. Without
   * arguments: fair weather. Throws `INVALID_ARGUMENT` for anything else.
   */
  setWeather(weather: { readonly lossRatio?: number; readonly jitterMs?: number } = {}): void {
    this.network.setWeather(weather)
  }

  /** Splits the network: nodes of different groups, and unnamed ones, no longer reach each other. */
  partition(groups: readonly (readonly NodeId[])[]): void {
    this.network.partition(groups)
  }

  /** Ends the partition. */
  heal(): void {
    this.network.heal()
  }

  /** The ids nearest to `target` among all nodes that run, but for `target` itself: what a look-up should find. */
  nearest(target: NodeId, count: number): readonly NodeId[] {
    const running = this.#nodes.filter(({ isUp, id }) => isUp && id !== target).map(({ id }) => id)
    return new Overlay(running).nearest(target, count)
  }

  /**
   * Starts every node in the way that the options say.
   *
   * @internal
   */
  async startAll(): Promise<void> {
    await (this.#options.start === 'settled' ? this.#settleAll() : this.#joinAll())
  }

  /** Has every node join through the first. */
  async #joinAll(): Promise<void> {
    const [first, ...others] = this.#nodes
    if (first === undefined) return
    await this.until(first.start())
    const known = [{ id: first.id, addresses: [first.address] }]
    for (let at = 0; at < others.length; at += JOINING_TOGETHER) {
      const joining = others.slice(at, at + JOINING_TOGETHER).map(async (node) => {
        await node.start()
        await node.join(known)
      })
      await this.until(Promise.all(joining))
    }
  }

  /** Gives every node the table that it would have after a long time. */
  async #settleAll(): Promise<void> {
    await this.until(Promise.all(this.#nodes.map((node) => node.start())))
    const overlay = new Overlay(this.#nodes.map(({ id }) => id))
    const rng = this.world.rng.split('overlay')
    const { signal } = new AbortController()
    for (const node of this.#nodes) {
      for (const id of overlay.contactsOf(node.id, {
        bucketSize: this.#options.dht?.k ?? BUCKET_SIZE,
        rng,
      })) {
        const other = this.network.node(id)
        if (other === undefined) throw new EspalierError('INVALID_STATE', `${id} is no node of the network`)
        node.rpc.link(other, true)
        other.link(node.rpc, false)
        // As if the other had asked: the table takes it by its own rules.
        void node.rpc.serve(
          ping,
          { serves: true, addresses: other.addresses },
          { id, remote: other.address, signal },
        )
      }
    }
  }
}

/**
 * A network of `size` simulated nodes (1 to 100,000) for tests: the table and the records of the product in
 * virtual time, without sockets, files and waiting. Everything follows from the seed. Throws `INVALID_ARGUMENT`
 * for another size and for options that it does not know.
 *
 * @example
 * ```ts
 * import { simulatedNetwork } from 'espalier/testing'
 *
 * const network = await simulatedNetwork(50, { seed: 7 })
 * const [alice, bob] = network.nodes
 * await network.until(alice!.put('season', Buffer.from('winter')))
 * for (const node of network.nodes.slice(2, 20)) node.crash()
 * await network.run(3_600_000)
 * const found = await network.until(bob!.get('season', { owner: alice!.id }))
 * console.log(Buffer.from(found!.value).toString()) // winter
 * ```
 *
 * @category Simulator
 */
export async function simulatedNetwork(
  size: number,
  options: SimulatedNetworkOptions = {},
): Promise<SimulatedNetwork> {
  checkInteger('size', size, 1, MAX_SIZE)
  const network = new SimulatedNetwork(options)
  while (network.nodes.length < size) network.add()
  await network.startAll()
  return network
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}
