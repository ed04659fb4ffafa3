// libp2p over its QUIC transport: one side of two processes, run by Node 24 (it needs 22).
import { check, hold, pattern, pour, repeatTogether, serve } from '../lib/child.mjs'

const ECHO = '/bench/echo/1'
const SINK = '/bench/sink/1'
const CHUNK_BYTES = 64 << 10
const [role, server] = process.argv.slice(2)

await serve(async () => {
  const [{ createLibp2p }, { quic }, { multiaddr }] = await Promise.all([
    import('libp2p'),
    import('@chainsafe/libp2p-quic'),
    import('@multiformats/multiaddr'),
  ])
  const node = await createLibp2p({
    transports: [quic()],
    addresses: { listen: ['/ip4/127.0.0.1/udp/0/quic-v1'] },
    // Its limits protect a node on the internet; here they would be what is measured.
    connectionManager: {
      maxConnections: 10_000,
      inboundConnectionThreshold: Infinity,
      maxIncomingPendingConnections: 1000,
    },
    connectionMonitor: { enabled: false },
  })
  return role === 'server' ? answering(node) : asking(node, multiaddr(JSON.parse(server).address))
})

async function answering(node) {
  const many = { maxInboundStreams: 10_000, maxOutboundStreams: 10_000 }
  await node.handle(ECHO, (stream) => echo(stream).catch(() => undefined), many)
  await node.handle(SINK, (stream) => count(stream).catch(() => undefined), many)
  return {
    greeting: { address: node.getMultiaddrs()[0].toString() },
    operations: {},
    end: () => node.stop(),
  }
}

async function echo(stream) {
  for await (const chunk of stream) await send(stream, chunk)
  await stream.close()
}

async function count(stream) {
  let bytes = 0
  for await (const chunk of stream) bytes += chunk.byteLength
  const answer = Buffer.alloc(8)
  answer.writeBigUInt64LE(BigInt(bytes))
  await send(stream, answer)
  await stream.close()
}

async function send(stream, bytes) {
  if (stream.send(bytes) || !stream.writableNeedsDrain) return
  // Not `onDrain()`: its promise is kept after the first time, so a second wait ends at once.
  await new Promise((resolve, reject) => {
    const settle = (event) => {
      stream.removeEventListener('drain', settle)
      stream.removeEventListener('close', settle)
      if (event.error === undefined) resolve()
      else reject(event.error)
    }
    stream.addEventListener('drain', settle)
    stream.addEventListener('close', settle)
  })
}

async function readAll(stream) {
  const chunks = []
  for await (const chunk of stream) chunks.push(chunk.subarray())
  return Buffer.concat(chunks)
}

function asking(node, address) {
  // Every dial is a handshake of its own.
  const dial = () => node.dial(address, { force: true })
  const open = (connection, protocol) =>
    connection.newStream(protocol, { maxOutboundStreams: 10_000, negotiateFully: false })
  const request = async (connection, body) => {
    const stream = await open(connection, ECHO)
    await send(stream, body)
    // Closing settles after the far end has closed too, so the answer is read meanwhile.
    const [answer] = await Promise.all([readAll(stream), stream.close()])
    check(answer.length === body.length, 'the echo')
  }
  const dialAndAsk = async () => {
    const connection = await dial()
    await request(connection, pattern(64))
    return connection
  }
  return {
    operations: {
      stream: async ({ seconds }) => {
        const connection = await dial()
        const stream = await open(connection, SINK)
        const chunk = pattern(CHUNK_BYTES)
        const measured = await pour(seconds, {
          write: () => send(stream, chunk),
          finish: async () => {
            const [answer] = await Promise.all([readAll(stream), stream.close()])
            return Number(answer.readBigUInt64LE())
          },
        })
        await connection.close()
        return measured
      },
      requests: async ({ seconds, inFlight, bodyBytes }) => {
        const connection = await dial()
        const body = pattern(bodyBytes)
        const measured = await repeatTogether({ seconds, inFlight }, () => request(connection, body))
        await connection.close()
        return measured
      },
      connect: async ({ seconds, inFlight }) => {
        if (inFlight > 1) throw new Error('it joins parallel dials of one node into one connection')
        return repeatTogether({ seconds, inFlight }, async () => (await dialAndAsk()).close())
      },
      hold: (command) => hold(command, dialAndAsk),
    },
    end: () => node.stop(),
  }
}
