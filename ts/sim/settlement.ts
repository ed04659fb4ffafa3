import { keyOfNode, nodeIdFromBytes, type Key, type NodeId } from '../base/identity.ts'
import type { Peer } from '../dht/lookup.ts'
import { RoutingTable } from '../dht/routing-table.ts'
import { Overlay } from './overlay.ts'
import type { SeededRng } from './rng.ts'

const NOWHERE: Peer['addresses'] = []

/**
 * A network that stands still: every node has the table that it would have after a long time, and nobody comes
 * or goes. The set-up of the experiments of S/Kademlia (Baumgart and Mies, ICPADS 2007, §5).
 */
export class Settlement {
  readonly ids: readonly NodeId[]
  readonly #overlay: Overlay
  readonly #bucketSize: number
  readonly #rng: SeededRng
  /** Made when somebody is asked for the first time. Bounded by the nodes. */
  readonly #tables = new Map<NodeId, RoutingTable>()

  constructor(ids: readonly NodeId[], options: { readonly bucketSize: number; readonly rng: SeededRng }) {
    this.ids = ids
    this.#overlay = new Overlay(ids)
    this.#bucketSize = options.bucketSize
    this.#rng = options.rng
  }

  /** What an honest node answers: the contacts of its table that are nearest to the target. */
  answer(id: NodeId, target: Key, count: number): Peer[] {
    return this.tableOf(id).closest(target, { count, aliveOnly: true }).map(peerOf)
  }

  tableOf(id: NodeId): RoutingTable {
    let table = this.#tables.get(id)
    if (table === undefined) {
      table = new RoutingTable(id, { capacity: this.#bucketSize })
      const rng = this.#rng.split(id)
      for (const contact of this.#overlay.contactsOf(id, { bucketSize: this.#bucketSize, rng })) {
        table.seen(contact, 0)
      }
      this.#tables.set(id, table)
    }
    return table
  }

  /** The nodes nearest to a point: those that keep what is stored there. */
  siblings(target: NodeId, count: number): NodeId[] {
    return this.#overlay.nearest(target, count)
  }
}

/** Nodes that know each other and answer with each other only: those of them that are nearest to the target. */
export class Colluders {
  readonly #members: ReadonlySet<NodeId>
  readonly #overlay: Overlay

  constructor(ids: readonly NodeId[]) {
    this.#members = new Set(ids)
    this.#overlay = new Overlay(ids)
  }

  has(id: NodeId): boolean {
    return this.#members.has(id)
  }

  answer(target: NodeId, count: number): Peer[] {
    return this.#overlay.nearest(target, count).map(peerOf)
  }
}

/** Random ids, as hashes of keys are. */
export function drawIds(count: number, rng: SeededRng): NodeId[] {
  return Array.from({ length: count }, () => nodeIdFromBytes(rng.bytes(32)))
}

/** A point of the key space, as an id and as a key. */
export interface Target {
  readonly id: NodeId
  readonly key: Key
}

export function drawTarget(rng: SeededRng): Target {
  return targetOf(nodeIdFromBytes(rng.bytes(32)))
}

export function targetOf(id: NodeId): Target {
  return { id, key: keyOfNode(id) }
}

export function peerOf(id: NodeId): Peer {
  return { id, addresses: NOWHERE }
}
