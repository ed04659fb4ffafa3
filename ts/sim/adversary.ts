import { nodeIdFromBytes, type Key, type NodeId } from '../base/identity.ts'
import type { SignedRecord } from '../base/record.ts'
import type { Peer } from '../dht/lookup.ts'
import type { MessageType } from '../net/message.ts'
import type { Caller } from '../net/rpc-port.ts'
import { Overlay } from './overlay.ts'
import type { SeededRng } from './rng.ts'
import type { SimulatedNode } from './simulated-node.ts'
import type { World } from './world.ts'

/** A register of a member, for honest nodes to read. */
export interface HostileRegister {
  readonly owner: NodeId
  readonly name: string
  /** Every value that its owner signed, the one that counts first: who has read it never reads another again. */
  readonly values: readonly Uint8Array[]
}

/**
 * A way to be hostile: what a node does that looks like any other until it is asked. What it does not replace stays
 * honest, so that the member is found, is alive and keeps its place in the tables. It says nothing that has to be true:
 * the promises of the product that scenario `adversaries` checks are the same against every strategy.
 */
export interface Adversary {
  /** In figures and failures. */
  readonly name: string
  /** Share of the members, 0 to 1, whose ids are ground until they lie next to a key that is going to be read. Default 0. */
  readonly groundShare?: number
  /**
   * Called once for each member, after it has started and before anybody writes: replaces what the node answers, by
   * {@link Circle.replace} and {@link Circle.bend}, which count.
   */
  corrupt(node: SimulatedNode, circle: Circle): void
  /** For strategies whose lie is in what members own: called once, when all members are corrupt. */
  publish?(circle: Circle): Promise<readonly HostileRegister[]>
}

type Handler<Request, Response> = (request: Request, caller: Caller) => Promise<Response> | Response

/** Who plays together, and how often they lied. */
export class Circle {
  readonly members: readonly SimulatedNode[]
  readonly world: World
  /** For what the circle draws. */
  readonly rng: SeededRng
  /** Records of one sequence that owners among them signed, by key. Bounded by the strategy. */
  readonly rivals = new Map<string, readonly SignedRecord[]>()
  readonly #overlay: Overlay
  readonly #byId: ReadonlyMap<NodeId, SimulatedNode>
  #lies = 0

  constructor(members: readonly SimulatedNode[], world: World) {
    this.members = members
    this.world = world
    this.rng = world.rng.split('circle')
    this.#overlay = new Overlay(members.map(({ id }) => id))
    this.#byId = new Map(members.map((member) => [member.id, member]))
  }

  /** Requests that a member got a lie or nothing for. */
  get lies(): number {
    return this.#lies
  }

  /** The `count` members nearest to a key, nearest first. */
  nearest(target: Key, count: number): Peer[] {
    return this.#overlay
      .nearest(nodeIdFromBytes(target), count)
      .map((id) => ({ id, addresses: this.#byId.get(id)?.rpc.addresses ?? [] }))
  }

  /** From now on `node` answers by `handler` what it is asked by `type`. Every request counts as a lie. */
  replace<Request, Response>(
    { rpc }: SimulatedNode,
    type: MessageType<Request, Response>,
    handler: Handler<Request, Response>,
  ): void {
    rpc.replaceHandler(type, (request, caller) => {
      this.#lies += 1
      return handler(request, caller)
    })
  }

  /**
   * From now on `twist` makes of each honest answer what `node` answers to `type`. Another object than the honest answer
   * counts as a lie; refusals and errors stay honest.
   */
  bend<Request, Response>(
    { rpc }: SimulatedNode,
    type: MessageType<Request, Response>,
    twist: (answer: Response, request: Request, caller: Caller) => Response,
  ): void {
    const honest: Handler<Request, Response> = rpc.replaceHandler(type, async (request, caller) => {
      const answer = await honest(request, caller)
      const twisted = twist(answer, request, caller)
      if (twisted !== answer) this.#lies += 1
      return twisted
    })
  }
}
