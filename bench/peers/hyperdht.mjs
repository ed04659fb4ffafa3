// hyperdht (UDX and Noise): one side of two processes. It has one stream per connection, so requests travel
// on a kept stream, and answers come back in their order.
import { check, hold, pattern, pour, repeatTogether, serve } from '../lib/child.mjs'

const CHUNK_BYTES = 64 << 10
const TESTNET_NODES = 3
const [role, server] = process.argv.slice(2)

await serve(async () => {
  const { default: DHT } = await import('hyperdht')
  return role === 'server' ? answering(DHT) : asking(DHT, JSON.parse(server))
})

async function answering(DHT) {
  const { default: createTestnet } = await import('hyperdht/testnet.js')
  const testnet = await createTestnet(TESTNET_NODES, { host: '127.0.0.1' })
  const node = testnet.createNode({ firewalled: false, ephemeral: false })
  const listener = node.createServer((socket) => answer(socket))
  const keyPair = DHT.keyPair()
  await listener.listen(keyPair)
  return {
    greeting: { publicKey: keyPair.publicKey.toString('hex'), bootstrap: testnet.bootstrap },
    operations: {},
    end: () => testnet.destroy(),
  }
}

/** Messages keep their borders: 64 bytes are echoed, chunks are counted, one byte asks for the count. */
function answer(socket) {
  let bytes = 0
  socket.on('error', () => undefined)
  socket.on('data', (message) => {
    if (message.length === 64) socket.write(message)
    else if (message.length > 64) bytes += message.length
    else {
      const count = Buffer.alloc(8)
      count.writeBigUInt64LE(BigInt(bytes))
      socket.write(count)
    }
  })
  socket.on('end', () => socket.end())
}

async function asking(DHT, { publicKey, bootstrap }) {
  const node = new DHT({ bootstrap, host: '127.0.0.1' })
  await node.fullyBootstrapped()
  const key = Buffer.from(publicKey, 'hex')
  const dial = async () => {
    // The nodes that know the server are named, which spares it the look-up.
    const socket = node.connect(key, { relayAddresses: bootstrap })
    await new Promise((resolve, reject) => {
      socket.once('open', resolve)
      socket.once('error', reject)
    })
    socket.on('error', () => undefined)
    return socket
  }
  const dialAndAsk = async () => {
    const socket = await dial()
    const answered = once(socket, 'data')
    socket.write(Buffer.from(pattern(64)))
    check((await answered).length === 64, 'the echo')
    return socket
  }
  const hangUp = (socket) => {
    const closed = new Promise((resolve) => socket.once('close', resolve))
    socket.destroy()
    return closed
  }
  return {
    operations: {
      stream: async ({ seconds }) => {
        const socket = await dial()
        const chunk = Buffer.from(pattern(CHUNK_BYTES))
        const measured = await pour(seconds, {
          write: () => socket.write(chunk) || new Promise((resolve) => socket.once('drain', resolve)),
          finish: () => {
            const answered = once(socket, 'data')
            socket.write(Buffer.alloc(1))
            return answered.then((count) => Number(count.readBigUInt64LE()))
          },
        })
        await hangUp(socket)
        return measured
      },
      requests: async ({ seconds, inFlight, bodyBytes }) => {
        const socket = await dial()
        const body = Buffer.from(pattern(bodyBytes))
        // Bounded by the requests in flight.
        const waiting = []
        socket.on('data', (message) => waiting.shift()(message))
        const measured = await repeatTogether({ seconds, inFlight }, async () => {
          const answered = new Promise((resolve) => waiting.push(resolve))
          socket.write(body)
          check((await answered).length === bodyBytes, 'the echo')
        })
        await hangUp(socket)
        return measured
      },
      hold: (command) => hold(command, dialAndAsk),
      connect: ({ seconds, inFlight }) =>
        repeatTogether({ seconds, inFlight }, async () => hangUp(await dialAndAsk())),
    },
    end: () => node.destroy({ force: true }),
  }
}

function once(socket, event) {
  return new Promise((resolve, reject) => {
    socket.once(event, resolve)
    socket.once('close', () => reject(new Error('the connection was lost')))
  })
}
