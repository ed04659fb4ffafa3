import { mkdtemp, rm } from 'node:fs/promises'
import { createSocket } from 'node:dgram'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Address } from '../../ts/net/address.ts'
import { QuicTransport } from '../../ts/net/quic.ts'
import { Identity } from '../../ts/native/key-file.ts'
import type { TransportPair } from './harness.ts'
import { transportContract } from './transport.ts'

transportContract('QUIC over loopback', makePair)

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
