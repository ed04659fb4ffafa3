import { describe, expect, test } from 'vitest'
import { EspalierError } from '../../../ts/base/error.ts'
import type { Caller } from '../../../ts/net/rpc-port.ts'
import { codesOf, ECHO, makeNetwork, never, startedNode, startedPair as pair } from './rpc-network.ts'

describe('a request', () => {
  test('reaches the handler with the proved caller and comes back decoded', async () => {
    const { world, a, b } = await pair()
    const callers: Caller[] = []
    b.rpc.handle(ECHO, (request, caller) => {
      callers.push(caller)
      return `${request}!`
    })

    expect(await world.runUntil(a.rpc.request(b.peer, ECHO, 'hello'))).toBe('hello!')
    expect(callers[0]).toMatchObject({ id: a.id, remote: a.address })
  })

  test('to a protocol without a handler is UNSUPPORTED', async () => {
    const { world, a, b } = await pair()

    expect(await codesOf(world, [a.rpc.request(b.peer, ECHO, 'hello')])).toEqual(['UNSUPPORTED'])
  })

  test('that does not decode is PROTOCOL_VIOLATION and never reaches the handler', async () => {
    const { world, a, b } = await pair()
    let calls = 0
    b.rpc.handle(ECHO, (request) => {
      calls += 1
      return request
    })
    const lax = { ...ECHO, encodeRequest: () => Uint8Array.of(0xff) }

    expect(await codesOf(world, [a.rpc.request(b.peer, lax, '')])).toEqual(['PROTOCOL_VIOLATION'])
    expect(calls).toBe(0)
  })

  test('over its size is refused by the sender, and by a receiver whose peer does not care', async () => {
    const { world, a, b } = await pair()
    b.rpc.handle(ECHO, (request) => request)
    const lax = { ...ECHO, maxRequestBytes: 1_000 }

    expect(await world.runUntil(a.rpc.request(b.peer, ECHO, 'x'.repeat(100)))).toHaveLength(100)
    expect(
      await codesOf(world, [
        a.rpc.request(b.peer, ECHO, 'x'.repeat(101)),
        a.rpc.request(b.peer, lax, 'x'.repeat(101)),
      ]),
    ).toEqual(['LIMIT_EXCEEDED', 'LIMIT_EXCEEDED'])
  })

  test('whose answer does not decode is PROTOCOL_VIOLATION, one with too long an answer PEER_REFUSED', async () => {
    const { world, a, b } = await pair()
    b.rpc.handle(ECHO, (request) => request.repeat(200))
    const strict = {
      ...ECHO,
      decodeResponse: (): string => {
        throw new RangeError('no')
      },
    }

    expect(await codesOf(world, [a.rpc.request(b.peer, strict, '')])).toEqual(['PROTOCOL_VIOLATION'])
    expect(await codesOf(world, [a.rpc.request(b.peer, ECHO, 'x')])).toEqual(['PEER_REFUSED'])
  })

  test('brings the code of the handler, and no text about the files of its machine', async () => {
    const { world, a, b } = await pair()
    b.rpc.handle(ECHO, (request) => {
      if (request === 'other') throw new Error('swordfish')
      throw new EspalierError(request === 'full' ? 'STORAGE_FULL' : 'NOT_FOUND', `/home/x: ${request}`)
    })
    const errors = await world.runUntil(
      Promise.allSettled(['full', 'missing', 'other'].map((text) => a.rpc.request(b.peer, ECHO, text))),
    )

    const reasons = errors.map((outcome) => (outcome as PromiseRejectedResult).reason as EspalierError)
    expect(reasons.map(({ code }) => code)).toEqual(['STORAGE_FULL', 'NOT_FOUND', 'PEER_REFUSED'])
    expect(reasons[0]!.message).not.toContain('/home')
    expect(reasons[1]!.message).toContain('missing')
    expect(reasons[2]!.message).not.toContain('swordfish')
  })

  test('ends with TIMEOUT or ABORTED, and the handler is told', async () => {
    const { world, a, b } = await pair()
    const signals: AbortSignal[] = []
    b.rpc.handle(ECHO, (_request, { signal }) => {
      signals.push(signal)
      return never()
    })
    const controller = new AbortController()
    const timed = a.rpc.request(b.peer, ECHO, '', { timeoutMs: 500 })
    const aborted = a.rpc.request(b.peer, ECHO, '', { signal: controller.signal })
    const codes = codesOf(world, [timed, aborted])
    world.schedule(400, () => controller.abort())

    expect(await codes).toEqual(['TIMEOUT', 'ABORTED'])
    expect(world.nowMs).toBe(500)
    await world.run(1_000)
    expect(signals.map(({ aborted }) => aborted)).toEqual([true, true])
  })

  test('to oneself, or before the start, is refused', async () => {
    const { world, network, a } = await pair()
    const unstarted = network.node('unstarted')

    expect(await codesOf(world, [a.rpc.request(a.peer, ECHO, '')])).toEqual(['INVALID_ARGUMENT'])
    expect(await codesOf(world, [unstarted.rpc.request(a.peer, ECHO, '')])).toEqual(['INVALID_STATE'])
  })
})

