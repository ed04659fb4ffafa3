// iroh's JavaScript binding: one side of two processes. Its bytes are arrays of numbers.
import { createRequire } from 'node:module'
import { check, hold, pattern, pour, repeatTogether, serve } from '../lib/child.mjs'

const ALPN = [...Buffer.from('bench/1')]
const CHUNK_BYTES = 64 << 10
const MAX_BYTES = 1 << 20
const ECHO = 0
const SINK = 1
const [role, server] = process.argv.slice(2)

await serve(async () => {
  const iroh = createRequire(import.meta.url)('@number0/iroh')
  const builder = iroh.Endpoint.builder()
  builder.applyMinimal()
  builder.relayMode(iroh.RelayMode.disabled())
  builder.alpns([ALPN])
  builder.bindAddr('127.0.0.1:0')
  const endpoint = await builder.bind()
  return role === 'server' ? answering(endpoint) : asking(iroh, endpoint, JSON.parse(server))
})

function answering(endpoint) {
  void accept(endpoint)
  const addresses = endpoint.boundSockets().filter((address) => address.startsWith('127.'))
  return {
    greeting: { id: endpoint.id().toString(), addresses },
    operations: {},
    end: () => endpoint.close(),
  }
}

async function accept(endpoint) {
  for (let incoming = await endpoint.acceptNext(); incoming; incoming = await endpoint.acceptNext()) {
    void converse(incoming).catch(() => undefined)
  }
}

async function converse(incoming) {
  const connection = await (await incoming.accept()).connect()
  for (;;) void answer(await connection.acceptBi()).catch(() => undefined)
}

async function answer({ send, recv }) {
  const [kind] = await recv.readExact(1)
  if (kind === ECHO) {
    await send.writeAll(await recv.readToEnd(MAX_BYTES))
  } else {
    let bytes = 0
    for (let chunk = await recv.read(CHUNK_BYTES); chunk?.length > 0; chunk = await recv.read(CHUNK_BYTES)) {
      bytes += chunk.length
    }
    const count = Buffer.alloc(8)
    count.writeBigUInt64LE(BigInt(bytes))
    await send.writeAll([...count])
  }
  await send.finish()
}

function asking(iroh, endpoint, { id, addresses }) {
  const address = new iroh.EndpointAddr(iroh.EndpointId.fromString(id), null, addresses)
  const dial = () => endpoint.connect(address, ALPN)
  const hangUp = (connection) => connection.close(0n, [])
  const request = async (connection, body) => {
    const { send, recv } = await connection.openBi()
    await send.writeAll(body)
    await send.finish()
    check((await recv.readToEnd(MAX_BYTES)).length === body.length - 1, 'the echo')
  }
  const dialAndAsk = async () => {
    const connection = await dial()
    await request(connection, [ECHO, ...pattern(64)])
    return connection
  }
  return {
    operations: {
      stream: async ({ seconds }) => {
        const connection = await dial()
        const { send, recv } = await connection.openBi()
        const chunk = [...pattern(CHUNK_BYTES)]
        await send.writeAll([SINK])
        const measured = await pour(seconds, {
          write: () => send.writeAll(chunk),
          finish: async () => {
            await send.finish()
            return Number(Buffer.from(await recv.readToEnd(8)).readBigUInt64LE())
          },
        })
        hangUp(connection)
        return measured
      },
      requests: async ({ seconds, inFlight, bodyBytes }) => {
        const connection = await dial()
        const body = [ECHO, ...pattern(bodyBytes)]
        const measured = await repeatTogether({ seconds, inFlight }, () => request(connection, body))
        hangUp(connection)
        return measured
      },
      hold: (command) => hold(command, dialAndAsk),
      connect: ({ seconds, inFlight }) =>
        repeatTogether({ seconds, inFlight }, async () => hangUp(await dialAndAsk())),
    },
    end: () => endpoint.close(),
  }
}
