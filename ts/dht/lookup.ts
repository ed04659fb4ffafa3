import { keyOfNode, type Key, type NodeId } from '../base/identity.ts'
import type { Address } from '../net/address.ts'
import { compareDistance } from './key.ts'

/** A node and where it is said to be reachable. */
export interface Peer {
  readonly id: NodeId
  readonly addresses: readonly Address[]
}

/** Whom to ask now, and on behalf of which path. */
export interface Question {
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
  readonly key: Key
  addresses: readonly Address[]
  state: 'new' | 'asked' | 'answered' | 'failed'
  retries: number
}

interface Path {
  /** Nearest first. Bounded by {@link MAX_CANDIDATES}. */
  candidates: Candidate[]
  /** Everyone that this path was told of. Bounded like the look-up's own list. */
  readonly heard: Set<NodeId>
  inFlight: number
}

/**
 * An iterative look-up over disjoint paths (S/Kademlia §4.4). Decides whom to ask; the door asks.
 * Each node is asked at most once over all paths, so a liar spoils only the path that met it. A path
 * ends when the k nearest that it has heard of have all answered, to whichever path it was.
 */
export class Lookup {
  readonly target: Key
  readonly #self: NodeId
  readonly #k: number
  readonly #alpha: number
  /** Everyone heard of. Bounded by `maxRequests` answers of {@link MAX_PEERS} peers. */
  readonly #known = new Map<NodeId, Candidate>()
  readonly #paths: readonly Path[]
  readonly #pathOf = new Map<NodeId, Path>()
  #requestsLeft: number

  constructor(options: {
    readonly target: Key
    readonly self: NodeId
    /** Where to start: the nearest known, nearest first. They are dealt to the paths in turn. */
    readonly seeds: readonly Peer[]
    /** How many of the nearest must have answered. Default 20. */
    readonly k?: number
    /** Requests in flight on each path. Default 3. */
    readonly alpha?: number
    /** Node-disjoint paths. Default 4. */
    readonly paths?: number
    /** Requests in all, after which the look-up ends with what it has. Default 400. */
    readonly maxRequests?: number
  }) {
    const { k = 20, alpha = 3, paths = 4, maxRequests = 400 } = options
    this.target = options.target
    this.#self = options.self
    this.#k = k
    this.#alpha = alpha
    this.#requestsLeft = maxRequests
    this.#paths = Array.from({ length: paths }, () => ({ candidates: [], heard: new Set(), inFlight: 0 }))
    for (const [at, seed] of options.seeds.entries()) {
      const path = this.#paths[at % paths]
      if (path !== undefined) this.#offer(path, seed)
    }
  }

  /** Whom to ask now. Every question must be answered by {@link onAnswer} or {@link onFailure}, once. */
  next(): Question[] {
    return this.#paths.flatMap((path, index) => {
      const questions: Question[] = []
      for (const candidate of this.#frontier(path)) {
        if (path.inFlight >= this.#alpha || this.#requestsLeft <= 0) break
        if (candidate.state !== 'new') continue
        candidate.state = 'asked'
        path.inFlight += 1
        this.#requestsLeft -= 1
        this.#pathOf.set(candidate.id, path)
        questions.push({ path: index, peer: { id: candidate.id, addresses: candidate.addresses } })
      }
      return questions
    })
  }

  /** `id` named these peers; more than {@link MAX_PEERS} are not looked at. */
  onAnswer(id: NodeId, peers: readonly Peer[]): void {
    const path = this.#settle(id, 'answered')
    if (path === undefined) return
    for (const peer of peers.slice(0, MAX_PEERS)) this.#offer(path, peer)
  }

  onFailure(id: NodeId): void {
    this.#settle(id, 'failed')
  }

  /** Nothing is in flight and nobody is left to ask. */
  get isDone(): boolean {
    return this.#paths.every(
      (path) =>
        path.inFlight === 0 &&
        (this.#requestsLeft <= 0 || this.#frontier(path).every(({ state }) => state !== 'new')),
    )
  }

  /** The k nearest that answered, nearest first; this node is not among them. */
  closest(): Peer[] {
    return [...this.#known.values()]
      .filter(({ state }) => state === 'answered')
      .sort((x, y) => compareDistance(this.target, { a: x.key, b: y.key }))
      .slice(0, this.#k)
      .map(({ id, addresses }) => ({ id, addresses }))
  }

  /** How many nodes have answered. */
  get answers(): number {
    return [...this.#known.values()].filter(({ state }) => state === 'answered').length
  }

  /** The k nearest of a path that have not failed. */
  #frontier(path: Path): Candidate[] {
    const frontier: Candidate[] = []
    for (const candidate of path.candidates) {
      if (candidate.state === 'failed') continue
      frontier.push(candidate)
      if (frontier.length === this.#k) break
    }
    return frontier
  }

  #settle(id: NodeId, state: 'answered' | 'failed'): Path | undefined {
    const candidate = this.#known.get(id)
    const path = this.#pathOf.get(id)
    if (candidate?.state !== 'asked' || path === undefined) return undefined
    candidate.state = state
    path.inFlight -= 1
    this.#pathOf.delete(id)
    return path
  }

  #offer(path: Path, peer: Peer): void {
    if (peer.id === this.#self) return
    const addresses = peer.addresses.slice(0, MAX_ADDRESSES)
    let candidate = this.#known.get(peer.id)
    if (candidate === undefined) {
      candidate = { id: peer.id, key: keyOfNode(peer.id), addresses, state: 'new', retries: 0 }
      this.#known.set(peer.id, candidate)
    } else {
      this.#hearAddresses(candidate, addresses)
    }
    if (path.heard.has(peer.id)) return
    path.heard.add(peer.id)
    this.#insert(path, candidate)
  }

  /** A liar may name a true node at a false address: other addresses get a chance of their own. */
  #hearAddresses(candidate: Candidate, addresses: readonly Address[]): void {
    const fresh = addresses.filter(
      ({ host, port }) => !candidate.addresses.some((known) => known.host === host && known.port === port),
    )
    if (fresh.length === 0) return
    if (candidate.state === 'new') {
      candidate.addresses = [...candidate.addresses, ...fresh].slice(0, MAX_ADDRESSES)
    } else if (candidate.state === 'failed' && candidate.retries < MAX_RETRIES) {
      candidate.addresses = fresh
      candidate.retries += 1
      candidate.state = 'new'
    }
  }

  #insert(path: Path, candidate: Candidate): void {
    const { candidates } = path
    let low = 0
    let high = candidates.length
    while (low < high) {
      const middle = (low + high) >> 1
      const other = candidates[middle]
      const isNearer =
        other !== undefined && compareDistance(this.target, { a: other.key, b: candidate.key }) < 0
      if (isNearer) low = middle + 1
      else high = middle
    }
    candidates.splice(low, 0, candidate)
    if (candidates.length > MAX_CANDIDATES) candidates.pop()
  }
}
