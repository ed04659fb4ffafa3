// Cryptography on one thread, called from JavaScript.
import { nativeCompute, node } from '../lib/contestants.mjs'

const MESSAGE_BYTES = 128
const perSecond = (bytes) => (measurement) => (measurement.count * bytes) / measurement.seconds / 1e9
const micros = ({ count, seconds }) => (seconds / count) * 1e6

const cpu = { unit: 'µs', of: ({ count, cpuSeconds }) => (cpuSeconds / count) * 1e6 }

const contestants = [
  { id: 'espalier', name: 'Espalier', kind: 'ours', start: node('ours/compute.mjs') },
  { id: 'native', name: 'native', kind: 'native', start: nativeCompute },
  { id: 'hash-wasm', name: 'hash-wasm', kind: 'peer', start: node('peers/hash-wasm.mjs') },
  { id: 'liboqs', name: 'liboqs wasm', kind: 'peer', start: node('peers/liboqs.mjs') },
  {
    ...{ id: 'node24', name: 'Node 24 crypto', kind: 'peer' },
    start: node('peers/node-crypto.mjs', { newer: true }),
  },
  { id: 'node', name: 'node:crypto', kind: 'peer', start: node('peers/node-crypto.mjs') },
]

/** What GOALS asks of every post-quantum operation. */
const postQuantum = (what, op) => ({
  ...{ what, unit: 'µs', better: 'lower', of: micros, cpu },
  command: { op, messageBytes: MESSAGE_BYTES },
  by: ['espalier', 'native', 'liboqs', 'node24'],
  goals: [
    { versus: 'native', atMostOver: 3 },
    { versus: 'liboqs', ratioAtLeast: 2 },
    { versus: 'node24', ratioAtLeast: 2 },
  ],
})

const hashOfSmall = (what, op, note) => ({
  ...{ what, unit: 'µs', better: 'lower', of: micros, cpu, note },
  command: { op, messageBytes: 32 },
  goals: [{ atMost: 0.3 }],
})

export default {
  name: 'crypto',
  contestants,
  figures: [
    {
      ...{ what: 'BLAKE3 of 64 KiB', unit: 'GB/s', better: 'higher', of: perSecond(65_536), cpu },
      command: { op: 'hash', messageBytes: 65_536 },
      by: ['espalier', 'native', 'hash-wasm'],
      goals: [{ versus: 'native', ratioAtLeast: 0.95 }],
    },
    {
      ...hashOfSmall('BLAKE3 of 32 B into a buffer', 'hash', 'one call of `hashInto` for each hash'),
      by: ['espalier', 'native', 'hash-wasm'],
    },
    {
      ...hashOfSmall('BLAKE3 of 32 B by batch', 'hashMany', '`hashManyInto` of 1,024 messages'),
      by: ['espalier'],
    },
    postQuantum('ML-DSA-65 sign', 'sign'),
    postQuantum('ML-DSA-65 verify', 'verify'),
    {
      ...postQuantum('ML-KEM-768 encapsulate', 'encapsulate'),
      note: 'from the bytes of a key in every call; Node keeps a parsed key',
    },
    postQuantum('ML-KEM-768 decapsulate', 'decapsulate'),
    {
      ...{ what: 'ChaCha20-Poly1305 seal 1,200 B', unit: 'µs', better: 'lower', of: micros, cpu },
      command: { op: 'seal', messageBytes: 1200 },
      by: ['espalier', 'native', 'node'],
      goals: [{ atMost: 2 }],
      note: 'one call of `sealInto` for each message',
    },
  ],
}
