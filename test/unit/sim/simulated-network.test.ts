import { expect, test } from 'vitest'
import { simulatedNetwork, type SimulatedNetworkOptions } from '../../../ts/sim/simulated-network.ts'

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
