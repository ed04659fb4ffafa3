import { toHex } from '../../base/bytes.ts'
import { EspalierError } from '../../base/error.ts'
import type { NodeId } from '../../base/identity.ts'
import { keyOfRecord } from '../../base/record.ts'
import { subjectOfName } from '../../dht/register.ts'
import { ADVERSARIES, NO_ADVERSARY } from '../adversaries.ts'
import { Circle, type Adversary, type HostileRegister } from '../adversary.ts'
import type { Played, PlayOptions, Scenario } from '../scenario.ts'
import { simulatedNetwork, type SimulatedNetwork } from '../simulated-network.ts'
import type { SimulatedNode } from '../simulated-node.ts'

/** Of all nodes. */
const HOSTILE_SHARE = 0.2
const WRITERS = 3
const READERS = 6
const NAME = 'name'
const MINUTE_MS = 60_000
/** Between two writes: longer than anybody hostile waits. */
const PAUSE_MS = 15 * MINUTE_MS
/** Bits of a key that no honest node shares: of a thousand the nearest shares 10. */
const GROUND_BITS = 13

/** Nobody hostile first, then each strategy for itself: a fifth of the nodes plays it, honest nodes write and others read. */
export const scenario: Scenario = {
  about:
    'a fifth of hostile nodes, one strategy after the other: what honest nodes read of what honest nodes wrote',
  nodes: 100,
  async play(options) {
    const figures: Record<string, number> = {}
    const broken: string[] = []
    const traces: string[] = []
    for (const adversary of [NO_ADVERSARY, ...ADVERSARIES]) {
      options.progress(adversary.name)
      const run = await playAgainst(options, adversary)
      const { name } = adversary
      figures[`${name}: found, %`] = percent(run.found / run.reads)
      figures[`${name}: quorums reached, %`] = percent(run.quorums / run.quorumReads)
      figures[`${name}: requests of a read`] = Math.round((10 * run.requests) / run.reads) / 10
      figures[`${name}: hostile answers`] = run.lies
      if (run.found < run.reads) broken.push(`${name}: ${run.reads - run.found} reads found nothing`)
      if (run.quorums < run.quorumReads)
        broken.push(`${name}: ${run.quorumReads - run.quorums} quorums were not reached`)
      broken.push(...run.broken.map((what) => `${name}: ${what}`))
      traces.push(run.trace.slice(0, 12))
    }
    return { figures, broken, traceHash: traces.join('') } satisfies Played
  },
}

/** A register with what may be read of it, the newest first. */
interface Written {
  readonly owner: NodeId
  readonly name: string
  values: readonly string[]
}

/** What readers were shown. */
class Reads {
  reads = 0
  found = 0
  requests = 0
  quorumReads = 0
  quorums = 0
  readonly broken: string[] = []
  readonly #network: SimulatedNetwork
  /** What each reader has read last, by reader, owner and name. Bounded by readers and registers. */
  readonly #last = new Map<string, string>()

  constructor(network: SimulatedNetwork) {
    this.#network = network
  }

  /** Reads in both ways: whoever is shown a thing that nobody wrote, or an older one than before, breaks a promise. */
  async read(reader: SimulatedNode, register: Written): Promise<void> {
    const before = this.#network.requests
    const one = await this.#get(reader, { register, consistency: 'one' })
    this.requests += this.#network.requests - before
    this.reads += 1
    if (one !== undefined) this.found += 1
    this.#judge(reader, { register, value: one })
    const certain = await this.#get(reader, { register, consistency: 'quorum' })
    this.quorumReads += 1
    if (certain === undefined) return
    this.quorums += 1
    this.#judge(reader, { register, value: certain })
    if (certain !== register.values[0]) this.broken.push(`a quorum showed an old value to ${reader.id}`)
  }

