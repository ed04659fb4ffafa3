// Reed-Solomon with 64 KiB shards, in bytes of data per second. Repair: as many data shards as the code
// can lose are lost, and all of them are computed again. Every contestant but ronomon, which has no such
// form, writes into buffers that it keeps.
import { nativeCompute, node } from '../lib/contestants.mjs'

const SHARD_BYTES = 65_536

const contestants = [
  { id: 'espalier', name: 'Espalier', kind: 'ours', start: node('ours/compute.mjs') },
  { id: 'native', name: 'native', kind: 'native', start: nativeCompute },
  { id: 'wasm', name: 'wasm', kind: 'peer', start: node('peers/wasm-erasure.mjs') },
  {
    ...{ id: 'ronomon', name: 'ronomon', kind: 'peer' },
    start: node('peers/ronomon.mjs', { env: { UV_THREADPOOL_SIZE: '1' } }),
  },
]

const figure = (op, layout, goals) => ({
  what: `${op} ${layout.dataShards} + ${layout.parityShards}`,
  unit: 'GB/s',
  better: 'higher',
  command: { op, ...layout, shardBytes: SHARD_BYTES },
  by: ['espalier', 'native', 'wasm', 'ronomon'],
  of: ({ count, seconds }) => (count * layout.dataShards * SHARD_BYTES) / seconds / 1e9,
  cpu: { unit: 'µs', of: ({ count, cpuSeconds }) => (cpuSeconds / count) * 1e6 },
  goals: [{ versus: 'native', ratioAtLeast: 0.95 }, ...goals],
})

const eightAndFour = { dataShards: 8, parityShards: 4 }
const eightAndEight = { dataShards: 8, parityShards: 8 }
const sixteenAndSixteen = { dataShards: 16, parityShards: 16 }

export default {
  name: 'erasure',
  contestants,
  figures: [
    figure('encode', eightAndFour, [{ versus: 'ronomon', ratioAtLeast: 3 }]),
    figure('repair', eightAndFour, [{ versus: 'ronomon', ratioAtLeast: 2 }]),
    figure('encode', eightAndEight, [{ versus: 'wasm', ratioAtLeast: 20 }]),
    figure('repair', eightAndEight, [{ versus: 'wasm', ratioAtLeast: 20 }]),
    figure('encode', sixteenAndSixteen, []),
    figure('repair', sixteenAndSixteen, []),
  ],
}
