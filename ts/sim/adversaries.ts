import { nodeIdFromBytes, type Key, type NodeId } from '../base/identity.ts'
import type { Peer } from '../dht/lookup.ts'
import { findNode, getRecord, putRecord } from '../dht/wire.ts'
import type { MessageType } from '../net/message.ts'
import { Overlay } from './overlay.ts'
import type { SeededRng } from './rng.ts'
import type { SimulatedNode } from './simulated-node.ts'

/** Most peers of one answer. */
const NAMED = 20

/** Who plays together, and how often they lied. */
export class Circle {
  readonly members: readonly SimulatedNode[]
  /** For what the circle draws. */
  readonly rng: SeededRng
  #lies = 0

  constructor(members: readonly SimulatedNode[], rng: SeededRng) {
    this.members = members
    this.rng = rng
  }

  /** Requests that a member got a lie or nothing for. */
  get lies(): number {
    return this.#lies
  }

  /** From now on `node` answers by `handler` what it is asked by `type`. */
  replace<Request, Response>(
    { rpc }: SimulatedNode,
    type: MessageType<Request, Response>,
    handler: (request: Request) => Promise<Response> | Response,
  ): void {
    rpc.replaceHandler(type, (request) => {
      this.#lies += 1
      return handler(request)
    })
  }
}

/**
 * A way to be hostile: what a node does that looks like any other until it is asked. `corrupt` is called once for each
 * member, after it has started and before it is asked: it replaces what the node answers by
 * `circle.replace(node, type, handler)`, which counts. What it does not replace stays honest, so that the member is
 * found, is alive and keeps its place in the tables.
 */
export interface Adversary {
  readonly name: string
  corrupt(node: SimulatedNode, circle: Circle): void
}

/** Never answers a look-up, for nodes or for a record; it answers pings, and keeps what it is given to itself. */
const drop: Adversary = {
  name: 'drop',
  corrupt(node, circle) {
    circle.replace(node, findNode, () => new Promise(() => undefined))
    circle.replace(node, getRecord, () => new Promise(() => undefined))
  },
}

/** Knows nobody but the members that are nearest to the target, and no record. */
const collude: Adversary = {
  name: 'answer with colluders',
  corrupt(node, circle) {
    const answer = nearestOf(circle)
    circle.replace(node, findNode, ({ target }) => answer(target))
    circle.replace(node, getRecord, ({ key }) => ({ record: undefined, peers: answer(key) }))
  },
}

/** Says that nobody is nearer: a look-up that believed it would end. */
const endEarly: Adversary = {
  name: 'early terminator',
  corrupt(node, circle) {
    circle.replace(node, findNode, () => [])
    circle.replace(node, getRecord, () => ({ record: undefined, peers: [] }))
  },
}

/** Names nodes next to the target that were never there, at its own address. */
const inventNearer: Adversary = {
  name: 'false closer nodes',
  corrupt(node, circle) {
    const invent = (target: Key): Peer[] =>
      Array.from({ length: NAMED }, () => {
        const key = Uint8Array.from(target)
        key.set(circle.rng.bytes(24), 8)
        return { id: nodeIdFromBytes(key), addresses: node.rpc.addresses }
      })
    circle.replace(node, findNode, ({ target }) => invent(target))
    circle.replace(node, getRecord, ({ key }) => ({ record: undefined, peers: invent(key) }))
  },
}

/** Says that it keeps what it throws away, and later names the other members only. */
const deleteAndLie: Adversary = {
  name: 'delete and lie',
  corrupt(node, circle) {
    const answer = nearestOf(circle)
    circle.replace(node, putRecord, () => ({ kind: 'stored' }))
    circle.replace(node, getRecord, ({ key }) => ({ record: undefined, peers: answer(key) }))
  },
}

/** What the others are measured against. */
export const NO_ADVERSARY: Adversary = { name: 'nobody hostile', corrupt: () => undefined }

export const ADVERSARIES: readonly Adversary[] = [drop, collude, endEarly, inventNearer, deleteAndLie]

function nearestOf({ members }: Circle): (target: Key) => Peer[] {
  const overlay = new Overlay(members.map(({ id }) => id))
  const byId = new Map<NodeId, SimulatedNode>(members.map((member) => [member.id, member]))
  return (target) =>
    overlay
      .nearest(nodeIdFromBytes(target), NAMED)
      .map((id) => ({ id, addresses: byId.get(id)?.rpc.addresses ?? [] }))
}
