// hyperdht's signed mutable values over twenty nodes in one process, kept in memory.
import { check, growthOf, pattern, repeatTogether, serve } from '../lib/child.mjs'

const NODES = 20
const NAMES = 500

await serve(async () => {
  const [{ default: DHT }, { default: createTestnet }] = await Promise.all([
    import('hyperdht'),
    import('hyperdht/testnet.js'),
  ])
  const networks = []
  const start = async (size) => {
    const network = await createTestnet(size, { host: '127.0.0.1' })
    networks.push(network)
    return network.nodes
  }
  return {
    operations: { ...valuesOf(DHT, start), grow: ({ nodes }) => growthOf(nodes, () => start(nodes)) },
    end: () => Promise.all(networks.map((network) => network.destroy())),
  }
})

function valuesOf(DHT, start) {
  let nodes
  let written = 0
  const keyPairs = Array.from({ length: NAMES }, () => DHT.keyPair())
  const readable = Array.from({ length: NODES }, () => DHT.keyPair())
  const ready = async (valueBytes) => {
    if (nodes !== undefined) return
    nodes = await start(NODES)
    const value = Buffer.from(pattern(valueBytes))
    for (let index = 0; index < NODES; index += 1) {
      await nodes[index].mutablePut(readable[index], value, { seq: 1 })
    }
  }
  return {
    put: async ({ seconds, inFlight, valueBytes }) => {
      await ready(valueBytes)
      const value = Buffer.from(pattern(valueBytes))
      return repeatTogether({ seconds, inFlight }, async () => {
        written += 1
        await nodes[written % NODES].mutablePut(keyPairs[written % NAMES], value, { seq: written })
      })
    },
    get: async ({ seconds, inFlight, valueBytes }) => {
      await ready(valueBytes)
      let read = 0
      return repeatTogether({ seconds, inFlight }, async () => {
        read += 1
        const owner = read % NODES
        const reader = nodes[(owner + 1 + (read % (NODES - 1))) % NODES]
        const found = await reader.mutableGet(readable[owner].publicKey)
        check(found?.value.length === valueBytes, 'the value came back')
      })
    },
  }
}
