import { expect, test } from 'vitest'
import {
  simulatedNetwork,
  type SimulatedNetwork,
  type SimulatedNetworkOptions,
} from '../../../ts/sim/simulated-network.ts'
import type { SimulatedNode } from '../../../ts/sim/simulated-node.ts'

const { proxy: revoked, revoke } = Proxy.revocable({}, {})
revoke()

test.each([
  ['a size of none', 0, {}],
  ['a size that is no whole number', 1.5, {}],
  ['a size above 100,000', 100_001, {}],
  ['options that are none', 1, 'settled'],
  ['an unknown option', 1, { sead: 7 }],
  ['a seed that is no seed', 1, { seed: 1.5 }],
  ['an unknown start', 1, { start: 'ready' }],
  ['an unknown wire', 1, { wire: 'cbor' }],
  ['a latency that is no function', 1, { latencyMs: 20 }],
  ['a log that is none', 1, { log: 'debug' }],
  ['tables that are told nonsense', 1, { dht: { k: 1_000 } }],
  ['options that throw', 1, revoked],
])('%s is refused', async (_what, size, options) => {
  await expect(simulatedNetwork(size, options as SimulatedNetworkOptions)).rejects.toMatchObject({
    code: 'INVALID_ARGUMENT',
  })
})

test('the smallest network runs', async () => {
  const network = await simulatedNetwork(1, {
    seed: 'one',
    start: 'settled',
    wire: 'bytes',
    latencyMs: () => 1,
  })

  expect(network.nodes.map(({ isUp }) => isUp)).toEqual([true])
})

test.each([
  ['a loss above all', (network: SimulatedNetwork) => network.setWeather({ lossRatio: 1.5 })],
  ['a loss of no number', (network: SimulatedNetwork) => network.setWeather({ lossRatio: NaN })],
  ['a jitter of parts of milliseconds', (network: SimulatedNetwork) => network.setWeather({ jitterMs: 0.5 })],
  ['an endless jitter', (network: SimulatedNetwork) => network.setWeather({ jitterMs: Infinity })],
  ['a skew of no number', ({ nodes }: SimulatedNetwork) => nodes[0]!.setClockSkew(NaN)],
  ['a skew of parts of milliseconds', ({ nodes }: SimulatedNetwork) => nodes[0]!.setClockSkew(0.5)],
  ['a skew to before the epoch', ({ nodes }: SimulatedNetwork) => nodes[0]!.setClockSkew(-2e12)],
])('%s is refused', async (_what, act) => {
  const network = await simulatedNetwork(1)

  expect(() => act(network)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }))
})

test('a latency that is no number ends in an error, not in a request that is never answered', async () => {
  const network = simulatedNetwork(2, { latencyMs: () => NaN })

  await expect(network).rejects.toMatchObject({ code: 'PEER_UNREACHABLE' })
})

test('a node that crashed before its start starts all the same, once', async () => {
  const network = await simulatedNetwork(2)
  const node = network.add()
  node.crash()
  node.crash()

  const starting = node.start()
  await expect(node.start()).rejects.toMatchObject({ code: 'INVALID_STATE' })
  await network.until(starting)
  await expect(node.start()).rejects.toMatchObject({ code: 'INVALID_STATE' })
  await network.until(node.join([{ addresses: [network.nodes[0]!.address] }]))

  expect(node.peers()).toHaveLength(2)
})

test('a node that crashes while it starts is down, and starts again', async () => {
  const network = await simulatedNetwork(1)
  const [node] = network.nodes as [SimulatedNode]
  node.crash()

  const starting = node.start()
  node.crash()
  const again = node.start()

  await expect(starting).rejects.toMatchObject({ code: 'CLOSED' })
  await network.until(again)
  expect(node.isUp).toBe(true)
})

test('a start that fails says why each time, and ends nothing else', async () => {
  const network = await simulatedNetwork(2)
  const node = network.nodes[1]!
  node.disk.setFaults({ writeMs: 60_000, tornRatio: 1 })
  const put = node.put('name', Uint8Array.of(1))
  put.catch(() => undefined)
  await network.run(30_000)
  node.crash()

  for (let attempt = 0; attempt < 2; attempt += 1) {
    await expect(network.until(node.start())).rejects.toMatchObject({ code: 'STORAGE_CORRUPT' })
    expect(node.isUp).toBe(false)
  }

  expect(network.nodes[0]!.isUp).toBe(true)
})
