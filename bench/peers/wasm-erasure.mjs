// Reed-Solomon as WebAssembly: all shards lie in one buffer, the lost ones are computed in place.
import { createRequire } from 'node:module'
import { check, pattern, repeat, serve } from '../lib/child.mjs'

await serve(async () => {
  // Its ESM build looks for its file by `__dirname`, which ESM does not have.
  const require = createRequire(import.meta.url)
  const { ReedSolomonErasure } = require('@digitaldefiance/reed-solomon-erasure.wasm')
  const coder = await ReedSolomonErasure.fromCurrentDirectory()
  const prepared = ({ dataShards, parityShards, shardBytes }) => {
    const shards = new Uint8Array((dataShards + parityShards) * shardBytes)
    for (let shard = 0; shard < dataShards; shard += 1)
      shards.set(pattern(shardBytes, shard), shard * shardBytes)
    const encode = () => check(coder.encode(shards, dataShards, parityShards) === 0, 'encoding')
    return { shards, encode }
  }
  return {
    operations: {
      encode(command) {
        return repeat(command.seconds, prepared(command).encode)
      },
      repair(command) {
        const { dataShards, parityShards, shardBytes, seconds } = command
        const { shards, encode } = prepared(command)
        encode()
        const before = shards.slice()
        const lost = Math.min(dataShards, parityShards)
        const here = Array.from({ length: dataShards + parityShards }, (_, shard) => shard >= lost)
        shards.fill(0, 0, lost * shardBytes)
        const reconstruct = () =>
          check(coder.reconstruct(shards, dataShards, parityShards, here) === 0, 'repair')
        reconstruct()
        check(Buffer.compare(before, shards) === 0, 'the lost shards')
        return repeat(seconds, reconstruct)
      },
    },
  }
})
