// Small writes that are acknowledged after fsync.
import { node } from '../lib/contestants.mjs'

const contestants = [
  { id: 'espalier', name: 'Espalier', kind: 'ours', start: node('ours/storage.mjs') },
  { id: 'batched', name: 'raw SQLite by 64', kind: 'native', start: node('peers/sqlite.mjs') },
  { id: 'unbatched', name: 'raw SQLite, one by one', kind: 'peer', start: node('peers/sqlite.mjs') },
]

export default {
  name: 'storage',
  contestants,
  figures: [
    {
      ...{ what: 'durable write of 256 B, 64 callers', unit: '1/s', better: 'higher' },
      by: contestants.map(({ id }) => id),
      command: { op: 'writes', inFlight: 64, valueBytes: 256 },
      ops: { batched: 'batched', unbatched: 'unbatched' },
      of: ({ count, seconds }) => count / seconds,
      cpu: { unit: 'µs', of: ({ cpuSeconds, count }) => (cpuSeconds / count) * 1e6 },
      goals: [{ versus: 'batched', ratioAtLeast: 0.4 }],
      note: 'WAL with synchronous FULL on the disk of the repository; raw SQLite runs on the calling thread and has no callers to wake',
    },
  ],
}
