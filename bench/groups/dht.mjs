// Named values over twenty nodes in one process, k = 20, every value signed and verified.
import { node } from '../lib/contestants.mjs'

const VALUE_BYTES = 256

const sides = [
  { id: 'espalier', name: 'Espalier', kind: 'ours', start: node('ours/dht.mjs') },
  { id: 'hyperdht', name: 'hyperdht', kind: 'peer', start: node('peers/hyperdht-values.mjs') },
]
// Memory is measured in processes that did nothing else: freed memory would hide what a node takes.
const fresh = sides.map((side) => ({ ...side, id: `${side.id}, fresh` }))
const by = sides.map(({ id }) => id)

const rate = {
  ...{ unit: '1/s', better: 'higher', by },
  of: ({ count, seconds }) => count / seconds,
  cpu: { unit: 'µs', of: ({ cpuSeconds, count }) => (cpuSeconds / count) * 1e6 },
}

export default {
  name: 'dht',
  contestants: [...sides, ...fresh],
  figures: [
    {
      ...{ what: 'put a value of 256 B, 16 in flight', ...rate },
      command: { op: 'put', inFlight: 16, valueBytes: VALUE_BYTES },
      goals: [{ versus: 'hyperdht', ratioAtLeast: 3 }],
      note: 'Espalier: ML-DSA-65, on disk at every node that accepts; hyperdht: Ed25519, in memory',
    },
    {
      ...{ what: 'get a value of 256 B, 32 in flight', ...rate },
      command: { op: 'get', inFlight: 32, valueBytes: VALUE_BYTES },
      goals: [{ versus: 'hyperdht', ratioAtLeast: 5 }],
    },
    {
      ...{ what: 'memory of a node in one process', unit: 'MiB', better: 'lower' },
      by: fresh.map(({ id }) => id),
      command: { op: 'grow', nodes: 10 },
      of: ({ count, growthBytes }) => growthBytes / count / 2 ** 20,
      goals: [{ atMost: 2 }],
      note: 'growth of the process by a network of ten connected nodes, in every round',
    },
  ],
}
