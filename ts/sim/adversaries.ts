import { nodeIdFromBytes, type Key, type NodeId } from '../base/identity.ts'
import type { Peer } from '../dht/lookup.ts'
import { findNode, getRecord, putRecord } from '../dht/wire.ts'
import { Overlay } from './overlay.ts'
import type { SeededRng } from './rng.ts'
import type { SimulatedNode } from './simulated-node.ts'

/** Most peers of one answer. */
const NAMED = 20

/** Who plays together. */
export interface Circle {
  readonly members: readonly SimulatedNode[]
  /** For what the circle draws. */
  readonly rng: SeededRng
}

/**
 * A way to be hostile: what a node does that looks like any other until it is asked. `corrupt` is called once for each
 * member, after it has started and before it is asked: it replaces what the node answers by
 * `node.rpc.replaceHandler(type, handler)`. What it does not replace stays honest, so that the member is found, is
 * alive and keeps its place in the tables.
 */
export interface Adversary {
  readonly name: string
  corrupt(node: SimulatedNode, circle: Circle): void
}

/** Never answers what it is asked; pings it does. */
const drop: Adversary = {
  name: 'drop',
  corrupt({ rpc }) {
    rpc.replaceHandler(findNode, () => new Promise(() => undefined))
    rpc.replaceHandler(getRecord, () => new Promise(() => undefined))
  },
}

/** Knows nobody but the members that are nearest to the target, and no record. */
const collude: Adversary = {
  name: 'answer with colluders',
  corrupt({ rpc }, circle) {
    const answer = nearestOf(circle)
    rpc.replaceHandler(findNode, ({ target }) => answer(target))
    rpc.replaceHandler(getRecord, ({ key }) => ({ record: undefined, peers: answer(key) }))
  },
}

/** Says that nobody is nearer: a look-up that believed it would end. */
const endEarly: Adversary = {
  name: 'early terminator',
  corrupt({ rpc }) {
    rpc.replaceHandler(findNode, () => [])
    rpc.replaceHandler(getRecord, () => ({ record: undefined, peers: [] }))
  },
}

/** Names nodes next to the target that were never there, at its own address. */
const inventNearer: Adversary = {
  name: 'false closer nodes',
  corrupt({ rpc }, { rng }) {
    const invent = (target: Key): Peer[] =>
      Array.from({ length: NAMED }, () => {
        const key = Uint8Array.from(target)
        key.set(rng.bytes(24), 8)
        return { id: nodeIdFromBytes(key), addresses: rpc.addresses }
      })
    rpc.replaceHandler(findNode, ({ target }) => invent(target))
    rpc.replaceHandler(getRecord, ({ key }) => ({ record: undefined, peers: invent(key) }))
  },
}

/** Says that it keeps what it throws away, and later names the other members only. */
const deleteAndLie: Adversary = {
  name: 'delete and lie',
  corrupt({ rpc }, circle) {
    const answer = nearestOf(circle)
    rpc.replaceHandler(putRecord, () => ({ kind: 'stored' }))
    rpc.replaceHandler(getRecord, ({ key }) => ({ record: undefined, peers: answer(key) }))
  },
}

export const ADVERSARIES: readonly Adversary[] = [drop, collude, endEarly, inventNearer, deleteAndLie]

function nearestOf({ members }: Circle): (target: Key) => Peer[] {
  const overlay = new Overlay(members.map(({ id }) => id))
  const byId = new Map<NodeId, SimulatedNode>(members.map((member) => [member.id, member]))
  return (target) =>
    overlay
      .nearest(nodeIdFromBytes(target), NAMED)
      .map((id) => ({ id, addresses: byId.get(id)?.rpc.addresses ?? [] }))
}
