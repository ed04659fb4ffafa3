import { keyOfNode, type Key, type NodeId } from '../base/identity.ts'
import type { Address } from '../net/address.ts'
import { compareDistance, distanceOfHeads, headOfKey, headOfNode, type KeyHead } from './key.ts'

/** A node and where it is said to be reachable. */
export interface Peer {
  readonly id: NodeId
  readonly addresses: readonly Address[]
}

/** Whom to ask now, and on behalf of which path. */
export interface Question {
  /** From 0; those of a restart go on counting. */
  readonly path: number
  readonly peer: Peer
}

/** Most peers that one answer may name. */
export const MAX_PEERS = 20
/** Most addresses of one peer. */
export const MAX_ADDRESSES = 8

/** A candidate is asked again when others name addresses that were not tried yet, this often. */
const MAX_RETRIES = 2
/** Candidates that a path remembers; the farthest are forgotten first. */
const MAX_CANDIDATES = 256

interface Candidate {
  readonly id: NodeId
  /** The first 53 bits of its distance from the target. */
  readonly distance: number
  addresses: readonly Address[]
  state: 'new' | 'asked' | 'answered' | 'failed'
  retries: number
  /** A bit for each path that was told of it. */
  heardBy: number
  /** The path that asks it now. */
  path: number
}

interface Path {
  /** Nearest first. Bounded by {@link MAX_CANDIDATES}. */
  readonly candidates: Candidate[]
  inFlight: number
}

/**
 * An iterative look-up over disjoint paths (S/Kademlia §4.4). Decides whom to ask; the door asks.
 * Each node is asked once over all paths, so a liar spoils only the path that met it; once more, twice at most and maybe
 * on another path, when it failed and others name addresses that were not tried. A path ends when the k nearest that it
 * has heard of have all answered, to whichever path it was.
 */
export class Lookup {
  readonly target: Key
  readonly #head: KeyHead
  readonly #self: NodeId
  readonly #k: number
  readonly #alpha: number
  /** Everyone heard of. Bounded by `maxRequests` answers of {@link MAX_PEERS} peers. */
  readonly #known = new Map<NodeId, Candidate>()
  /** Of the present attempt, at most 16. */
  #paths: Path[] = []
  readonly #pathCount: number
  /** Paths of earlier attempts. */
  #firstPath = 0
  #requestsLeft: number
  #answers = 0
  #asked = 0

  constructor(options: {
    readonly target: Key
    readonly self: NodeId
    /** Where to start: the nearest known, nearest first. They are dealt to the paths in turn. */
    readonly seeds: readonly Peer[]
    /** How many of the nearest must have answered. Default 20. */
    readonly k?: number
    /** Requests in flight on each path. Default 3. */
    readonly alpha?: number
    /** Node-disjoint paths, at most 16. Default 4. */
    readonly paths?: number
    /** Requests in all, after which the look-up ends with what it has. Default 400. */
    readonly maxRequests?: number
  }) {
    const { k = 20, alpha = 3, paths = 4, maxRequests = 400 } = options
    this.target = options.target
    this.#head = headOfKey(options.target)
    this.#self = options.self
    this.#k = k
    this.#alpha = alpha
    this.#requestsLeft = maxRequests
    this.#pathCount = paths
    this.#begin(options.seeds)
  }