  /** Refusals are answers that promise nothing. */
  async #get(
    reader: SimulatedNode,
    { register, consistency }: { readonly register: Written; readonly consistency: 'one' | 'quorum' },
  ): Promise<string | undefined> {
    const { owner, name } = register
    try {
      const version = await this.#network.until(reader.dht.getValue(name, { owner }, { consistency }))
      return version === undefined ? undefined : toHex(version.value)
    } catch (error) {
      if (error instanceof EspalierError) return undefined
      throw error
    }
  }

  #judge(
    reader: SimulatedNode,
    { register, value }: { readonly register: Written; readonly value: string | undefined },
  ): void {
    if (value === undefined) return
    const rank = register.values.indexOf(value)
    if (rank < 0) this.broken.push(`${reader.id} read what nobody wrote`)
    const place = `${reader.id} ${register.owner} ${register.name}`
    const last = this.#last.get(place)
    if (last !== undefined && rank > register.values.indexOf(last)) {
      this.broken.push(`${reader.id} read an older value than before`)
    }
    this.#last.set(place, value)
  }
}

/** One run against one strategy. */
export async function playAgainst({ seed, nodes }: PlayOptions, adversary: Adversary) {
  const network = await simulatedNetwork(nodes, { seed, start: 'settled' })
  await network.run(MINUTE_MS)
  const budget = Math.round(nodes * HOSTILE_SHARE)
  const ground = Math.round(budget * (adversary.groundShare ?? 0))
  const standing = network.nodes.slice(0, budget - ground)
  const honest = network.nodes.slice(budget)
  const [writers, others] = [honest.slice(0, WRITERS), honest.slice(WRITERS)]
  // So many fewer stand where chance put them.
  for (const node of network.nodes.slice(budget - ground, budget)) node.crash()
  const sybils = await grind({ network, victim: writers[0], count: ground })
  const circle = new Circle([...standing, ...sybils], network.world)
  for (const member of circle.members) adversary.corrupt(member, circle)
  const lure = adversary.publish === undefined ? [] : await network.until(adversary.publish(circle))
  const draws = network.world.rng.split('readers')
  const readersOf = writers.map(() =>
    Array.from({ length: READERS }, () => others[draws.below(others.length)]),
  )
  const reads = new Reads(network)
  const registers = writers.map((writer): Written => ({ owner: writer.id, name: NAME, values: [] }))
  for (const round of [1, 2]) {
    for (const [at, writer] of writers.entries()) {
      const register = registers[at]
      if (register === undefined) continue
      const value = Uint8Array.of(at, round)
      // A write that failed shows in the reads.
      await network.until(writer.put(NAME, value, { timeoutMs: 120_000 }).catch(() => undefined))
      register.values = [toHex(value), ...register.values]
      for (const reader of readersOf[at] ?? []) if (reader !== undefined) await reads.read(reader, register)
    }
    for (const register of lure.map(writtenBy)) {
      for (const reader of readersOf[0] ?? []) if (reader !== undefined) await reads.read(reader, register)
    }
    await network.run(PAUSE_MS)
  }
  const { found, requests, quorums, quorumReads, broken } = reads
  const trace = network.world.traceHash()
  return { reads: reads.reads, found, requests, quorums, quorumReads, broken, lies: circle.lies, trace }
}

/** Nodes whose ids lie nearer to the key that the victim will write than those of anybody else, joined and known. */
async function grind({
  network,
  victim,
  count,
}: {
  readonly network: SimulatedNetwork
  readonly victim: SimulatedNode | undefined
  readonly count: number
}): Promise<SimulatedNode[]> {
  if (victim === undefined || count === 0) return []
  const place = { kind: 'REGISTER_POINTER', owner: victim.id } as const
  const key = keyOfRecord(victim.crypto, { ...place, subject: subjectOfName(victim.crypto, NAME) })
  const sybils = Array.from({ length: count }, () => network.addNear({ key, bits: GROUND_BITS }))
  for (const sybil of sybils) {
    await network.until(sybil.start())
    await network.until(sybil.join([{ id: victim.id, addresses: [victim.address] }]))
  }
  await network.run(MINUTE_MS)
  return sybils
}

function writtenBy({ owner, name, values }: HostileRegister): Written {
  return { owner, name, values: values.map(toHex) }
}

function percent(share: number): number {
  return Math.round(1000 * share) / 10
}
