// A client and twelve holder processes on one machine, beside what plain quinn moves in the same run.
import { nativePair, node } from '../lib/contestants.mjs'

const contestants = [
  { id: 'espalier', name: 'Espalier', kind: 'ours', start: node('ours/objects.mjs') },
  { id: 'quinn', name: 'quinn', kind: 'native', start: nativePair },
]

const megabytes = { unit: 'MB/s', better: 'higher', of: ({ count, seconds }) => count / seconds / 1e6 }
const mebibytes = (name) => ({
  unit: 'MiB',
  better: 'lower',
  of: (measurement) => measurement[name] / 2 ** 20,
})
const both = { by: ['espalier', 'quinn'], ops: { quinn: 'stream' } }

export default {
  name: 'objects',
  contestants,
  figures: [
    {
      ...{ what: 'put 100 MB, 8 + 4 over 12 processes', ...megabytes, ...both },
      command: { op: 'put' },
      goals: [{ versus: 'quinn', ratioAtLeast: 0.35 }],
      note: 'encrypted, erasure coded, every shard fsynced by its holder; quinn: one plain stream between two processes',
    },
    {
      ...{ what: 'get 100 MB, 8 + 4 over 12 processes', ...megabytes, ...both },
      command: { op: 'get' },
      goals: [{ versus: 'quinn', ratioAtLeast: 0.6 }],
    },
    {
      ...{ what: 'memory of the client above idle', ...mebibytes('clientBytes'), by: ['espalier'] },
      command: { op: 'memory' },
      goals: [{ atMost: 64 }],
      note: 'the most resident memory over all puts and gets of the run, less what the idle node had',
    },
    {
      ...{ what: 'memory of the largest holder', ...mebibytes('holderBytes'), by: ['espalier'] },
      command: { op: 'memory' },
      goals: [],
      note: 'the most resident memory of the whole process, with Node itself',
    },
  ],
}
