import { makeNetwork, ECHO, type TestNode } from '../net/rpc-network.ts'

/**
 * A small busy world: nodes ask each other, some at the wrong time, while the network splits, heals and
 * loses a node. Answers the hash over everything that happened.
 */
export async function busyWorld(seed: string): Promise<string> {
  const network = makeNetwork(seed)
  const { world, sim } = network
  const rng = world.rng.split('scenario')
  const nodes = Array.from({ length: 12 }, (_, index) => network.node(`node ${index}`))
  for (const { rpc } of nodes) {
    rpc.handle(ECHO, (request) => request)
    await rpc.start()
  }
  const pick = () => nodes[rng.below(nodes.length)] as TestNode
  for (let call = 0; call < 300; call += 1) {
    const [from, to] = [pick(), pick()]
    world.schedule(rng.below(60_000), () => {
      from.rpc.request(to.peer, ECHO, `${call}`, { timeoutMs: 2_000 }).then(
        () => world.record(`${call} answered`),
        (error: unknown) => world.record(`${call} ${(error as { code: string }).code}`),
      )
    })
  }
  const half = nodes.slice(0, 6).map(({ id }) => id)
  world.schedule(20_000, () => sim.partition([half]))
  world.schedule(30_000, () => sim.heal())
  world.schedule(40_000, () => sim.kill(pick().address))
  await world.run(120_000)
  return world.traceHash()
}
