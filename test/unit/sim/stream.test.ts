import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { EspalierError } from '../../../ts/base/error.ts'
import { nodeIdFromBytes } from '../../../ts/base/identity.ts'
import { SimNetwork } from '../../../ts/sim/network.ts'
import { SimTransport } from '../../../ts/sim/transport.ts'
import { World } from '../../../ts/sim/world.ts'
import { pattern, Recorder } from '../../contract/harness.ts'

const sizes = fc.array(fc.nat(300_000), { minLength: 1, maxLength: 12 })

describe('a simulated stream', () => {
  test('carries any writes to any reads byte for byte', async () => {
    await fc.assert(
      fc.asyncProperty(sizes, sizes, async (writes, reads) => {
        const { world, atB, connection } = await setUp()
        const near = await world.runUntil(connection.openStream(1))
        const written = writes.map((size, index) => pattern(size, index))
        const writing = (async () => {
          for (const piece of written) await near.write(piece)
          await near.closeWrite()
        })()
        const far = await world.runUntil(atB.stream())
        const heard: Uint8Array[] = []
        const reading = (async () => {
          for (let turn = 0; ; turn += 1) {
            const target = new Uint8Array(1 + reads[turn % reads.length]!)
            const count = await far.readInto(target)
            if (count === 0) return
            heard.push(target.subarray(0, count))
          }
        })()
        await world.runUntil(Promise.all([writing, reading]))

        expect(Buffer.compare(Buffer.concat(heard), Buffer.concat(written))).toBe(0)
      }),
      { numRuns: 40 },
    )
  })

  test('holds at most its window in the network, however much is written', async () => {
    const { world, atB, connection } = await setUp()
    const near = await world.runUntil(connection.openStream(1))
    let isTaken = false
    const first = near.write(pattern(262_144))
    const next = near.write(pattern(1)).then(() => {
      isTaken = true
    })
    await world.runUntil(first)
    await world.run(60_000)
    expect(isTaken).toBe(false)

    const far = await world.runUntil(atB.stream())
    await world.runUntil(far.readInto(new Uint8Array(262_144)))

    await world.runUntil(next)
  })

  test('a reset ends a writer that waits', async () => {
    const { world, atB, connection } = await setUp()
    const near = await world.runUntil(connection.openStream(1))
    const code = near.write(pattern(1_000_000)).catch((error: unknown) => (error as EspalierError).code)
    const far = await world.runUntil(atB.stream())
    await world.run(1_000)

    far.reset(3)

    expect(await world.runUntil(code)).toBe('STREAM_RESET')
  })
})

describe('a simulated connection', () => {
  test('has at most 1,024 requests under way in a direction; the others wait their turn', async () => {
    let serving = 0
    let most = 0
    const { world, connection } = await setUp(async (body) => {
      serving += 1
      most = Math.max(most, serving)
      await new Promise<void>((resolve) => world.schedule(10, resolve))
      serving -= 1
      return body
    })

    const answers = Array.from({ length: 3_000 }, (_, index) =>
      connection.request(1, Uint8Array.of(index & 255)),
    )

    expect((await world.runUntil(Promise.all(answers))).map(([byte]) => byte)).toEqual(
      answers.map((_, index) => index & 255),
    )
    expect(most).toBe(1_024)
  })

  test('has at most 1,024 streams', async () => {
    const { world, connection } = await setUp()
    const streams = await world.runUntil(
      Promise.all(Array.from({ length: 1_024 }, () => connection.openStream(1))),
    )

    await expect(connection.openStream(1)).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' })
    streams[0]!.reset(0)
    await expect(connection.openStream(1)).resolves.toBeDefined()
  })
})

async function setUp(answer: (body: Uint8Array) => Promise<Uint8Array> = (body) => Promise.resolve(body)) {
  const world = new World({ seed: 'stream' })
  const network = new SimNetwork(world)
  const [a, b] = ['a', 'b'].map(
    (name) => new SimTransport(network, { id: nodeIdFromBytes(world.rng.split(name).bytes(32)) }),
  ) as [SimTransport, SimTransport]
  const atB = new Recorder(({ body }) => answer(body))
  await a.listen(new Recorder())
  await b.listen(atB)
  const connection = await world.runUntil(a.connect({ id: b.localId, addresses: [b.address] }))
  return { world, atB, connection }
}
