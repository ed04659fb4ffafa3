// How long the event loop of a process is kept waiting while it does a bit of everything at once: asks and is asked,
// sends a stream, and puts and gets named values as one node of a small network whose others live in the second process.
import { join } from 'node:path'
import { monitorEventLoopDelay, performance } from 'node:perf_hooks'
import { setTimeout as later } from 'node:timers/promises'
import { check, cpuSeconds, pattern, repeatTogether, serve } from '../lib/child.mjs'
import { scratchDirectory } from '../lib/scratch.mjs'

const ECHO = 0xff01
const SINK = 0xff02
const ASK_BACK = 0xff03
const HOST = '127.0.0.1'
const OTHER_NODES = 7
const IN_FLIGHT = 8
const BODY_BYTES = 64
const CHUNK_BYTES = 64 << 10
/** Between two values that are put and read. */
const VALUE_PAUSE_MS = 50
const VALUE_BYTES = 256
const RESOLUTION_MS = 1

const [role, server] = process.argv.slice(2)
// The network makes its directories in the temporary directory, and these have to be on a real disk.
const directory = scratchDirectory()
process.env.TMPDIR = directory

await serve(() => (role === 'server' ? other() : measured(JSON.parse(server))))

async function other() {
  const { localNetwork } = await import('../../dist/node/local-network.js')
  const network = await localNetwork(OTHER_NODES)
  const { transport, addresses, connections } = await openTransport()
  return {
    greeting: { id: transport.localId, addresses, bootstrap: network.bootstrap },
    operations: {},
    end: () => Promise.all([transport.close(), network.stop(), ...connections.map(({ closed }) => closed)]),
  }
}

async function measured(peer) {
  const { createNode } = await import('../../dist/index.js')
  const { transport } = await openTransport()
  const node = createNode({
    dataDir: join(directory, 'node'),
    hosts: [HOST],
    allowPrivate: true,
    bootstrap: [peer.bootstrap],
  })
  await node.start()
  return {
    operations: {
      mixed: async ({ seconds }) => {
        const connection = await transport.connect({ id: peer.id, addresses: peer.addresses })
        const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
        const cpuBefore = cpuSeconds()
        const startedAtMs = performance.now()
        delay.enable()
        await Promise.all([
          ask(connection, seconds),
          connection.request(ASK_BACK, Buffer.from(String(seconds)), { timeoutMs: (seconds + 30) * 1000 }),
          send(connection, seconds),
          putAndGet(node, seconds),
        ])
        delay.disable()
        const took = {
          seconds: (performance.now() - startedAtMs) / 1000,
          cpuSeconds: cpuSeconds() - cpuBefore,
        }
        connection.close(0)
        await connection.closed
        return { count: delay.count, ...took, ...lateness(delay) }
      },
    },
    end: () => Promise.all([transport.close(), node.stop()]),
  }
}

/** The histogram has the time from one timer to the next; what is over its period, the timer came late. */
function lateness(delay) {
  const late = (nanoseconds) => Math.max(0, nanoseconds / 1e6 - RESOLUTION_MS)
  return { delayP999Ms: late(delay.percentile(99.9)), delayMaxMs: late(delay.max) }
}

/** Answers requests, counts streams, and asks back whoever wants to be asked. */
async function openTransport() {
  const { Identity } = await import('../../dist/native/key-file.js')
  const { QuicTransport } = await import('../../dist/net/quic.js')
  const identity = await Identity.create({ path: join(directory, 'transport') })
  const transport = QuicTransport.create({ identity, port: 0, hosts: [HOST] })
  /** Of this transport. Bounded by one for each measurement. */
  const connections = []
  const addresses = await transport.listen({
    onRequest: async ({ protocol, body }) => {
      if (protocol !== ASK_BACK) return body
      await ask(connections.at(-1), Number(Buffer.from(body).toString()))
      return body
    },
    onStream: (_protocol, stream) => void drain(stream).catch(() => stream.reset(1)),
    onDatagram: () => undefined,
    onConnection: (connection) => void connections.push(connection),
  })
  return { transport, addresses, connections }
}

function ask(connection, seconds) {
  const body = pattern(BODY_BYTES)
  return repeatTogether({ seconds, inFlight: IN_FLIGHT }, async () => {
    const answer = await connection.request(ECHO, body)
    check(answer.length === BODY_BYTES, 'the echo')
  })
}

async function send(connection, seconds) {
  const stream = await connection.openStream(SINK)
  const chunk = pattern(CHUNK_BYTES)
  const endsAtMs = performance.now() + seconds * 1000
  while (performance.now() < endsAtMs) await stream.write(chunk)
  await stream.closeWrite()
  check((await stream.readInto(new Uint8Array(1))) === 0, 'the stream was read to its end')
}

async function drain(stream) {
  const slab = new Uint8Array(CHUNK_BYTES)
  while ((await stream.readInto(slab)) > 0);
  await stream.closeWrite()
}

async function putAndGet(node, seconds) {
  const endsAtMs = performance.now() + seconds * 1000
  for (let round = 0; performance.now() < endsAtMs; round += 1) {
    await node.put(`value-${round % 16}`, pattern(VALUE_BYTES, round))
    const found = await node.get(`value-${round % 16}`)
    check(found?.value.length === VALUE_BYTES, 'the value came back')
    await later(VALUE_PAUSE_MS)
  }
}
