import { EspalierError } from '../base/error.ts'
import type { SeededRng } from './rng.ts'
import type { SimulatedNetwork } from './simulated-network.ts'
import type { SimulatedNode } from './simulated-node.ts'

const MINUTE_MS = 60_000
/** On average between two misfortunes of a kind. */
const EVERY_MS = {
  weather: 5 * MINUTE_MS,
  partition: 15 * MINUTE_MS,
  crash: 1.5 * MINUTE_MS,
  disk: 1.5 * MINUTE_MS,
  tear: 8 * MINUTE_MS,
}
/** The longest that each lasts. */
const LONGEST_MS = { partition: 10 * MINUTE_MS, crash: 10 * MINUTE_MS, disk: 10 * MINUTE_MS }
const MAX_LOSS_RATIO = 0.3
const MAX_JITTER_MS = 500
const MAX_SKEW_MS = 60 * MINUTE_MS
const MAX_WRITE_MS = 2_000
/** What one write takes on a disk that is going to tear: nodes save their tables every 10 s, so that some are under way. */
const TEARING_WRITE_MS = 10_000
/** Of all nodes. */
const SKEWED_SHARE = 0.1

/** Everything that can go wrong at once, drawn from one generator, until it ends. */
export class Chaos {
  readonly #network: SimulatedNetwork
  readonly #rng: SeededRng
  /** Nodes whose disks never tear and whose clocks are right. */
  readonly #spared: ReadonlySet<SimulatedNode>
  /** Times that each node crashed. Bounded by the nodes. */
  readonly #crashes = new Map<SimulatedNode, number>()
  #torn = 0
  #isOver = false

  constructor(
    network: SimulatedNetwork,
    options: { readonly rng: SeededRng; readonly spared: readonly SimulatedNode[] },
  ) {
    this.#network = network
    this.#rng = options.rng
    this.#spared = new Set(options.spared)
  }

  /** Tells the incarnations of a node apart. */
  crashesOf(node: SimulatedNode): number {
    return this.#crashes.get(node) ?? 0
  }

  get crashes(): number {
    return [...this.#crashes.values()].reduce((sum, count) => sum + count, 0)
  }

  /** Nodes with a torn row, which did not start any more when all was over. */
  get tornCount(): number {
    return this.#torn
  }

  begin(): void {
    const others = this.#network.nodes.filter((node) => !this.#spared.has(node))
    for (const node of others.slice(0, Math.round(this.#network.nodes.length * SKEWED_SHARE))) {
      node.setClockSkew(this.#rng.below(2 * MAX_SKEW_MS) - MAX_SKEW_MS)
    }
    this.#repeat(EVERY_MS.weather, () =>
      this.#network.setWeather({
        lossRatio: this.#rng.float() * MAX_LOSS_RATIO,
        jitterMs: this.#rng.below(MAX_JITTER_MS),
      }),
    )
    this.#repeat(EVERY_MS.partition, () => this.#split())
    this.#repeat(EVERY_MS.crash, () => this.#crash(this.#anyNode()))
    this.#repeat(EVERY_MS.disk, () => this.#breakDisk(this.#anyNode()))
    this.#repeat(EVERY_MS.tear, () => this.#tear(this.#anyNode()))
  }

  /** All is well from now on: everybody runs but those whose disks are torn. */
  async end(): Promise<void> {
    this.#isOver = true
    this.#network.setWeather()
    this.#network.heal()
    for (const node of this.#network.nodes) {
      node.setClockSkew(0)
      node.disk.setFaults()
      const failure = await this.#network.until(this.#start(node))
      if (failure === 'STORAGE_CORRUPT' && !this.#spared.has(node)) this.#torn += 1
    }
  }

  #repeat(everyMs: number, act: () => void): void {
    this.#after(2 * everyMs, () => {
      act()
      this.#repeat(everyMs, act)
    })
  }

  #after(longestMs: number, act: () => void): void {
    this.#network.world.schedule(1 + this.#rng.below(longestMs), () => {
      if (!this.#isOver) act()
    })
  }

  #anyNode(): SimulatedNode {
    const { nodes } = this.#network
    const node = nodes[this.#rng.below(nodes.length)]
    if (node === undefined) throw new EspalierError('INVALID_STATE', 'a network without nodes')
    return node
  }

  /** Two parts of any sizes. */
  #split(): void {
    const share = this.#rng.float()
    const ids = this.#network.nodes.map(({ id }) => id)
    const one = ids.filter(() => this.#rng.float() < share)
    const inOne = new Set(one)
    this.#network.partition([one, ids.filter((id) => !inOne.has(id))])
    this.#after(LONGEST_MS.partition, () => this.#network.heal())
  }

  #crash(node: SimulatedNode): void {
    if (!node.isUp) return
    node.crash()
    this.#crashes.set(node, this.crashesOf(node) + 1)
    this.#restartLater(node)
  }

  #restartLater(node: SimulatedNode): void {
    this.#after(LONGEST_MS.crash, () => {
      void this.#start(node).then((failure) => {
        if (failure !== undefined) this.#restartLater(node)
      })
    })
  }

  /** As an operator does: a node knows where to join. Answers why it did not start. */
  async #start(node: SimulatedNode): Promise<string | undefined> {
    if (node.isUp) return undefined
    const failure = await codeOf(node.start())
    if (failure !== undefined) return failure
    const known = this.#network.nodes.filter((other) => other.isUp && other !== node).slice(0, 3)
    // Who can join nobody now has the saved table.
    await codeOf(node.join(known.map(({ id, address }) => ({ id, addresses: [address] }))))
    return undefined
  }

  #breakDisk(node: SimulatedNode): void {
    const faults = [{ failRatio: this.#rng.float() }, { isFull: true }, {}][this.#rng.below(3)]
    node.disk.setFaults({ writeMs: this.#rng.below(MAX_WRITE_MS), ...faults })
    this.#after(LONGEST_MS.disk, () => node.disk.setFaults())
  }

  /** A slow disk, and a crash that leaves torn what was under way. */
  #tear(node: SimulatedNode): void {
    if (this.#spared.has(node) || !node.isUp) return
    node.disk.setFaults({ writeMs: TEARING_WRITE_MS, tornRatio: 0.5 })
    this.#after(2 * MINUTE_MS, () => {
      this.#crash(node)
      node.disk.setFaults()
    })
  }
}

async function codeOf(call: Promise<unknown>): Promise<string | undefined> {
  try {
    await call
    return undefined
  } catch (error) {
    if (error instanceof EspalierError) return error.code
    throw error
  }
}
