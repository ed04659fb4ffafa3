import { expect, test } from 'vitest'
import { runProgram } from '../e2e/support/child.ts'
import { runtime, RUNTIMES } from '../e2e/support/runtime.ts'

/** Growth, writes, bad weather, deaths, a restart, reading and upkeep; prints the trace. */
const SCENARIO = `
const network = await simulatedNetwork(10, { seed: 'determinism' })
const [alice, bob, carol, dave] = network.nodes
await network.until(alice.put('season', Buffer.from('winter')))
network.setWeather({ lossRatio: 0.1, jitterMs: 30 })
carol.crash()
dave.crash()
dave.disk.setFaults({ writeMs: 5 })
await network.run(600_000)
await network.until(dave.start())
const found = await network.until(bob.get('season', { owner: alice.id }))
await network.run(600_000)
console.log(JSON.stringify({ value: Buffer.from(found.value).toString(), trace: network.world.traceHash() }))`

/** From now on whoever asks the host for time, a timer or randomness is thrown out. */
const GUARDS = `
import crypto from 'node:crypto'
import { syncBuiltinESMExports } from 'node:module'
const guard = (owner, name) => Object.defineProperty(owner, name, {
  value: () => { throw new Error('touched ' + name) },
})
for (const name of ['setTimeout', 'setInterval', 'setImmediate', 'Date']) guard(globalThis, name)
guard(Math, 'random')
guard(performance, 'now')
guard(globalThis.crypto, 'getRandomValues')
for (const name of ['randomBytes', 'randomFillSync', 'randomInt', 'randomUUID']) guard(crypto, name)
syncBuiltinESMExports()
let refused = 0
for (const ask of [() => new Date(), () => Math.random(), () => performance.now(), () => setTimeout(() => 0), () => crypto.randomBytes(1)]) {
  try { ask() } catch { refused += 1 }
}
if (refused !== 5) throw new Error('the guards do not hold')`

const IMPORT = `import { simulatedNetwork } from 'espalier/testing'\n`

test('the simulator asks the host for no time, no timer and no randomness', async () => {
  const plain = await runProgram(IMPORT + SCENARIO)
  const guarded = await runProgram(IMPORT + GUARDS + SCENARIO)

  expect(plain, plain.stderr).toMatchObject({ code: 0, facts: [{ value: 'winter' }] })
  expect(guarded, guarded.stderr).toMatchObject({ code: 0, stdout: plain.stdout })
}, 180_000)

test.skipIf(!RUNTIMES.includes('Node 24'))(
  // The registry has plain binaries of other lines of Node for this platform only.
  'equal seeds give equal traces on both lines of Node that are supported longest',
  async () => {
    const here = await runProgram(IMPORT + SCENARIO)
    const there = await runProgram(`${IMPORT}console.error(process.version)${SCENARIO}`, runtime('Node 24'))

    expect(there, there.stderr).toMatchObject({ code: 0, stdout: here.stdout })
    expect(there.stderr).toMatch(/^v24\./)
    expect(here.facts).toMatchObject([{ trace: expect.stringMatching(/^[0-9a-f]{64}$/) as string }])
  },
  360_000,
)
