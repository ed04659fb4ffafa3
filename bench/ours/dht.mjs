// Espalier's named values over twenty real nodes in one process: post-quantum QUIC, signed records, disks.
import { check, growthOf, pattern, repeatTogether, serve } from '../lib/child.mjs'
import { scratchDirectory } from '../lib/scratch.mjs'

const NODES = 20
const NAMES = 500

await serve(async () => {
  // The network makes its directories in the temporary directory, and these have to be on a real disk.
  process.env.TMPDIR = scratchDirectory()
  const { localNetwork } = await import('../../dist/node/local-network.js')
  const networks = []
  const start = async (size) => {
    const network = await localNetwork(size)
    networks.push(network)
    return network.nodes
  }
  return {
    operations: { ...(await valuesOf(start)), grow: ({ nodes }) => growthOf(nodes, () => start(nodes)) },
    end: () => Promise.all(networks.map((network) => network.stop())),
  }
})

async function valuesOf(start) {
  let nodes
  let written = 0
  const ready = async (valueBytes) => {
    if (nodes !== undefined) return
    nodes = await start(NODES)
    const value = pattern(valueBytes)
    for (let index = 0; index < NODES; index += 1) await nodes[index].put(`read-${index}`, value)
  }
  return {
    put: async ({ seconds, inFlight, valueBytes }) => {
      await ready(valueBytes)
      const value = pattern(valueBytes)
      return repeatTogether({ seconds, inFlight }, async () => {
        written += 1
        const { accepted } = await nodes[written % NODES].put(`write-${written % NAMES}`, value)
        check(accepted.length > 0, 'somebody accepted it')
      })
    },
    get: async ({ seconds, inFlight, valueBytes }) => {
      await ready(valueBytes)
      let read = 0
      return repeatTogether({ seconds, inFlight }, async () => {
        read += 1
        const owner = read % NODES
        // Never the owner itself, which would have nothing to ask.
        const reader = nodes[(owner + 1 + (read % (NODES - 1))) % NODES]
        const found = await reader.get(`read-${owner}`, { owner: nodes[owner].id })
        check(found?.value.length === valueBytes, 'the value came back')
      })
    },
  }
}
