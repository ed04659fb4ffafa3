// Espalier's QUIC transport, one side of two processes: `server`, or `client` with the server's greeting.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { check, hold, pattern, pour, repeatTogether, serve } from '../lib/child.mjs'

const ECHO = 0xff01
const SINK = 0xff02
const CHUNK_BYTES = 256 << 10
const HOST = '127.0.0.1'

const [role, server] = process.argv.slice(2)
const directory = mkdtempSync(join(tmpdir(), 'espalier-bench-'))
process.on('exit', () => rmSync(directory, { recursive: true, force: true }))

await serve(async () => {
  const { Identity } = await import('../../dist/native/key-file.js')
  const { QuicTransport } = await import('../../dist/net/quic.js')
  /** A node's transport that listens; there is one connection per pair, so parallel dials need several. */
  const open = async (name, inbound, { resumes = true } = {}) => {
    const identity = await Identity.create({ path: join(directory, name) })
    const transport = QuicTransport.create({ identity, port: 0, hosts: [HOST], resumes })
    const addresses = await transport.listen(inbound)
    return { transport, addresses }
  }
  return role === 'server' ? answering(open) : asking(open, JSON.parse(server))
})

async function answering(open) {
  const { transport, addresses } = await open('server', {
    onRequest: ({ body }) => Promise.resolve(body),
    onStream: (_protocol, stream) => void count(stream).catch(() => stream.reset(1)),
    onDatagram: () => undefined,
    onConnection: () => undefined,
  })
  return {
    greeting: { id: transport.localId, addresses },
    operations: {},
    end: () => transport.close(),
  }
}

/** Counts a stream's bytes and sends the count. */
async function count(stream) {
  const slab = new Uint8Array(CHUNK_BYTES)
  let bytes = 0
  for (let read = await stream.readInto(slab); read > 0; read = await stream.readInto(slab)) bytes += read
  const answer = Buffer.alloc(8)
  answer.writeBigUInt64LE(BigInt(bytes))
  await stream.write(answer)
  await stream.closeWrite()
}

function asking(open, peer) {
  const silent = {
    onRequest: () => Promise.reject(new Error('this side only asks')),
    onStream: (_protocol, stream) => stream.reset(1),
    onDatagram: () => undefined,
    onConnection: () => undefined,
  }
  const target = { id: peer.id, addresses: peer.addresses }
  /** Transports of this side that remember sessions, or don't. Bounded by the most that a command asks for. */
  const opened = new Map([
    [true, []],
    [false, []],
  ])
  const client = async (index, resumes) => {
    const transports = opened.get(resumes)
    while (transports.length <= index) {
      transports.push(await open(`client-${transports.length}-${resumes}`, silent, { resumes }))
    }
    return transports[index].transport
  }
  const dial = async (index = 0) => (await client(index, false)).connect(target)
  // Nobody waits for the end, as with quinn and iroh: the next dial makes a connection of its own.
  const hangUp = (connection) => connection.close(0)
  return {
    operations: {
      stream: async ({ seconds }) => {
        const connection = await dial()
        const stream = await connection.openStream(SINK)
        const chunk = pattern(CHUNK_BYTES)
        const measured = await pour(seconds, {
          write: () => stream.write(chunk),
          finish: async () => {
            await stream.closeWrite()
            return counted(stream)
          },
        })
        hangUp(connection)
        return measured
      },
      requests: async ({ seconds, inFlight, bodyBytes }) => {
        const connection = await dial()
        const body = pattern(bodyBytes)
        const measured = await repeatTogether({ seconds, inFlight }, async () => {
          const answer = await connection.request(ECHO, body)
          check(answer.length === bodyBytes, 'the echo')
        })
        hangUp(connection)
        return measured
      },
      hold: (command) =>
        hold(command, async (index) => {
          const connection = await dial(index)
          await connection.request(ECHO, pattern(64))
          return connection
        }),
      connect: async ({ seconds, inFlight, resumes = false }) => {
        const body = pattern(64)
        const one = async (index) => {
          const transport = await client(index, resumes)
          const dialled = transport.connectAndAsk(target, { protocol: ECHO, body })
          const answer = await dialled.answer
          check(answer.length === 64, 'the echo')
          hangUp(await dialled.connection)
        }
        // Identities, sockets and, where they are remembered, sessions are made before the clock runs.
        for (let index = 0; index < inFlight; index += 1) await one(index)
        return repeatTogether({ seconds, inFlight }, one)
      },
    },
    end: () => Promise.all([...opened.values()].flat().map(({ transport }) => transport.close())),
  }
}

async function counted(stream) {
  const answer = new Uint8Array(8)
  let filled = 0
  while (filled < 8) {
    const read = await stream.readInto(answer.subarray(filled))
    check(read > 0, 'the count came back')
    filled += read
  }
  return Number(Buffer.from(answer).readBigUInt64LE())
}
