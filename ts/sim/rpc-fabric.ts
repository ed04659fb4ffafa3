import type { NodeId } from '../base/identity.ts'
import type { Address } from '../net/address.ts'
import type { MessageType } from '../net/message.ts'
import type { Caller } from '../net/rpc-port.ts'
import type { Deadlines } from './deadlines.ts'
import type { World } from './world.ts'

/** Where a node stands. */
export interface Stand {
  readonly localId: NodeId
  /** Its number in the network. */
  readonly index: number
  /** On the map, each from 0 to 1. */
  readonly place: { readonly x: number; readonly y: number }
}

/** What a request under way sees of the nodes at its ends. */
export interface Card extends Stand {
  readonly address: Address
  /** The same array every time. */
  readonly addresses: readonly Address[]
  /** Whether it answers. */
  readonly isUp: boolean
  /** When it went down; 0 before. */
  readonly downSinceMs: number
  /** Whether requests to `peer` need no handshake first. */
  isLinkedTo(peer: Card): boolean
  /** A handshake with `peer` is done. */
  link(peer: Card, outbound: boolean): void
  /** `peer` knows nothing of a connection any more. */
  unlink(peer: Card): void
  /** It did not answer a dial: it is not dialled again for a second, then two, up to half a minute. */
  rest(id: NodeId): void
  /** Answers a request that has arrived: what the handler answers, throws or promises. */
  serve<Request, Response>(
    type: MessageType<Request, Response>,
    request: Request,
    caller: Caller,
  ): Promise<Response> | Response
}

/** What nodes and requests see of the network that they are part of. */
export interface Fabric {
  readonly world: World
  readonly wire: 'values' | 'bytes'
  readonly deadlines: Deadlines
  /** Whoever has that id, up or not. */
  node(id: NodeId): Card | undefined
  /** Whoever has that address, up or not. */
  nodeAt(address: Address): Card | undefined
  /** One-way delay in fair weather. */
  latencyMs(a: Stand, b: Stand): number
  /** How long one message takes; nothing when it does not arrive. */
  transitMs(from: Stand, to: Stand): number | undefined
  countArrival(name: string): void
}
