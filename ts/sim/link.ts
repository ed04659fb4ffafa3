import { EspalierError } from '../base/error.ts'
import type { NodeId } from '../base/identity.ts'
import type { Timer } from '../base/clock.ts'
import { IDLE_MS, type NetworkPath, type SimNetwork } from './network.ts'

/** One side of a link, as the link needs it. */
export interface LinkEnd {
  /** Called once when the link breaks; not when this side closed it. */
  linkLost(error: EspalierError): void
}

/** The path between two connected nodes: reliable messages in order, and datagrams. */
export class SimLink implements NetworkPath {
  readonly latencyMs: number
  readonly #network: SimNetwork
  readonly #nodes: readonly [NodeId, NodeId]
  /** At most two. */
  readonly #ends: LinkEnd[] = []
  /** What is held back by a partition. Bounded by what fits the windows of both connections. */
  readonly #held: { readonly from: NodeId; readonly deliver: () => void }[] = []
  #isCut = false
  #isGone = false
  #idle: Timer | undefined

  constructor(network: SimNetwork, nodes: readonly [NodeId, NodeId]) {
    this.#network = network
    this.#nodes = nodes
    this.latencyMs = network.latencyMs(...nodes)
    network.addLink(this)
  }

  join(end: LinkEnd): void {
    this.#ends.push(end)
  }

  joins(id: NodeId): boolean {
    return this.#nodes.includes(id)
  }

  /** Delivers to the other side after the latency, in the order of sending. */
  send(from: NodeId, what: string, deliver: () => void): void {
    this.#network.world.schedule(this.latencyMs, () => {
      if (this.#isGone || this.#isCut) return
      if (this.#held.length > 0 || !this.#network.canReach(...this.#nodes)) {
        this.#held.push({ from, deliver })
        return
      }
      this.#network.world.record(`${this.#name(from)} ${what}`)
      deliver()
    })
  }

  /** Delivers after the latency, or not at all. */
  sendDatagram(from: NodeId, what: string, deliver: () => void): void {
    const isLost = this.#network.losesDatagram()
    this.#network.world.schedule(this.latencyMs, () => {
      if (isLost || this.#isGone || this.#isCut || !this.#network.canReach(...this.#nodes)) return
      this.#network.world.record(`${this.#name(from)} ${what}`)
      deliver()
    })
  }

  /** Nothing passes any more, and the sides find out by the idle time-out. */
  cut(): void {
    this.#isCut = true
    this.#startIdle()
  }

  /** A partition came or went. */
  reachabilityChanged(): void {
    if (this.#isCut) return
    if (!this.#network.canReach(...this.#nodes)) {
      this.#startIdle()
      return
    }
    this.#idle?.cancel()
    this.#idle = undefined
    for (const { from, deliver } of this.#held.splice(0)) {
      if (this.#isGone) return
      this.#network.world.record(`${this.#name(from)} late`)
      deliver()
    }
  }

  /** Tells every side that has not closed, and ends the link. */
  lose(why: string): void {
    if (this.#isGone) return
    this.#end()
    for (const end of [...this.#ends]) end.linkLost(new EspalierError('CONNECTION_LOST', why))
  }

  /** A side has closed; after the second there is nothing left to carry. */
  leave(end: LinkEnd): void {
    const at = this.#ends.indexOf(end)
    if (at >= 0) this.#ends.splice(at, 1)
    // The farewell of the last side to leave may still be under way.
    if (this.#ends.length === 0) this.#network.world.schedule(this.latencyMs, () => this.#end())
  }

  #startIdle(): void {
    this.#idle ??= this.#network.world.schedule(IDLE_MS, () => this.lose('the peer fell silent'))
  }

  #end(): void {
    this.#isGone = true
    this.#idle?.cancel()
    this.#held.length = 0
    this.#network.removeLink(this)
  }

  #name(from: NodeId): string {
    const to = this.#nodes[0] === from ? this.#nodes[1] : this.#nodes[0]
    return `${from.slice(0, 8)}>${to.slice(0, 8)}`
  }
}
