import { mkdtemp, rm } from 'node:fs/promises'
import { createSocket } from 'node:dgram'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { Address } from '../../ts/net/address.ts'
import { QuicTransport } from '../../ts/net/quic.ts'
import type { Transport } from '../../ts/net/transport.ts'
import { limitPeerBytes, nativeFigures } from '../../ts/native/figures.ts'
import { Identity } from '../../ts/native/key-file.ts'
import { pattern, Recorder, withPair, type TransportPair } from './harness.ts'
import { Relay } from './relay.ts'
import { transportContract } from './transport.ts'

transportContract('QUIC over loopback', makePair)

test(
  'a dial to a peer that was met before resumes the session and sends its first request early',
  withPair(makePair, async (pair) => {
    const [a, b] = [quic(pair.a), quic(pair.b)]
    const atB = new Recorder()
    await a.listen(new Recorder())
    const peer = { id: b.localId, addresses: await b.listen(atB) }
    const dial = async (seed: number) => {
      const request = { protocol: 7, body: pattern(1_000, seed) }
      const { connection, answer } = a.connectAndAsk(peer, request)
      expect(await answer).toEqual(request.body)
      const ready = await connection
      // The next session has come when a request after the handshake is answered.
      await ready.request(8, new Uint8Array(1))
      const atOther = await atB.connection()
      ready.close(0)
      await atOther.closed
    }
    for (let seed = 0; seed < 5; seed += 1) await dial(seed)

    expect(a.figures().get('count.early_data.accepted')).toBe(4)
    expect(b.figures().get('count.handshakes.inbound.resumed')).toBe(4)
    expect(b.figures().get('count.handshakes.inbound.full')).toBe(1)
    const first = atB.requests.filter(({ protocol }) => protocol === 7)
    expect(first.map(({ peer: from }) => from)).toEqual(Array(5).fill(a.localId))
    expect(first[0]!.connection).toBeDefined()
  }),
)

test(
  'a peer that gets another port keeps its connection and is known there',
  withPair(makePair, async ({ a, b }) => {
    const atB = new Recorder()
    await a.listen(new Recorder())
    const [address] = await b.listen(atB)
    const relay = await Relay.start(address!)
    try {
      const connection = await a.connect({ id: b.localId, addresses: [relay.address] })
      await connection.request(7, new Uint8Array(1))
      expect((await atB.connection()).remote).toEqual(relay.seenAt)

      await relay.rebind()
      await connection.request(7, new Uint8Array(1))
      await atB.has(() => atB.moved.length > 0)

      expect(atB.moved).toEqual([await atB.connection()])
      expect(atB.moved[0]!.remote).toEqual(relay.seenAt)
    } finally {
      relay.close()
    }
  }),
)

test(
  'what peers may make the process hold is set when a transport binds, and too little is refused',
  withPair(makePair, async (pair) => {
    const limit = () => nativeFigures().get('peer_bytes_limit')
    const before = limit()!
    const directory = await mkdtemp(join(tmpdir(), 'espalier-contract-'))
    const identity = await Identity.create({ path: join(directory, 'key') })
    const transport = (peerBytes: number) =>
      QuicTransport.create({ identity, port: 0, hosts: ['127.0.0.1'], peerBytes })
    await expect(transport(2 ** 24 - 1).listen(new Recorder())).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    })
    expect(limit()).toBe(before)
    const least = transport(2 ** 24)
    await least.listen(new Recorder())
    expect(limit()).toBe(2 ** 24)

    // What is left is enough for others to work.
    await quic(pair.a).listen(new Recorder())
    const peer = { id: pair.b.localId, addresses: await pair.b.listen(new Recorder()) }
    const connection = await pair.a.connect(peer)
    expect(await connection.request(7, pattern(60_000, 1))).toEqual(pattern(60_000, 1))

    limitPeerBytes(before)
    expect(limit()).toBe(before)
    await least.close()
    identity[Symbol.dispose]()
    await rm(directory, { recursive: true })
  }),
)

async function makePair(): Promise<TransportPair> {
  const directory = await mkdtemp(join(tmpdir(), 'espalier-contract-'))
  const made: { readonly transport: QuicTransport; readonly identity: Identity }[] = []
  const create = async (address?: Address) => {
    const identity = await Identity.create({ path: join(directory, `${made.length}.key`) })
    const { host = '127.0.0.1', port = 0 } = address ?? {}
    const transport = QuicTransport.create({ identity, port, hosts: [host] })
    made.push({ transport, identity })
    return transport
  }
  return {
    a: await create(),
    b: await create(),
    create,
    deadAddress: await silentAddress(),
    advance: (durationMs) => new Promise((resolve) => setTimeout(resolve, durationMs)),
    until: (promise) => promise,
    end: async () => {
      await Promise.all(made.map(({ transport }) => transport.close()))
      for (const { identity } of made) identity[Symbol.dispose]()
      await rm(directory, { recursive: true })
    },
  }
}

function quic(transport: Transport): QuicTransport {
  if (transport instanceof QuicTransport) return transport
  throw new Error('the pair is made of real transports')
}

/** An address that was free a moment ago, so that nobody answers there. */
function silentAddress(): Promise<Address> {
  return new Promise((resolve, reject) => {
    const socket = createSocket('udp4')
    socket.once('error', reject)
    socket.bind(0, '127.0.0.1', () => {
      const { port } = socket.address()
      socket.close(() => resolve({ host: '127.0.0.1', port }))
    })
  })
}
