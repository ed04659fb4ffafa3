// Two processes over loopback. Both ends' processor time stands beside the wall clock, because two ends
// share the cores of one machine.
import { nativePair, nativeTransportPair, nodePair } from '../lib/contestants.mjs'

const REQUEST_BYTES = 64
const IN_FLIGHT = 32

const sides = [
  { id: 'espalier', name: 'Espalier', kind: 'ours', start: nodePair('ours/transport.mjs') },
  { id: 'quinn', name: 'quinn', kind: 'native', start: nativePair },
  { id: 'hyperdht', name: 'hyperdht', kind: 'peer', start: nodePair('peers/hyperdht.mjs') },
  { id: 'iroh', name: 'iroh', kind: 'peer', start: nodePair('peers/iroh.mjs') },
  {
    ...{ id: 'libp2p', name: 'libp2p QUIC', kind: 'peer' },
    start: nodePair('peers/libp2p.mjs', { newer: true }),
  },
]
const native = {
  ...{ id: 'espalier, native', name: 'Espalier without JavaScript', kind: 'ours' },
  start: nativeTransportPair,
}
const mixed = { id: 'espalier, mixed', name: 'Espalier', kind: 'ours', start: nodePair('ours/mixed.mjs') }
// Memory is measured in processes that did nothing else: freed memory would hide what a connection takes.
const fresh = sides.map((side) => ({ ...side, id: `${side.id}, fresh` }))
const by = sides.map(({ id }) => id)
const withoutJavaScript = [native.id, 'quinn']

const perSecond = ({ count, seconds }) => count / seconds
const gigabits = ({ count, seconds }) => (count * 8) / seconds / 1e9
const bothEnds = ({ cpuSeconds, serverCpuSeconds }) => cpuSeconds + serverCpuSeconds
const cpuNanosPerByte = { unit: 'ns/B', of: (each) => (bothEnds(each) / each.count) * 1e9 }
const cpuMicros = { unit: 'µs', of: (measurement) => (bothEnds(measurement) / measurement.count) * 1e6 }

const lateness = {
  ...{ unit: 'ms', better: 'lower', by: [mixed.id] },
  command: { op: 'mixed' },
  // A timer each millisecond: a turn has to be long for one in a thousand to say something.
  secondsFactor: 5,
}

export default {
  name: 'transport',
  contestants: [...sides, ...fresh, native, mixed],
  figures: [
    {
      ...{ what: 'one stream', unit: 'Gbit/s', better: 'higher', by },
      command: { op: 'stream' },
      of: gigabits,
      cpu: cpuNanosPerByte,
      goals: [
        { versus: 'quinn', ratioAtLeast: 0.95 },
        { versus: 'hyperdht', ratioAtLeast: 2 },
      ],
      note: 'bytes from JavaScript to JavaScript until the far end has counted them; iroh, hyperdht and libp2p with their classical handshakes',
    },
    {
      ...{ what: 'one stream, native to native', unit: 'Gbit/s', better: 'higher', by: withoutJavaScript },
      command: { op: 'stream' },
      of: gigabits,
      cpu: cpuNanosPerByte,
      goals: [{ versus: 'quinn', ratioAtLeast: 1 }],
      note: "Espalier's transport called from Rust, memory to network; both copy what they are given",
    },
    {
      ...{ what: 'request of 64 B, 32 in flight', unit: '1/s', better: 'higher', by },
      command: { op: 'requests', inFlight: IN_FLIGHT, bodyBytes: REQUEST_BYTES },
      of: perSecond,
      cpu: cpuMicros,
      goals: [
        { versus: 'quinn', ratioAtLeast: 0.5 },
        { versus: 'hyperdht', ratioAtLeast: 1.3 },
      ],
      note: 'hyperdht on one kept stream, the others with a stream for each request',
    },
    {
      ...{ what: 'request of 64 B, 32 in flight, native to native', unit: '1/s', better: 'higher' },
      by: withoutJavaScript,
      command: { op: 'requests', inFlight: IN_FLIGHT, bodyBytes: REQUEST_BYTES },
      of: perSecond,
      cpu: cpuMicros,
      goals: [],
      note: "Espalier's transport called from Rust: the difference from the row above is what JavaScript costs",
    },
    {
      ...{ what: 'connect and 1 request, one after the other', unit: '1/s', better: 'higher', by },
      command: { op: 'connect', inFlight: 1 },
      of: perSecond,
      cpu: cpuMicros,
      goals: [
        { versus: 'quinn', ratioAtLeast: 0.9 },
        { versus: 'hyperdht', ratioAtLeast: 1 },
        { versus: 'iroh', ratioAtLeast: 1 },
      ],
      note: 'full handshakes; hyperdht is told the nodes that know the server',
    },
    {
      ...{ what: 'connect and 1 request, native to native', unit: '1/s', better: 'higher' },
      by: withoutJavaScript,
      command: { op: 'connect', inFlight: 1 },
      of: perSecond,
      cpu: cpuMicros,
      goals: [],
      note: 'as the row above, without JavaScript',
    },
    {
      ...{ what: 'connect again and 1 request, one after the other', unit: '1/s', better: 'higher' },
      by: ['espalier', 'quinn'],
      command: { op: 'connect', inFlight: 1, resumes: true },
      of: perSecond,
      cpu: cpuMicros,
      goals: [{ versus: 'quinn', ratioAtLeast: 2 }],
      note: 'Espalier resumes the session and sends the request early; quinn makes full handshakes',
    },
    {
      ...{ what: 'connect again and 1 request, native to native', unit: '1/s', better: 'higher' },
      by: withoutJavaScript,
      command: { op: 'connect', inFlight: 1, resumes: true },
      of: perSecond,
      cpu: cpuMicros,
      goals: [],
      note: 'as the row above, without JavaScript',
    },
    {
      ...{ what: 'connect and 1 request, 32 in parallel', unit: '1/s', better: 'higher', by },
      command: { op: 'connect', inFlight: IN_FLIGHT },
      of: perSecond,
      cpu: cpuMicros,
      goals: [{ atLeast: 800 }],
      note: 'Espalier keeps one connection for each pair of nodes, so its client is 32 nodes in one process',
    },
    {
      ...{ what: 'event-loop delay under mixed load, p99.9', ...lateness },
      of: ({ delayP999Ms }) => delayP999Ms,
      goals: [{ atMost: 5 }],
      note: '8 requests in flight each way, a stream, named values put and read over eight nodes, all without a pause; a full turn has 3,500 timers',
    },
    {
      ...{ what: 'event-loop delay under mixed load, most', ...lateness },
      of: ({ delayMaxMs }) => delayMaxMs,
      goals: [{ atMost: 20 }],
    },
    {
      ...{ what: 'memory of an idle connection', unit: 'KiB', better: 'lower' },
      by: fresh.map(({ id }) => id),
      command: { op: 'hold', connections: 100 },
      of: ({ count, serverGrowthBytes }) => serverGrowthBytes / count / 1024,
      goals: [{ atMost: 64 }],
      note: 'growth of the accepting process by 100 connections that were used once and are kept, in every round',
    },
  ],
}
