import { describe, expect, test } from 'vitest'
import { nodeIdFromBytes, type NodeId } from '../../../ts/base/identity.ts'
import { EspalierError } from '../../../ts/base/error.ts'
import type { MessageType } from '../../../ts/net/message.ts'
import { SimRpcNetwork, type SimRpcNetworkOptions } from '../../../ts/sim/rpc-network.ts'
import type { SimRpc } from '../../../ts/sim/rpc.ts'
import { World } from '../../../ts/sim/world.ts'

const LATENCY_MS = 10

/** A number there, its double back; a body of more than two bytes is too long. */
const double: MessageType<number, number> = {
  name: 'test.double',
  protocol: 1,
  trafficClass: 'request',
  isIdempotent: true,
  maxRequestBytes: 2,
  maxResponseBytes: 2,
  encodeRequest: encode,
  decodeRequest: decode,
  encodeResponse: encode,
  decodeResponse: decode,
}

describe.each(['values', 'bytes'] as const)('requests by %s', (wire) => {
  test('the first takes a handshake, the later ones one round trip', async () => {
    const { world, alice, bob } = pair({ wire })
    bob.handle(double, (number) => 2 * number)

    const answer = await world.runUntil(alice.request(bob.localId, double, 21))
    expect([answer, world.nowMs]).toEqual([42, 4 * LATENCY_MS])
    await world.runUntil(alice.request(bob.localId, double, 1))
    expect(world.nowMs).toBe(6 * LATENCY_MS)
    // The handshake was for both.
    alice.handle(double, async (number) => Promise.resolve(number))
    await world.runUntil(bob.request(alice.localId, double, 1))
    expect(world.nowMs).toBe(8 * LATENCY_MS)
  })

  test('the handler learns who asks, and what it throws comes back by code', async () => {
    const { world, alice, bob } = pair({ wire })
    const callers: NodeId[] = []
    bob.handle(double, (_, { id, remote }) => {
      callers.push(id)
      expect(remote).toEqual(alice.address)
      if (callers.length === 1) throw new EspalierError('NOT_FOUND', 'no such number')
      throw new TypeError('a bug')
    })

    const refused = alice.request(bob.localId, double, 1)
    await expect(world.runUntil(refused)).rejects.toMatchObject({ code: 'NOT_FOUND' })
    const failed = alice.request(bob.localId, double, 1)
    await expect(world.runUntil(failed)).rejects.toMatchObject({ code: 'PEER_REFUSED' })
    expect(callers).toEqual([alice.localId, alice.localId])
  })

  test('what nobody serves is UNSUPPORTED, and nobody hears of it twice', async () => {
    const { world, alice, bob } = pair({ wire })

    const unserved = alice.request(bob.localId, double, 1)
    await expect(world.runUntil(unserved)).rejects.toMatchObject({ code: 'UNSUPPORTED' })
    bob.handle(double, (number) => number)
    expect(() => bob.handle(double, (number) => number)).toThrow(/handler already/)
  })
})

describe('by bytes', () => {
  test('what is too long or does not decode is refused as on the wire', async () => {
    const { world, alice, bob } = pair({ wire: 'bytes' })
    bob.handle(double, (number) => (number === 7 ? 70_000 : -1))

    const tooLong = alice.request(bob.localId, double, 70_000)
    await expect(world.runUntil(tooLong)).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' })
    const longAnswer = alice.request(bob.localId, double, 7)
    await expect(world.runUntil(longAnswer)).rejects.toMatchObject({ code: 'PEER_REFUSED' })
    const strange = alice.request(bob.localId, double, 8)
    await expect(world.runUntil(strange)).rejects.toMatchObject({ code: 'PROTOCOL_VIOLATION' })
  })
})

