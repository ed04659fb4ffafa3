import { execFileSync } from 'node:child_process'
import { describe, expect, test } from 'vitest'
import { nodeIdFromBytes } from '../../../ts/base/identity.ts'
import { SimNetwork, type SimNetworkOptions } from '../../../ts/sim/network.ts'
import { SimTransport } from '../../../ts/sim/transport.ts'
import { World } from '../../../ts/sim/world.ts'
import { Recorder } from '../../contract/harness.ts'
import { codesOf, ECHO, makeNetwork } from '../net/rpc-network.ts'
import { busyWorld } from './scenario.ts'

describe('the simulated network', () => {
  test('an answer takes two latencies, and a connection one round trip', async () => {
    const { world, a, b, connect } = await twoNodes({ latencyMs: () => 40 })
    const connection = await connect()
    expect(world.nowMs).toBe(80)

    await world.run(100)
    const askedAtMs = world.nowMs
    await world.runUntil(connection.request(1, new Uint8Array(1)))

    expect(world.nowMs - askedAtMs).toBe(80)
    expect(connection.stats().rttMs).toBe(80)
    expect([a.localId, b.localId]).toContain(connection.peer)
  })

  test('pairs have latencies of their own, the same in both directions', () => {
    const world = new World({ seed: 1 })
    const network = new SimNetwork(world)
    const ids = Array.from({ length: 20 }, (_, index) => nodeIdFromBytes(new Uint8Array(32).fill(index)))
    const latencies = ids.slice(1).map((id) => network.latencyMs(ids[0]!, id))

    expect(ids.slice(1).map((id) => network.latencyMs(id, ids[0]!))).toEqual(latencies)
    expect(new Set(latencies).size).toBeGreaterThan(5)
    expect(latencies.every((latencyMs) => latencyMs >= 5 && latencyMs <= 80)).toBe(true)
  })

  test('what is under way during a short partition arrives after it', async () => {
    const { world, network, a, connect } = await twoNodes()
    const connection = await connect()
    network.partition([[a.localId]])
    const answer = connection.request(1, Uint8Array.of(7), { timeoutMs: 60_000 })
    answer.catch(() => undefined)
    await world.run(20_000)

    network.heal()

    expect(await world.runUntil(answer)).toEqual(Uint8Array.of(7))
    expect(world.nowMs).toBeLessThan(21_000)
  })

  test('a partition as long as the idle time-out ends the connection, a shorter one does not', async () => {
    const { world, network, a, connect } = await twoNodes()
    const connection = await connect()
    let isClosed = false
    void connection.closed.then(() => (isClosed = true))
    network.partition([[a.localId]])
    await world.run(29_999)
    network.heal()
    await world.run(60_000)
    expect(isClosed).toBe(false)

    network.partition([[a.localId]])
    await world.run(30_000)

    expect(isClosed).toBe(true)
    expect((await connection.closed).code).toBe('CONNECTION_LOST')
  })

  test('nobody is dialled across a partition', async () => {
    const { world, network, a, b } = await twoNodes()
    network.partition([[a.localId], [b.localId]])

    expect(await codesOf(world, [a.connect({ id: b.localId, addresses: [b.address] })])).toEqual([
      'PEER_UNREACHABLE',
    ])
  })

  test('a killed node says nothing: its peers notice by the idle time-out', async () => {
    const { world, network, b, connect } = await twoNodes()
    const connection = await connect()
    await world.run(1_000)
    network.kill(b.address)

    expect(await codesOf(world, [connection.request(1, new Uint8Array(1), { timeoutMs: 5_000 })])).toEqual([
      'TIMEOUT',
    ])
    const killedAtMs = 1_000 + 80
    expect((await world.runUntil(connection.closed)).code).toBe('CONNECTION_LOST')
    expect(world.nowMs - killedAtMs).toBeGreaterThan(29_000)
  })

  test('a node that was killed and comes back is dialled anew', async () => {
    const { world, network, sim, a, b } = await rpcNodes()
    await world.runUntil(a.rpc.connect(b.peer))
    sim.kill(b.address)
    const again = network.node('b', b.address)
    again.rpc.handle(ECHO, (request) => `again ${request}`)
    await again.rpc.start()

    expect(await world.runUntil(again.rpc.connect(a.peer))).toBe(a.id)
    await world.run(1_000)
    expect(await world.runUntil(a.rpc.request(b.id, ECHO, '1'))).toBe('again 1')
    expect(a.rpc.connections()).toHaveLength(1)
  })

  test('datagrams get lost at the given rate, requests do not', async () => {
    const { world, b, atB, connect } = await twoNodes({ datagramLossRatio: 0.25 })
    const connection = await connect()
    for (let sent = 0; sent < 2_000; sent += 1) connection.sendDatagram(1, new Uint8Array(1))
    const answers = Array.from({ length: 100 }, () => connection.request(1, new Uint8Array(1)))

    expect(await world.runUntil(Promise.all(answers))).toHaveLength(100)
    expect(b.localId).toBe(connection.peer)
    // Five standard deviations: √(2,000 × 0.25 × 0.75) = 19.
    expect(Math.abs(atB.datagrams.length - 1_500)).toBeLessThan(97)
  })

  test('two nodes can’t share an address', async () => {
    const { network, b } = await twoNodes()
    const other = new SimTransport(network, { id: nodeIdFromBytes(new Uint8Array(32).fill(9)), ...b.address })

    await expect(other.listen(new Recorder())).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
  })

  test('fresh hosts are distinct', () => {
    const network = new SimNetwork(new World({ seed: 1 }))
    const hosts = Array.from({ length: 40_000 }, () => network.newHost())

    expect(new Set(hosts).size).toBe(40_000)
  })
})

describe('a whole run', () => {
  test('repeats exactly for its seed and differs for another, in this process', async () => {
    const [first, second, other] = [await busyWorld('1'), await busyWorld('1'), await busyWorld('2')]

    expect(second).toBe(first)
    expect(other).not.toBe(first)
  })

  test('repeats exactly in a fresh process', async () => {
    // Vite, which runs these tests, also loads TypeScript for the other process.
    const script = `
      const { createServer } = await import('vite')
      const vite = await createServer({
        configFile: false, appType: 'custom', logLevel: 'error', optimizeDeps: { noDiscovery: true },
        server: { middlewareMode: true, watch: null, ws: false },
      })
      const { busyWorld } = await vite.ssrLoadModule('/test/unit/sim/scenario.ts')
      process.stdout.write(await busyWorld('1'))
      await vite.close()`
    const hash = execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' })

    expect(hash).toBe(await busyWorld('1'))
  })
})

async function twoNodes(options: SimNetworkOptions = { latencyMs: () => 40 }) {
  const world = new World({ seed: 'network' })
  const network = new SimNetwork(world, options)
  const [a, b] = ['a', 'b'].map(
    (name) => new SimTransport(network, { id: nodeIdFromBytes(world.rng.split(name).bytes(32)) }),
  ) as [SimTransport, SimTransport]
  const atB = new Recorder()
  await a.listen(new Recorder())
  await b.listen(atB)
  const connect = () => world.runUntil(a.connect({ id: b.localId, addresses: [b.address] }))
  return { world, network, a, b, atB, connect }
}

async function rpcNodes() {
  const network = makeNetwork()
  const [a, b] = [network.node('a'), network.node('b')]
  await a.rpc.start()
  await b.rpc.start()
  return { network, world: network.world, sim: network.sim, a, b }
}
