import { describe, expect, test } from 'vitest'
import {
  codesOf,
  ECHO,
  makeNetwork,
  never,
  startedNode,
  startedPair as pair,
  STREAM,
  type TestNode,
} from './rpc-network.ts'

describe('limits', () => {
  test('a peer that asks too fast is RATE_LIMITED and can come back', async () => {
    const network = makeNetwork()
    const a = await startedNode(network, 'a')
    const b = await startedNode(network, 'b', undefined, { requestsPerSecond: 10, requestBurst: 5 })
    b.rpc.handle(ECHO, (request) => request)

    const burst = Array.from({ length: 6 }, () => a.rpc.request(b.peer, ECHO, ''))
    expect((await codesOf(network.world, burst)).sort()).toEqual(
      [...Array<string>(5).fill('ok'), 'RATE_LIMITED'].sort(),
    )
    await network.world.run(100)
    expect(await network.world.runUntil(a.rpc.request(b.peer, ECHO, 'later'))).toBe('later')
  })

  test('requests over the cap of one peer wait, and those over the queue are LIMIT_EXCEEDED', async () => {
    const network = makeNetwork()
    const a = await startedNode(network, 'a', undefined, { maxRequestsPerPeer: 2, maxQueuedRequests: 1 })
    const b = await startedNode(network, 'b')
    let serving = 0
    let most = 0
    b.rpc.handle(ECHO, async (request) => {
      serving += 1
      most = Math.max(most, serving)
      await new Promise<void>((resolve) => network.world.schedule(100, resolve))
      serving -= 1
      return request
    })

    const calls = Array.from({ length: 4 }, () => a.rpc.request(b.peer, ECHO, ''))

    expect(await codesOf(network.world, calls)).toEqual(['ok', 'ok', 'ok', 'LIMIT_EXCEEDED'])
    expect(most).toBe(2)
  })

  test('over the cap of connections the idle one that was used longest ago is closed', async () => {
    const network = makeNetwork()
    const a = await startedNode(network, 'a', undefined, { maxConnections: 2 })
    const others = await Promise.all(['b', 'c', 'd'].map((name) => startedNode(network, name)))
    const [b, c, d] = others as [TestNode, TestNode, TestNode]

    for (const peer of [b, c]) await network.world.runUntil(a.rpc.connect(peer.peer))
    await codesOf(network.world, [a.rpc.request(b.id, ECHO, '')])
    await network.world.runUntil(a.rpc.connect(d.peer))
    await network.world.run(1_000)

    expect(new Set(a.rpc.connections().map(({ peer }) => peer))).toEqual(new Set([b.id, d.id]))
    expect(c.rpc.connections()).toEqual([])
  })

  test('unknown options and limits out of range are refused', () => {
    const network = makeNetwork()

    expect(() => network.node('x', undefined, { maxConnection: 1 } as object)).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
    )
    expect(() => network.node('x', undefined, { maxConnections: 0 })).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
    )
  })
})

describe('streams', () => {
  test('reach their handler, which may answer on the same stream', async () => {
    const { world, a, b } = await pair()
    b.rpc.handleStream(STREAM, async (stream) => {
      for await (const part of stream) await stream.write(part.map((byte) => byte + 1))
      await stream.closeWrite()
    })

    const stream = await world.runUntil(a.rpc.openStream(b.peer, STREAM))
    await world.runUntil(stream.write(Uint8Array.of(1, 2)))
    await world.runUntil(stream.closeWrite())
    const target = new Uint8Array(2)
    await world.runUntil(stream.readInto(target))

    expect(target).toEqual(Uint8Array.of(2, 3))
  })

  test('without a handler, or whose handler fails, are reset', async () => {
    const { world, a, b } = await pair()
    const other = { ...STREAM, protocol: 9 }
    b.rpc.handleStream(STREAM, () => Promise.reject(new Error('broken')))

    for (const [type, resetCode] of [
      [STREAM, 257],
      [other, 256],
    ] as const) {
      const stream = await world.runUntil(a.rpc.openStream(b.peer, type))
      const read = world.runUntil(stream.readInto(new Uint8Array(1)))
      await expect(read).rejects.toMatchObject({ code: 'STREAM_RESET', details: { resetCode } })
    }
  })

  test("the handler's signal tells that the connection is gone", async () => {
    const { world, network, a, b } = await pair()
    const signals: AbortSignal[] = []
    b.rpc.handleStream(STREAM, async (_stream, { signal }) => {
      signals.push(signal)
      await never()
    })
    await world.runUntil(a.rpc.openStream(b.peer, STREAM))
    await world.run(1_000)

    network.sim.resetConnection(a.id, b.id)
    await world.run(1)

    expect(signals.map(({ aborted }) => aborted)).toEqual([true])
    expect(a.rpc.connections()).toEqual([])
  })
})

describe('the life of the network', () => {
  test('stop ends every call with CLOSED, wherever it waits, and can be repeated', async () => {
    const network = makeNetwork()
    const a = await startedNode(network, 'a', undefined, { maxRequestsPerPeer: 2 })
    const b = await startedNode(network, 'b')
    b.rpc.handle(ECHO, never)
    await network.world.runUntil(a.rpc.connect(b.peer))
    const dead = { id: network.node('dead').id, addresses: [{ host: '9.9.9.9', port: 9 }] }
    const calls = [1, 2, 3].map(() => a.rpc.request(b.peer, ECHO, ''))
    const dialling = a.rpc.request(dead, ECHO, '')
    const connecting = a.rpc.connect({ addresses: dead.addresses })
    const codes = codesOf(network.world, [...calls, dialling, connecting])
    network.world.schedule(500, () => {
      void a.rpc.stop()
    })

    expect(await codes).toEqual(Array<string>(5).fill('CLOSED'))
    await network.world.runUntil(a.rpc.stop())
    expect(await codesOf(network.world, [a.rpc.request(b.peer, ECHO, ''), a.rpc.start()])).toEqual([
      'CLOSED',
      'CLOSED',
    ])
    expect(a.rpc.connections()).toEqual([])
    expect(network.world.nowMs).toBeLessThan(2_000)
  })

  test('a second start, and a second handler of one protocol, are INVALID_STATE', async () => {
    const { world, a } = await pair()
    a.rpc.handle(ECHO, (request) => request)

    expect(await codesOf(world, [a.rpc.start()])).toEqual(['INVALID_STATE'])
    expect(() => a.rpc.handle(ECHO, (request) => request)).toThrow(
      expect.objectContaining({ code: 'INVALID_STATE' }),
    )
    expect(() => a.rpc.handleStream({ ...STREAM, protocol: ECHO.protocol }, never)).toThrow(
      expect.objectContaining({ code: 'INVALID_STATE' }),
    )
  })
})