describe('nodes that are not there', () => {
  test('a node whose address is unknown is not asked', async () => {
    const { world, network, alice } = pair()
    const stranger = network.attach(idOf(9))
    stranger.start()

    const asked = alice.request(stranger.localId, double, 1)
    await expect(world.runUntil(asked)).rejects.toMatchObject({ code: 'PEER_UNREACHABLE' })
    expect(world.nowMs).toBe(0)
  })

  test('one that is down costs the time-out, and then rests', async () => {
    const { world, alice, bob } = pair()
    bob.stop()

    const silent = alice.request(bob.localId, double, 1, { timeoutMs: 3_000 })
    await expect(world.runUntil(silent)).rejects.toMatchObject({ code: 'TIMEOUT' })
    expect(world.nowMs).toBe(3_000)
    const resting = alice.request(bob.localId, double, 1)
    await expect(world.runUntil(resting)).rejects.toMatchObject({
      code: 'PEER_UNREACHABLE',
      details: { retryAfterMs: 1_000 },
    })
    expect(world.nowMs).toBe(3_000)
  })

  test('one that started anew knows of no connection, and is reached by a new handshake', async () => {
    const { world, network, alice, bob } = pair()
    bob.handle(double, (number) => number)
    await world.runUntil(alice.request(bob.localId, double, 1))
    bob.stop()
    const again = network.attach(bob.localId)
    again.handle(double, (number) => number + 1)
    again.start()

    const stale = alice.request(bob.localId, double, 1)
    await expect(world.runUntil(stale)).rejects.toMatchObject({ code: 'CONNECTION_LOST' })
    expect(await world.runUntil(alice.request(bob.localId, double, 1))).toBe(2)
    expect(again.address).toEqual(bob.address)
  })

  test('an address of nobody leads nowhere, and the true one heard later does', async () => {
    const { world, network, alice } = pair()
    const carol = network.attach(idOf(3))
    carol.handle(double, (number) => number)
    carol.start()
    const nowhere = { id: carol.localId, addresses: [{ host: '9.9.9.9', port: 1 }] }

    const lost = alice.request(nowhere, double, 1)
    await expect(world.runUntil(lost)).rejects.toMatchObject({ code: 'PEER_UNREACHABLE' })
    expect(alice.addressesOf(carol.localId)).toEqual(nowhere.addresses)
    alice.learn({ id: carol.localId, addresses: carol.addresses })
    expect(await world.runUntil(alice.request(carol.localId, double, 5))).toBe(5)
  })

  test('a name at the address of somebody else is a mismatch after one round trip', async () => {
    const { world, alice, bob } = pair()
    const mistaken = { id: idOf(7), addresses: bob.addresses }

    const asked = alice.request(mistaken, double, 1)
    await expect(world.runUntil(asked)).rejects.toMatchObject({ code: 'PEER_MISMATCH' })
    expect(world.nowMs).toBe(2 * LATENCY_MS)
  })

  test('stopping ends what is under way with CLOSED; the caller’s signal with ABORTED', async () => {
    const { world, alice, bob } = pair()
    bob.handle(double, () => new Promise(() => undefined))
    const controller = new AbortController()
    const aborted = alice.request(bob.localId, double, 1, { signal: controller.signal })
    const closed = alice.request(bob.localId, double, 1)
    await world.run(5 * LATENCY_MS)

    controller.abort()
    alice.stop()

    await expect(aborted).rejects.toMatchObject({ code: 'ABORTED' })
    await expect(closed).rejects.toMatchObject({ code: 'CLOSED' })
    await expect(alice.request(bob.localId, double, 1)).rejects.toMatchObject({ code: 'CLOSED' })
  })
})

describe('meeting', () => {
  test('dials an address and proves who lives there; both hear of the other once', async () => {
    const { world, network, alice } = pair()
    const carol = network.attach(idOf(3))
    carol.start()
    const heard: string[] = []
    alice.onPeer(({ id, outbound }) => heard.push(`alice ${id === carol.localId} ${outbound}`))
    carol.onPeer(({ id, outbound }) => heard.push(`carol ${id === alice.localId} ${outbound}`))

    expect(await world.runUntil(alice.connect({ addresses: carol.addresses }))).toBe(carol.localId)
    await world.runUntil(alice.connect({ addresses: carol.addresses }))

    expect(heard).toEqual(['alice true true', 'carol true false'])
    const wrong = alice.connect({ id: idOf(8), addresses: carol.addresses })
    await expect(world.runUntil(wrong)).rejects.toMatchObject({ code: 'PEER_MISMATCH' })
  })
})

describe('bad weather', () => {
  test('a partition holds requests up to their time-out; after it they pass', async () => {
    const { world, network, alice, bob } = pair()
    bob.handle(double, (number) => number)
    await world.runUntil(alice.request(bob.localId, double, 1))
    network.partition([[alice.localId]])

    const held = alice.request(bob.localId, double, 1, { timeoutMs: 2_000 })
    await expect(world.runUntil(held)).rejects.toMatchObject({ code: 'TIMEOUT' })
    const late = alice.request(bob.localId, double, 3, { timeoutMs: 5_000 })
    await world.run(1_000)
    network.heal()

    expect(await world.runUntil(late)).toBe(3)
  })

  test('losses delay, jitter lets later requests overtake, and all arrive once', async () => {
    const { world, network, alice, bob } = pair()
    const seen: number[] = []
    bob.handle(double, (number) => {
      seen.push(number)
      return number
    })
    network.setWeather({ lossRatio: 0.3, jitterMs: 40 })
    const numbers = Array.from({ length: 200 }, (_, at) => at)

    const answers = await world.runUntil(
      Promise.all(numbers.map((n) => alice.request(bob.localId, double, n))),
    )

    expect(answers).toEqual(numbers)
    expect([...seen].sort((a, b) => a - b)).toEqual(numbers)
    expect(seen).not.toEqual(numbers)
    expect(network.requests).toBe(200)
    network.setWeather()
    const beforeMs = world.nowMs
    await world.runUntil(alice.request(bob.localId, double, 1))
    expect(world.nowMs - beforeMs).toBe(2 * LATENCY_MS)
  })
})

function pair(options: SimRpcNetworkOptions = {}) {
  const world = new World({ seed: 'rpc' })
  const network = new SimRpcNetwork(world, { latencyMs: () => LATENCY_MS, ...options })
  const [alice, bob] = [network.attach(idOf(1)), network.attach(idOf(2))] as [SimRpc, SimRpc]
  for (const rpc of [alice, bob]) rpc.start()
  alice.learn({ id: bob.localId, addresses: bob.addresses })
  return { world, network, alice, bob }
}

function idOf(number: number): NodeId {
  return nodeIdFromBytes(new Uint8Array(32).fill(number))
}

function encode(number: number): Uint8Array {
  return number > 65_535
    ? new Uint8Array(3)
    : number < 0
      ? new Uint8Array(1)
      : Uint8Array.of(number >> 8, number & 255)
}

function decode(bytes: Uint8Array): number {
  if (bytes.byteLength !== 2) throw new RangeError('two bytes are needed')
  return ((bytes[0] ?? 0) << 8) | (bytes[1] ?? 0)
}