  /**
   * Begins again with as many fresh paths, for a look-up that is done and has not found what proves itself:
   * its paths may all have met liars. Nobody is asked again. Answers whether there is anybody to ask.
   */
  restart(seeds: readonly Peer[]): boolean {
    this.#firstPath += this.#pathCount
    for (const candidate of this.#known.values()) candidate.heardBy = 0
    this.#begin(seeds)
    return !this.isDone
  }

  /** Whether a node was asked on any path so far. */
  hasAsked(id: NodeId): boolean {
    const candidate = this.#known.get(id)
    return candidate !== undefined && candidate.state !== 'new'
  }

  /** Whom to ask now. Every question must be answered by {@link onAnswer} or {@link onFailure}, once. */
  next(): Question[] {
    const questions: Question[] = []
    for (const [index, path] of this.#paths.entries()) this.#extend(questions, path, index)
    return questions
  }

  /** `id` named these peers; more than {@link MAX_PEERS} are not looked at. */
  onAnswer(id: NodeId, peers: readonly Peer[]): void {
    const candidate = this.#settle(id, 'answered')
    if (candidate === undefined) return
    this.#answers += 1
    const count = Math.min(peers.length, MAX_PEERS)
    for (let at = 0; at < count; at += 1) {
      const peer = peers[at]
      if (peer !== undefined) this.#offer(candidate.path, peer)
    }
  }

  onFailure(id: NodeId): void {
    this.#settle(id, 'failed')
  }

  /** Nothing is in flight and nobody is left to ask. */
  get isDone(): boolean {
    for (const path of this.#paths) {
      if (path.inFlight > 0 || (this.#requestsLeft > 0 && this.#firstNew(path) !== undefined)) return false
    }
    return true
  }

  /** The k nearest that answered, nearest first; this node is not among them. */
  closest(): Peer[] {
    const answered: Candidate[] = []
    for (const candidate of this.#known.values()) if (candidate.state === 'answered') answered.push(candidate)
    answered.sort((x, y) => this.#compare(x, y))
    return answered.slice(0, this.#k).map(({ id, addresses }) => ({ id, addresses }))
  }

  /** The nearest that were named, whether or not they were asked, nearest first; without those that failed. */
  named(count: number): Peer[] {
    const named: Candidate[] = []
    for (const candidate of this.#known.values()) if (candidate.state !== 'failed') named.push(candidate)
    named.sort((x, y) => this.#compare(x, y))
    return named.slice(0, count).map(({ id, addresses }) => ({ id, addresses }))
  }

  /** How many nodes were asked. */
  get asked(): number {
    return this.#asked
  }

  /** How many nodes have answered. */
  get answers(): number {
    return this.#answers
  }

  /** Asks on one path, as far as alpha goes, the new ones among its k nearest that have not failed. */
  #extend(questions: Question[], path: Path, index: number): void {
    const { candidates } = path
    let room = this.#k
    for (let at = 0; at < candidates.length && room > 0; at += 1) {
      if (path.inFlight >= this.#alpha || this.#requestsLeft <= 0) return
      const candidate = candidates[at]
      if (candidate === undefined || candidate.state === 'failed') continue
      room -= 1
      if (candidate.state !== 'new') continue
      candidate.state = 'asked'
      candidate.path = index
      path.inFlight += 1
      this.#requestsLeft -= 1
      this.#asked += 1
      questions.push({
        path: this.#firstPath + index,
        peer: { id: candidate.id, addresses: candidate.addresses },
      })
    }
  }

  /** The nearest of the k that have not failed, if it was not asked yet. */
  #firstNew(path: Path): Candidate | undefined {
    let room = this.#k
    for (const candidate of path.candidates) {
      if (candidate.state === 'failed') continue
      if (candidate.state === 'new') return candidate
      room -= 1
      if (room === 0) return undefined
    }
    return undefined
  }

  #begin(seeds: readonly Peer[]): void {
    this.#paths = Array.from({ length: this.#pathCount }, () => ({ candidates: [], inFlight: 0 }))
    let at = 0
    for (const seed of seeds) this.#offer(at++ % this.#pathCount, seed)
  }

  #settle(id: NodeId, state: 'answered' | 'failed'): Candidate | undefined {
    const candidate = this.#known.get(id)
    if (candidate?.state !== 'asked') return undefined
    candidate.state = state
    const path = this.#paths[candidate.path]
    if (path !== undefined) path.inFlight -= 1
    return candidate
  }

  #offer(path: number, peer: Peer): void {
    const { id, addresses } = peer
    if (id === this.#self) return
    let candidate = this.#known.get(id)
    if (candidate === undefined) {
      candidate = {
        id,
        distance: distanceOfHeads(headOfNode(id), this.#head),
        addresses: addresses.length > MAX_ADDRESSES ? addresses.slice(0, MAX_ADDRESSES) : addresses,
        state: 'new',
        retries: 0,
        heardBy: 0,
        path,
      }
      this.#known.set(id, candidate)
    } else if (candidate.state === 'new' || candidate.state === 'failed') {
      hearAddresses(candidate, addresses)
    }
    const bit = 1 << path
    if ((candidate.heardBy & bit) !== 0) return
    candidate.heardBy |= bit
    const { candidates } = this.#paths[path] as Path
    this.#insert(candidates, candidate)
  }

  #insert(candidates: Candidate[], candidate: Candidate): void {
    let low = 0
    let high = candidates.length
    while (low < high) {
      const middle = (low + high) >> 1
      const other = candidates[middle]
      if (other !== undefined && this.#compare(other, candidate) < 0) low = middle + 1
      else high = middle
    }
    candidates.splice(low, 0, candidate)
    if (candidates.length > MAX_CANDIDATES) candidates.pop()
  }

  #compare(x: Candidate, y: Candidate): number {
    if (x.distance !== y.distance) return x.distance - y.distance
    // 53 equal bits: somebody made the keys so. All of both decide.
    return compareDistance(this.target, { a: keyOfNode(x.id), b: keyOfNode(y.id) })
  }
}

/** A liar may name a true node at a false address: other addresses get a chance of their own. */
function hearAddresses(candidate: Candidate, addresses: readonly Address[]): void {
  if (addresses === candidate.addresses) return
  let fresh: Address[] | undefined
  const count = Math.min(addresses.length, MAX_ADDRESSES)
  for (let at = 0; at < count; at += 1) {
    const address = addresses[at]
    if (address !== undefined && !includes(candidate.addresses, address)) (fresh ??= []).push(address)
  }
  if (fresh === undefined) return
  if (candidate.state === 'new') {
    candidate.addresses = [...candidate.addresses, ...fresh].slice(0, MAX_ADDRESSES)
  } else if (candidate.retries < MAX_RETRIES) {
    candidate.addresses = fresh
    candidate.retries += 1
    candidate.state = 'new'
  }
}

function includes(addresses: readonly Address[], { host, port }: Address): boolean {
  for (const known of addresses) if (known.port === port && known.host === host) return true
  return false
}
