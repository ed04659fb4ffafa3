// The objects that the public doors hand out, in every state that they can be in, and good arguments for them.
import { mkdtempSync } from 'node:fs'
import { join } from 'node:path'

const SIZES = [0, 1, 12, 16, 24, 31, 32, 33, 48, 64, 100, 1024, 1088, 1184, 1952, 3309, 4096, 20_000]
const BY_NAME = {
  publicKey: [1952],
  signature: [3309],
  encapsulationKey: [1184],
  ciphertext: [1088],
  key: [32],
  root: [32],
  seed: [32, 64],
  nonce: [12, 24],
  out: [32, 64],
}
/** Calls that stretch keys, start nodes or write files. */
const RARE =
  /localNetwork|^Identity|createNode|EspalierNode\.(start|put|get|lookup|stop)|Objects\.|NodeProviders\.|NodeRegisters\.|LocalNetwork/
/** Types that users implement. */
const OF_USERS = [
  'Env',
  'Clock',
  'Timer',
  'Rng',
  'Log',
  'NodeCrypto',
  'Inbound',
  'NetworkPath',
  'SimEndpoint',
  'Counter',
  'Gauge',
  'Histogram',
  'Meter',
]
/**
 * The simulator trusts the test that it is a part of: nothing in it leads to native code, and a hostile size asks it
 * for hours of work. What `simulatedNetwork` is told has a unit test.
 */
const SIMULATOR = [
  'simEnv',
  'World',
  'SimNetwork',
  'SimTransport',
  'SimDisk',
  'simulatedNetwork',
  'SimulatedNetwork',
  'SimulatedNode',
  'SeededRng',
  'Transport',
  'Connection',
  'ByteStream',
]
const EXEMPT = new Set([...OF_USERS, ...SIMULATOR])
const ENDS = /^(stop|@@dispose|@@asyncDispose)$/

/** Makes all of them; `plan.folder` is theirs. */
export async function instancesFor({ index, crypto, testing }, plan) {
  const folder = mkdtempSync(join(plan.folder, 'doors-'))
  const path = (name) => join(folder, name)
  const open = { signing: crypto.SigningKey.generate(), secret: crypto.DecapsulationKey.generate() }
  const closed = { signing: crypto.SigningKey.generate(), secret: crypto.DecapsulationKey.generate() }
  for (const key of Object.values(closed)) key[Symbol.dispose]()
  const hasher = crypto.createHasher()
  const longHasher = crypto.createHasher().update(new Uint8Array(10_000))
  const closedHasher = crypto.createHasher()
  closedHasher[Symbol.dispose]()
  const identity = await index.Identity.create({ path: path('identity'), hardness: 'fast' })
  const closedIdentity = await index.Identity.create({ path: path('closed'), hardness: 'fast' })
  closedIdentity[Symbol.dispose]()
  const node = (name) => index.createNode({ dataDir: path(name), hosts: ['127.0.0.1'], allowPrivate: true })
  const running = node('running')
  await running.start()
  const stopped = node('stopped')
  await stopped.start()
  const stoppedObjects = stopped.objects
  const stoppedProviders = stopped.providers
  const stoppedRegisters = stopped.registers
  await stopped.stop()
  const local = await testing.localNetwork(1)

  const made = {
    SigningKey: [() => open.signing, () => closed.signing],
    DecapsulationKey: [() => open.secret, () => closed.secret],
    Hasher: [() => hasher, () => longHasher, () => closedHasher],
    ErasureCoder: [() => new crypto.ErasureCoder({ dataShards: 2, parityShards: 1 })],
    Identity: [() => identity, () => closedIdentity],
    EspalierNode: [() => running, () => stopped, () => node('unstarted')],
    Objects: [() => running.objects, () => stoppedObjects],
    NodeProviders: [() => running.providers, () => stoppedProviders],
    NodeRegisters: [() => running.registers, () => stoppedRegisters],
    EspalierError: [() => new index.EspalierError('CLOSED', 'text')],
    LocalNetwork: [() => local],
  }
  const ended = await testing.localNetwork(1)
  await ended.stop()
  // What ends an object is called on others than those that the rest of the calls needs.
  const ending = {
    SigningKey: [() => crypto.SigningKey.generate(), () => closed.signing],
    DecapsulationKey: [() => crypto.DecapsulationKey.generate(), () => closed.secret],
    Hasher: [() => crypto.createHasher(), () => closedHasher],
    Identity: [() => closedIdentity],
    EspalierNode: [() => node('unstarted'), () => stopped],
    Objects: [() => stoppedObjects],
    LocalNetwork: [() => ended],
  }

  return {
    isExempt: (name) => EXEMPT.has(name),
    /** Ways to an object of the type; none for one that is exempt, `undefined` for one that is forgotten here. */
    of(type, member) {
      if (EXEMPT.has(type)) return []
      return (ENDS.test(member) && ending[type]) || made[type]
    },
    isRare: (label) => RARE.test(label),
    good(name, kind, dice) {
      if (kind === 'bytes') return bytes(name, dice)
      if (kind === 'text') return dice.pick(textsFor(name, { folder, running, dice }))
      if (kind === 'number')
        return name.endsWith('Ms') ? dice.pick([0, 1, 1000]) : dice.pick([0, 1, 2, 3, 8, 32, 100])
      if (kind === 'flag') return dice.below(2) === 0
      if (kind === 'function') return () => undefined
      return undefined
    },
    async close() {
      await Promise.all([running.stop(), stopped.stop(), local.stop()])
    },
  }
}

function textsFor(name, { folder, running, dice }) {
  if (/path|dataDir/i.test(name)) return [join(folder, `file-${dice.below(8)}`), join(folder, 'none', 'file')]
  if (/id|owner/i.test(name)) return [running.id, 'text']
  if (/host/i.test(name)) return ['127.0.0.1', '::1', 'text']
  if (/hardness/.test(name)) return ['fast']
  return ['text', 'name', '127.0.0.1:4840', `${running.id}@127.0.0.1:4840`, '[::1]:1', 'context']
}

function bytes(name, dice) {
  const sizes = BY_NAME[name] !== undefined && dice.below(4) > 0 ? BY_NAME[name] : SIZES
  return new Uint8Array(dice.pick(sizes)).fill(dice.below(256))
}
