import { nodeIdFromBytes } from '../../ts/base/identity.ts'
import { SimNetwork } from '../../ts/sim/network.ts'
import { SimTransport } from '../../ts/sim/transport.ts'
import { World } from '../../ts/sim/world.ts'
import type { Address } from '../../ts/net/address.ts'
import type { TransportPair } from './harness.ts'
import { transportContract } from './transport.ts'

transportContract('the simulator', makePair)

function makePair(): Promise<TransportPair> {
  const world = new World({ seed: 'contract' })
  const network = new SimNetwork(world)
  const made: SimTransport[] = []
  const create = (address?: Address) => {
    const id = nodeIdFromBytes(world.rng.split(`id ${made.length}`).bytes(32))
    const transport = new SimTransport(network, { id, ...address })
    made.push(transport)
    return transport
  }
  return Promise.resolve({
    a: create(),
    b: create(),
    create: (address) => Promise.resolve(create(address)),
    deadAddress: { host: '9.9.9.9', port: 9 },
    advance: (durationMs) => world.run(durationMs),
    until: (promise) => world.runUntil(promise),
    end: async () => {
      await Promise.all(made.map((transport) => transport.close()))
      await world.run(60_000)
    },
  })
}
