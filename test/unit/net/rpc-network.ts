import { decodeUtf8, encodeUtf8 } from '../../../ts/base/bytes.ts'
import type { Env } from '../../../ts/base/env.ts'
import { EspalierError } from '../../../ts/base/error.ts'
import { nodeIdFromBytes, type NodeId } from '../../../ts/base/identity.ts'
import { silentLog } from '../../../ts/base/log.ts'
import { Meter } from '../../../ts/base/metrics.ts'
import type { Address, PeerAddress } from '../../../ts/net/address.ts'
import type { MessageType, StreamType } from '../../../ts/net/message.ts'
import { Rpc, type RpcOptions } from '../../../ts/net/rpc.ts'
import { SimNetwork } from '../../../ts/sim/network.ts'
import { SimTransport } from '../../../ts/sim/transport.ts'
import { World } from '../../../ts/sim/world.ts'

/** Text there, text back; at most 100 bytes each way. */
export const ECHO: MessageType<string, string> = {
  name: 'test.echo',
  protocol: 0x7f01,
  trafficClass: 'request',
  isIdempotent: true,
  maxRequestBytes: 100,
  maxResponseBytes: 100,
  encodeRequest: encodeUtf8,
  decodeRequest: decodeText,
  encodeResponse: encodeUtf8,
  decodeResponse: decodeText,
}

export const STREAM: StreamType = { name: 'test.stream', protocol: 0x7f02, trafficClass: 'bulk' }

export interface TestNode {
  readonly network: TestNetwork
  readonly rpc: Rpc
  readonly id: NodeId
  readonly address: Address
  readonly peer: PeerAddress & { readonly id: NodeId }
}

export interface TestNetwork {
  readonly world: World
  readonly sim: SimNetwork
  node(name: string, address?: Address, options?: Partial<RpcOptions>): TestNode
}

/** Nodes with nothing but `Rpc` in them; equal names have equal ids. */
export function makeNetwork(seed = 'rpc'): TestNetwork {
  const world = new World({ seed })
  const sim = new SimNetwork(world)
  const network: TestNetwork = {
    world,
    sim,
    node: (name, at, options = {}) => {
      const id = nodeIdFromBytes(world.rng.split(name).bytes(32))
      const transport = new SimTransport(sim, { id, ...at })
      const rpc = new Rpc({ transport, env: envOf(world) }, { allowPrivate: false, ...options })
      const { address } = transport
      return { network, rpc, id, address, peer: { id, addresses: [address] } }
    },
  }
  return network
}

/** A node that listens. */
export async function startedNode(network: TestNetwork, ...args: Parameters<TestNetwork['node']>) {
  const node = network.node(...args)
  await node.rpc.start()
  return node
}

/** Two nodes that listen, in a world of their own. */
export async function startedPair() {
  const network = makeNetwork()
  const a = await startedNode(network, 'a')
  const b = await startedNode(network, 'b')
  return { network, world: network.world, a, b }
}

/** How each promise ends, `ok` or its code, while time passes. */
export async function codesOf(world: World, promises: readonly Promise<unknown>[]): Promise<string[]> {
  const codes = promises.map((promise) =>
    promise.then(
      () => 'ok',
      (error: unknown) => (error instanceof EspalierError ? error.code : String(error)),
    ),
  )
  return world.runUntil(Promise.all(codes))
}

export function never(): Promise<never> {
  return new Promise(() => undefined)
}

/** `Rpc` signs and hashes nothing. */
export function envOf(world: World): Env {
  const refuse = () => {
    throw new Error('the network layer needs no cryptography of its own')
  }
  const crypto = {
    publicKey: new Uint8Array(0),
    sign: refuse,
    verify: refuse,
    hash: refuse,
    deriveKey: refuse,
  }
  return { clock: world.clock, rng: world.rng, log: silentLog, metrics: new Meter(), crypto }
}

function decodeText(bytes: Uint8Array): string {
  const text = decodeUtf8(bytes)
  if (text === undefined) throw new EspalierError('PROTOCOL_VIOLATION', 'not UTF-8')
  return text
}