describe('dialling', () => {
  test('a thousand calls of one peer at once share one connection', async () => {
    const { world, a, b } = await pair()
    b.rpc.handle(ECHO, (request) => request)

    const calls = Array.from({ length: 1_000 }, (_, index) => a.rpc.request(b.peer, ECHO, `${index}`))
    const answers = await world.runUntil(Promise.all(calls))

    expect(answers).toEqual(calls.map((_, index) => `${index}`))
    expect([a.rpc.connections().length, b.rpc.connections().length]).toEqual([1, 1])
    expect(a.rpc.connections()[0]).toMatchObject({ peer: b.id, remote: b.address, outbound: true })
  })

  test('an unknown peer is PEER_UNREACHABLE at once', async () => {
    const { world, a, b } = await pair()

    expect(await codesOf(world, [a.rpc.request(b.id, ECHO, '')])).toEqual(['PEER_UNREACHABLE'])
    expect(world.nowMs).toBe(0)
  })

  test('a peer that was learnt is reached by its id, in both directions once connected', async () => {
    const { world, a, b } = await pair()
    a.rpc.handle(ECHO, (request) => `a ${request}`)
    b.rpc.handle(ECHO, (request) => `b ${request}`)
    a.rpc.learn({ id: b.id, addresses: [b.address] })

    expect(await world.runUntil(a.rpc.request(b.id, ECHO, '1'))).toBe('b 1')
    expect(await world.runUntil(b.rpc.request(a.id, ECHO, '2'))).toBe('a 2')
    expect(b.rpc.connections()).toHaveLength(1)
  })

  test('a dead peer costs one dial, then rests, then is tried again', async () => {
    const { world, network, a, b } = await pair()
    network.sim.kill(b.address)

    expect(
      await codesOf(
        world,
        [1, 2].map(() => a.rpc.request(b.peer, ECHO, '')),
      ),
    ).toEqual(['PEER_UNREACHABLE', 'PEER_UNREACHABLE'])
    const failedAtMs = world.nowMs
    expect(failedAtMs).toBe(5_000)
    expect(await codesOf(world, [a.rpc.request(b.peer, ECHO, '')])).toEqual(['PEER_UNREACHABLE'])
    expect(world.nowMs).toBe(failedAtMs)
    await world.run(1_000)
    const again = network.node('b', b.address)
    again.rpc.handle(ECHO, (request) => request)
    await again.rpc.start()
    expect(await world.runUntil(a.rpc.request(b.peer, ECHO, 'back'))).toBe('back')
  })

  test('a peer that did not answer in the time of its caller rests as well', async () => {
    const { world, network, a, b } = await pair()
    network.sim.kill(b.address)

    expect(await codesOf(world, [a.rpc.request(b.peer, ECHO, '', { timeoutMs: 900 })])).toEqual(['TIMEOUT'])
    expect(await codesOf(world, [a.rpc.request(b.peer, ECHO, '', { timeoutMs: 900 })])).toEqual([
      'PEER_UNREACHABLE',
    ])
  })

  test('one caller who gives up leaves the dial to the others; the last one ends it', async () => {
    const { world, a, b } = await pair()
    b.rpc.handle(ECHO, (request) => request)
    const controller = new AbortController()
    const impatient = a.rpc.request(b.peer, ECHO, '1', { signal: controller.signal })
    const patient = a.rpc.request(b.peer, ECHO, '2')
    const codes = codesOf(world, [impatient])
    world.schedule(1, () => controller.abort())

    expect(await codes).toEqual(['ABORTED'])
    expect(await world.runUntil(patient)).toBe('2')
    const alone = new AbortController()
    const c = await startedNode(a.network, 'c')
    const only = codesOf(world, [a.rpc.request(c.peer, ECHO, '', { signal: alone.signal })])
    world.schedule(1, () => alone.abort())
    expect(await only).toEqual(['ABORTED'])
    await world.run(1_000)
    expect(c.rpc.connections()).toEqual([])
    c.rpc.handle(ECHO, (request) => request)
    expect(await world.runUntil(a.rpc.request(c.peer, ECHO, '3'))).toBe('3')
  })

  test('a stranger at the address is PEER_MISMATCH and the address is forgotten', async () => {
    const { world, a, b } = await pair()
    const c = a.network.node('c')
    a.rpc.learn({ id: c.id, addresses: [b.address] })

    expect(await codesOf(world, [a.rpc.request(c.id, ECHO, '')])).toEqual(['PEER_MISMATCH'])
    expect(a.rpc.addressesOf(c.id)).toEqual([])
  })

  test('addresses of private networks are dialled for the operator, not for a peer', async () => {
    const network = makeNetwork()
    const a = await startedNode(network, 'a')
    const b = await startedNode(network, 'b', { host: '192.168.7.7', port: 4_840 })
    b.rpc.handle(ECHO, (request) => request)

    expect(await codesOf(network.world, [a.rpc.request(b.peer, ECHO, '')])).toEqual(['PEER_UNREACHABLE'])
    expect(await network.world.runUntil(a.rpc.connect({ addresses: [b.address] }))).toBe(b.id)
    expect(await network.world.runUntil(a.rpc.request(b.id, ECHO, 'now'))).toBe('now')
    const nowhere = a.rpc.connect({ addresses: [{ host: '0.0.0.0', port: 1 }] })
    expect(await codesOf(network.world, [nowhere])).toEqual(['INVALID_ARGUMENT'])
  })

  test('listeners hear of every peer once for each connection, and one that throws harms none', async () => {
    const { world, a, b } = await pair()
    const heard: unknown[] = []
    a.rpc.onPeer(() => {
      throw new Error('broken')
    })
    a.rpc.onPeer((peer) => heard.push(peer))
    b.rpc.onPeer((peer) => heard.push(peer))

    await world.runUntil(a.rpc.connect(b.peer))
    await world.run(1_000)

    expect(heard).toEqual([
      { id: b.id, remote: b.address, outbound: true },
      { id: a.id, remote: a.address, outbound: false },
    ])
  })
})
