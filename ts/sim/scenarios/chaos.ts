import { EspalierError } from '../../base/error.ts'
import { Chaos } from '../chaos.ts'
import { Histories, type Seen } from '../histories.ts'
import { brokenBudgets, brokenTables } from '../invariants.ts'
import type { Played, PlayOptions, Scenario } from '../scenario.ts'
import { simulatedNetwork, type SimulatedNetwork } from '../simulated-network.ts'
import type { SimulatedNode } from '../simulated-node.ts'

const MINUTE_MS = 60_000
const CHAOS_MINUTES = 120
/** Records are put again every hour, with a quarter of jitter. */
const CALM_MINUTES = 80
const WRITERS = 5
const READERS = 8
const NAME = 'name'
/** Between two writes of a writer, and two reads of a reader, at most. */
const PAUSE_MS = 2 * MINUTE_MS
/** Share of writes over a version that the writer knows to be old. */
const STALE_SHARE = 0.15
const NEAREST = 20
/** Of the nearest of one node, and of all nodes together. */
const MIN_KNOWN = 0.8
const MIN_KNOWN_IN_ALL = 0.98

/** Two hours in which everything goes wrong at once, and what is left when it is over. */
export const scenario: Scenario = {
  about:
    'two hours of loss, partitions, crashes, bad disks and wrong clocks at once, while registers are written and read',
  nodes: 50,
  play: (options) => playChaos(options),
}

interface Register {
  readonly writer: SimulatedNode
  /** In failures. */
  readonly label: string
}

/** `chaosMinutes`: how long everything goes wrong, default 120. */
export async function playChaos(
  { seed, nodes, progress }: PlayOptions,
  { chaosMinutes = CHAOS_MINUTES }: { readonly chaosMinutes?: number } = {},
): Promise<Played> {
  const network = await simulatedNetwork(nodes, { seed, start: 'settled' })
  await network.run(MINUTE_MS)
  const writers = network.nodes.slice(0, WRITERS)
  const readers = network.nodes.slice(WRITERS, WRITERS + READERS)
  const chaos = new Chaos(network, {
    rng: network.world.rng.split('chaos'),
    spared: [...writers, ...readers],
  })
  const work = new Work({ network, chaos, writers })
  for (const writer of writers) void work.write(writer)
  for (const reader of readers) void work.read(reader)
  chaos.begin()
  for (let minute = 0; minute < chaosMinutes; minute += 1) {
    progress(`minute ${minute} of chaos`)
    await network.run(MINUTE_MS)
  }
  work.isOver = true
  await chaos.end()
  progress('calm')
  await network.run(CALM_MINUTES * MINUTE_MS)
  const before = network.requests
  await network.run(10 * MINUTE_MS)
  const perMinute = (network.requests - before) / nodes / 10
  await work.readAtLast([...readers, ...network.nodes.slice(-READERS)])

  const broken = [...work.histories.broken, ...brokenTables(network)]
  // Whereabouts of everybody and the registers, each at most once.
  broken.push(...brokenBudgets(network, nodes + WRITERS))
  const down = network.nodes.filter(({ isUp }) => !isUp).length
  if (down > chaos.tornCount) broken.push(`${down - chaos.tornCount} nodes do not start again`)
  const known = knownNearest(network)
  for (const { id, share } of known) {
    if (share < MIN_KNOWN) broken.push(`${id} knows ${Math.round(100 * share)} % of its nearest`)
  }
  const inAll = known.reduce((sum, { share }) => sum + share, 0) / known.length
  if (inAll < MIN_KNOWN_IN_ALL) broken.push(`nodes know ${percent(inAll)} % of their nearest`)
  for (const what of ['acknowledged', 'reads', 'staleRefused'] as const) {
    if (work[what] === 0) broken.push(`${what}: none, so that nothing was tried`)
  }
  return {
    figures: {
      crashes: chaos.crashes,
      'disks torn for good': chaos.tornCount,
      'writes tried': work.tried,
      'writes acknowledged': work.acknowledged,
      'writes over an old version refused': work.staleRefused,
      reads: work.reads,
      'reads that found nothing or failed': work.misses,
      'requests a minute and node, afterwards': Math.round(100 * perMinute) / 100,
      'nearest that are known, %': percent(inAll),
    },
    broken,
    traceHash: network.world.traceHash(),
  }
}

