// Objects over twelve holders, each a process of its own, from a client that keeps nothing itself.
import { join } from 'node:path'
import { check, cpuSeconds, pattern, serve } from '../lib/child.mjs'
import { scratchDirectory } from '../lib/scratch.mjs'

const HOLDERS = 12
const CHUNK_BYTES = 1 << 20
const SIZE_BYTES = 100_000_000
/** For the uncounted round and for `--quick`. */
const SMALL_BYTES = 16_000_000

await serve(async () => {
  // The network makes its directories in the temporary directory, and these have to be on a real disk.
  process.env.TMPDIR = scratchDirectory()
  const [{ DemoNetwork }, { createNode }] = await Promise.all([
    import('../../dist/cli/demo/demo-network.js'),
    import('../../dist/node/node.js'),
  ])
  const network = await DemoNetwork.create({ size: HOLDERS })
  let client
  const end = async () => {
    await client?.stop()
    await network.end()
  }
  try {
    await network.start({ signal: new AbortController().signal, onStarted: () => undefined })
    client = createNode({
      dataDir: join(network.directory, 'client'),
      hosts: ['127.0.0.1'],
      mode: 'clientOnly',
      allowPrivate: true,
      bootstrap: network.nodes.slice(0, 3).map((node) => node.peer),
    })
    await client.start()
  } catch (error) {
    await end()
    throw error
  }
  return { operations: operationsOf({ client, network }), end }
})

function operationsOf({ client, network }) {
  const idleBytes = process.memoryUsage().rss
  let puts = 0
  let last
  const put = async (sizeBytes) => {
    puts += 1
    const result = await client.objects.put(source(sizeBytes, puts))
    check(result.sizeBytes === sizeBytes, 'the size')
    check(result.reduced === undefined, `twelve holders take part: ${result.reduced}`)
    last = { ref: result.ref, sizeBytes }
    return sizeBytes
  }
  const get = async () => {
    let bytes = 0
    for await (const piece of await client.objects.get(last.ref)) bytes += piece.length
    check(bytes === last.sizeBytes, 'every byte came back')
    return bytes
  }
  return {
    put: ({ seconds }) => timed(() => put(sizeFor(seconds))),
    get: async ({ seconds }) => {
      if (last?.sizeBytes !== sizeFor(seconds)) await put(sizeFor(seconds))
      return timed(get)
    },
    memory: async ({ seconds }) => {
      if (last?.sizeBytes !== sizeFor(seconds)) await put(sizeFor(seconds))
      await get()
      return {
        ...{ count: 1, seconds: 1, cpuSeconds: 0 },
        clientBytes: process.resourceUsage().maxRSS * 1024 - idleBytes,
        holderBytes: Math.max(...network.nodes.map((node) => node.memoryPeakBytes)),
      }
    },
  }
}

async function timed(work) {
  const startedAtMs = performance.now()
  const cpuBefore = cpuSeconds()
  const count = await work()
  return {
    count,
    seconds: (performance.now() - startedAtMs) / 1000,
    cpuSeconds: cpuSeconds() - cpuBefore,
  }
}

function sizeFor(seconds) {
  return seconds >= 0.5 ? SIZE_BYTES : SMALL_BYTES
}

/** Never the same bytes twice, so that no holder has a shard already. */
async function* source(sizeBytes, seed) {
  const chunk = Buffer.from(pattern(CHUNK_BYTES, seed))
  for (let sent = 0; sent < sizeBytes; sent += CHUNK_BYTES) {
    chunk.writeUInt32LE(seed, 0)
    chunk.writeUInt32LE(sent, 4)
    yield chunk.subarray(0, Math.min(CHUNK_BYTES, sizeBytes - sent))
  }
}
