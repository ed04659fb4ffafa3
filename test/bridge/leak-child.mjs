// Makes each call so often that what it keeps shows, and says as JSON how many bytes of memory each call cost, and
// what connections leave behind. Arguments: the folder of the compiled package, one for files, calls, connections.
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

const [dist, folder, calls, connections] = process.argv.slice(2)
const load = (path) => import(pathToFileURL(join(dist, path)).href)
const crypto = await load('crypto.js')
const { EspalierError, Identity } = await load('index.js')
const { QuicTransport } = await load('net/quic.js')
const { decodeSegment, encodeSegment } = await load('native/segment.js')
const { placeShardFile, readShardFile, writeShardFile } = await load('native/shard-file.js')
const { lockFile } = await load('native/lock.js')

const bytes = new Uint8Array(1024)
const key = new Uint8Array(32)
const out = new Uint8Array(64)
const signing = crypto.SigningKey.generate()
const secret = crypto.DecapsulationKey.generate()
const signature = signing.sign(bytes)
const { ciphertext } = crypto.encapsulate(secret.encapsulationKey)
const box = { key, nonce: new Uint8Array(24), message: bytes }
const sealed = crypto.seal(box)
const tree = crypto.outboard(bytes)
const range = { start: 0, length: 100 }
const slice = crypto.extractSlice(bytes, tree.nodes, range)
const layout = { dataShards: 2, parityShards: 1 }
const coder = new crypto.ErasureCoder(layout)
const segment = { key, index: 0, plaintext: bytes, layout }
const { shards } = await encodeSegment(segment)
const identity = await Identity.create({ path: join(folder, 'identity'), hardness: 'fast' })
const files = join(folder, 'shards')
mkdirSync(files)
const digest = crypto.hash(bytes)
await writeShardFile(join(files, 'kept'), bytes, digest)

/** By name; `share` makes the slow ones less often. */
const CALLS = {
  hash: [1, () => crypto.hash(bytes)],
  hashInto: [1, () => crypto.hashInto(bytes, out)],
  hashMany: [1, () => crypto.hashMany([bytes, key])],
  keyedHash: [1, () => crypto.keyedHash(key, bytes)],
  deriveKey: [1, () => crypto.deriveKey('context', bytes)],
  'a hasher with native state, disposed': [
    0.5,
    () => crypto.createHasher().update(new Uint8Array(5000)).update(bytes)[Symbol.dispose](),
  ],
  'a signing key, disposed': [0.05, () => crypto.SigningKey.generate()[Symbol.dispose]()],
  'a decapsulation key, disposed': [0.2, () => crypto.DecapsulationKey.generate()[Symbol.dispose]()],
  sign: [0.05, () => signing.sign(bytes)],
  verify: [0.1, () => crypto.verify(signing.publicKey, bytes, signature)],
  verifyMany: [0.1, () => crypto.verifyMany([{ publicKey: signing.publicKey, message: bytes, signature }])],
  encapsulate: [0.2, () => crypto.encapsulate(secret.encapsulationKey)],
  decapsulate: [0.2, () => secret.decapsulate(ciphertext)],
  seal: [1, () => crypto.seal(box)],
  open: [1, () => crypto.open({ key, nonce: box.nonce, sealed })],
  outboard: [1, () => crypto.outboard(bytes)],
  extractSlice: [1, () => crypto.extractSlice(bytes, tree.nodes, range)],
  verifySlice: [1, () => crypto.verifySlice(tree.root, { ...range, totalBytes: 1024, slice })],
  encode: [1, () => coder.encode([bytes, bytes])],
  reconstruct: [1, () => coder.reconstruct([bytes, undefined, bytes])],
  encodeSegment: [0.5, () => encodeSegment(segment)],
  decodeSegment: [0.5, () => decodeSegment({ key, index: 0, layout, plaintextBytes: 1024, shards })],
  'a refused argument': [1, () => refused(() => crypto.hash('text'))],
  'a refusal of native code': [
    1,
    () => refused(() => crypto.open({ key, nonce: box.nonce, sealed: new Uint8Array(64) })),
  ],
  'words of an identity': [1, () => identity.exportWords()],
  'a lock, released': [0.5, () => lockFile(join(folder, 'lock')).release()],
  'a shard read': [0.3, () => readShardFile(join(files, 'kept'), { sizeBytes: 1024, hash: digest })],
  'a shard written and placed': [0.01, shardWritten],
}

function refused(attempt) {
  try {
    attempt()
  } catch (error) {
    if (error instanceof EspalierError) return
  }
  throw new Error('nothing was refused')
}

async function shardWritten() {
  const [from, to] = [join(files, 'new'), join(files, 'placed')]
  await writeShardFile(from, bytes, digest)
  await placeShardFile({ from, to })
  rmSync(to)
}

async function repeat(count, call) {
  for (let at = 0; at < count; at += 1) {
    const result = call()
    if (result instanceof Promise) await result
  }
}

/** Garbage is gone and what was freed has been given back. */
async function settled() {
  for (let round = 0; round < 4; round += 1) {
    globalThis.gc()
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  const { rss, external } = process.memoryUsage()
  return { rss, external }
}

const slopes = {}
/** In the part that kept least. */
const counted = {}
const externals = {}
for (const [name, [share, call]] of Object.entries(CALLS)) {
  const count = Math.max(200, Math.ceil(Number(calls) * share))
  await repeat(count / 2, call)
  const before = await settled()
  let least = Infinity
  let last = before
  // A leak is in every part; what the allocator does is not.
  for (let part = 0; part < 3; part += 1) {
    await repeat(count / 3, call)
    const now = await settled()
    least = Math.min(least, (now.rss - last.rss) / (count / 3))
    last = now
  }
  slopes[name] = Math.round(least)
  counted[name] = Math.floor(count / 3)
  externals[name] = last.external - before.external
}

const inbound = {
  onRequest: async ({ body }) => body,
  onStream: () => undefined,
  onDatagram: () => undefined,
  onConnection: () => undefined,
}
const listening = QuicTransport.create({ identity, hosts: ['127.0.0.1'], port: 0 })
const [address] = await listening.listen(inbound)
const other = await Identity.create({ path: join(folder, 'other'), hardness: 'fast' })
const dialling = QuicTransport.create({ identity: other, hosts: ['127.0.0.1'], port: 0 })
await dialling.listen(inbound)

async function connectAndClose() {
  const connection = await dialling.connect({ id: identity.id, addresses: [address] })
  await connection.request(1, bytes)
  connection.close(0)
  await connection.closed
}

async function endpointAndClose() {
  const transport = QuicTransport.create({ identity: other, hosts: ['127.0.0.1'], port: 0 })
  await transport.listen(inbound)
  await transport.close()
}

async function counts() {
  const { rss } = await settled()
  // Elsewhere nothing tells them; the memory counts everywhere.
  const linux = process.platform === 'linux'
  const fds = linux ? readdirSync('/proc/self/fd').length : 0
  const threads = linux ? Number(/Threads:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) : 0
  return { rss, fds, threads, handles: process.getActiveResourcesInfo().length }
}

const rounds = []
// The first one fills what is kept on purpose.
for (let round = 0; round < 7; round += 1) {
  await repeat(Number(connections) / 4, connectAndClose)
  await repeat(Number(connections) / 40, endpointAndClose)
  rounds.push(await counts())
}
await Promise.all([listening.close(), dialling.close()])
process.stdout.write(JSON.stringify({ slopes, calls: counted, externals, rounds }) + '\n')