/** What writers and readers do all the time. */
class Work {
  isOver = false
  tried = 0
  acknowledged = 0
  staleRefused = 0
  reads = 0
  misses = 0
  readonly histories = new Histories()
  readonly #network: SimulatedNetwork
  readonly #chaos: Chaos
  readonly #registers: readonly Register[]

  constructor(parts: {
    readonly network: SimulatedNetwork
    readonly chaos: Chaos
    readonly writers: readonly SimulatedNode[]
  }) {
    this.#network = parts.network
    this.#chaos = parts.chaos
    this.#registers = parts.writers.map((writer, at) => ({ writer, label: `register ${at}` }))
  }

  /** Sets the register by compare-and-set again and again, some times over a version that is known to be old. */
  async write(writer: SimulatedNode): Promise<void> {
    const register = this.#registers.find((each) => each.writer === writer)
    if (register === undefined) return
    const { label } = register
    const draws = this.#network.world.rng.split(`writes ${label}`)
    let known = 0
    for (let number = 1; ; number += 1) {
      await this.#pause(draws.below(PAUSE_MS))
      if (this.isOver) return
      const last = this.histories.lastAcknowledged(label)?.sequence ?? 0
      const isStale = last > 0 && draws.float() < STALE_SHARE
      const expected = isStale ? (draws.float() < 0.5 ? 0 : last - 1) : known
      const value = new TextEncoder().encode(`${label} ${number}`)
      this.tried += 1
      this.histories.tries(label, value)
      try {
        const { sequence } = await writer.put(NAME, value, { expectSequence: expected })
        this.acknowledged += 1
        this.histories.acknowledges(label, { value, sequence, expected })
        known = sequence
      } catch (error) {
        const { code, details } = asEspalierError(error)
        if (code === 'RECORD_STALE' && isStale) this.staleRefused += 1
        if (code === 'RECORD_STALE' && typeof details['sequence'] === 'number') known = details['sequence']
      }
    }
  }

  /** Reads registers in both ways, again and again. */
  async read(reader: SimulatedNode): Promise<void> {
    const draws = this.#network.world.rng.split(`reads ${reader.id}`)
    for (;;) {
      await this.#pause(draws.below(PAUSE_MS))
      const register = this.#registers[draws.below(this.#registers.length)]
      if (this.isOver || register === undefined) return
      const consistency = draws.float() < 0.5 ? 'one' : 'quorum'
      // One that crashes meanwhile reads nothing more.
      const name = this.#nameOf(reader)
      const version = await this.#get(reader, { register, consistency })
      this.reads += 1
      if (version === undefined) this.misses += 1
      else this.histories.reads(register.label, { reader: name, version })
    }
  }

  /** Each reader in both ways: both have to answer now. */
  async readAtLast(readers: readonly SimulatedNode[]): Promise<void> {
    for (const reader of readers.filter(({ isUp }) => isUp)) {
      for (const register of this.#registers) {
        for (const consistency of ['one', 'quorum'] as const) {
          const version = await this.#network.until(this.#get(reader, { register, consistency }))
          this.histories.readsAtLast(register.label, {
            reader: `${this.#nameOf(reader)} by ${consistency}`,
            version,
          })
        }
      }
    }
  }

  async #get(
    reader: SimulatedNode,
    { register, consistency }: { readonly register: Register; readonly consistency: 'one' | 'quorum' },
  ): Promise<Seen | undefined> {
    try {
      return await reader.dht.getValue(NAME, { owner: register.writer.id }, { consistency })
    } catch (error) {
      asEspalierError(error)
      return undefined
    }
  }

  #nameOf(reader: SimulatedNode): string {
    return `${reader.id.slice(0, 8)} after ${this.#chaos.crashesOf(reader)} crashes`
  }

  #pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.#network.world.schedule(delayMs, resolve)
    })
  }
}

/** How many of the nodes that are nearest to it each running node has in its table. */
function knownNearest(network: SimulatedNetwork) {
  return network.nodes
    .filter(({ isUp }) => isUp)
    .map((node) => {
      const nearest = network.nearest(node.id, NEAREST)
      const known = new Set(node.peers().map(({ id }) => id))
      const share = nearest.filter((id) => known.has(id)).length / Math.max(1, nearest.length)
      return { id: node.id.slice(0, 8), share }
    })
}

/** Anything else than an error by code ends the run. */
function asEspalierError(error: unknown): EspalierError {
  if (error instanceof EspalierError) return error
  throw error
}

function percent(share: number): number {
  return Math.round(1000 * share) / 10
}
