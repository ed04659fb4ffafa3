// @ronomon/reed-solomon, C in Node's thread pool: at most 24 data and 6 parity shards.
import { createRequire } from 'node:module'
import { check, pattern, repeatTogether, serve } from '../lib/child.mjs'

// One thread codes, as in every other contestant (the benchmark sets UV_THREADPOOL_SIZE to 1), and more
// calls than one wait for it, so that waking the event loop does not count.
const IN_FLIGHT = 4

await serve(() => {
  const coder = createRequire(import.meta.url)('@ronomon/reed-solomon')
  const work = async (command, { sources, targets }) => {
    const { dataShards, parityShards, shardBytes, seconds } = command
    if (parityShards > 6) throw new Error('it takes at most 6 parity shards')
    const context = coder.create(dataShards, parityShards)
    const jobs = Array.from({ length: IN_FLIGHT }, () => ({
      data: Buffer.concat(Array.from({ length: dataShards }, (_, shard) => pattern(shardBytes, shard))),
      parity: Buffer.alloc(parityShards * shardBytes),
    }))
    const encode = ({ data, parity }, from, to) =>
      new Promise((resolve, reject) => {
        const done = (error) => (error ? reject(error) : resolve())
        coder.encode(context, from, to, data, 0, data.length, parity, 0, parity.length, done)
      })
    for (const job of jobs) await encode(job, bits(0, dataShards), bits(dataShards, parityShards))
    const [first] = jobs
    const before = Buffer.from(first.data)
    if (targets.data > 0) first.data.fill(0, 0, targets.data * shardBytes)
    await encode(first, sources, targets.mask)
    check(before.equals(first.data), 'the lost shards')
    const measured = await repeatTogether({ seconds, inFlight: IN_FLIGHT }, (index) =>
      encode(jobs[index], sources, targets.mask),
    )
    return { count: measured.count, seconds: measured.seconds, cpuSeconds: measured.cpuSeconds }
  }
  return {
    operations: {
      encode(command) {
        const { dataShards, parityShards } = command
        return work(command, {
          sources: bits(0, dataShards),
          targets: { data: 0, mask: bits(dataShards, parityShards) },
        })
      },
      repair(command) {
        const { dataShards, parityShards } = command
        const lost = Math.min(dataShards, parityShards)
        return work(command, {
          sources: bits(lost, dataShards + parityShards - lost),
          targets: { data: lost, mask: bits(0, lost) },
        })
      },
    },
  }
})

/** A mask of `count` shards from `first` on. */
function bits(first, count) {
  return ((1 << count) - 1) << first
}
