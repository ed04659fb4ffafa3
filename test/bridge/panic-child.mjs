// Has a panic in every kind of native code path and says as JSON what became of it. Arguments: the folder of the
// compiled package, a folder for files. The addon has to be built with the feature `test-hooks`.
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Worker } from 'node:worker_threads'

const [dist, folder] = process.argv.slice(2)
const load = (path) => import(pathToFileURL(join(dist, path)).href)
const { addon } = await load('native/load.js')
const { native } = await load('native/error.js')
const { runJob } = await load('native/queue.js')
const { encodeSegment } = await load('native/segment.js')
const { QuicTransport } = await load('net/quic.js')
const { EspalierError, Identity } = await load('index.js')
const { hash } = await load('crypto.js')

const found = {}
const PROTOCOL = 7
const EVENTS = { linkUp: 1, request: 5, datagram: 7, streamOpened: 9, streamReadable: 10 }

async function outcome(attempt) {
  try {
    await attempt()
    return 'done'
  } catch (error) {
    return error instanceof EspalierError ? error.code : `not typed: ${error}`
  }
}

const segment = (index) =>
  encodeSegment({
    key: new Uint8Array(32),
    index,
    plaintext: new Uint8Array(1000),
    layout: { dataShards: 2, parityShards: 1 },
  })

/** What the fault gave, and what the same kind of call gives after it. */
async function note(name, attempt, next) {
  const fault = await outcome(attempt)
  found[name] = [fault, await outcome(next)]
  if (process.env.SHOW) console.error(name, found[name])
}

const plain = () => hash(new Uint8Array(1))
await note('call', () => native(() => addon().testPanic('call', 0)), plain)
await note('drop', () => native(() => addon().testPanic('drop', 0)), plain)
for (const pool of ['compute', 'slow', 'disk']) {
  await note(
    pool,
    () => runJob((job) => addon().testPanic(pool, job)),
    () => segment(1),
  )
}

// The wake-up that is lost is made good by the next one.
addon().testPanic('wake', 0)
const first = segment(2)
await new Promise((resolve) => setTimeout(resolve, 50))
await note(
  'wake',
  () => segment(3),
  () => first,
)

const identity = (name) => Identity.create({ path: join(folder, name), hardness: 'fast' })
const [mine, theirs] = [await identity('mine'), await identity('theirs')]
const inbound = {
  onRequest: async ({ body }) => body,
  onStream: (protocol, stream) => void answer(stream).catch(() => undefined),
  onDatagram: () => undefined,
  onConnection: () => undefined,
}
async function answer(stream) {
  for await (const bytes of stream) await stream.write(bytes)
  await stream.closeWrite()
}

let endpoints = 0
async function pair() {
  const open = async (identity) => {
    const transport = QuicTransport.create({ identity, hosts: ['127.0.0.1'], port: 0 })
    const [address] = await transport.listen(inbound)
    endpoints += 1
    return { transport, address, number: endpoints, id: identity.id }
  }
  return [await open(mine), await open(theirs)]
}
const dial = (from, to) => from.transport.connect({ id: to.id, addresses: [to.address] }, { timeoutMs: 2000 })
const ask = (connection) => connection.request(PROTOCOL, new Uint8Array(10), { timeoutMs: 1000 })
const speak = async (connection) => {
  const stream = await connection.openStream(PROTOCOL, { timeoutMs: 1000 })
  const read = stream.readInto(new Uint8Array(10))
  await stream.write(new Uint8Array(10))
  const late = setTimeout(() => stream.reset(1), 1000)
  await read
  clearTimeout(late)
}

// A task of the transport that panics where it tells an event, on either side.
for (const [name, kind] of Object.entries(EVENTS)) {
  const [here, there] = await pair()
  const connection = name === 'linkUp' ? undefined : await dial(here, there)
  addon().testPanic('event', kind)
  await note(
    name,
    async () => {
      if (connection === undefined) await dial(here, there)
      else if (name === 'datagram') connection.sendDatagram(PROTOCOL, new Uint8Array(10))
      else if (name.startsWith('stream')) await speak(connection)
      else await ask(connection)
      await new Promise((resolve) => setTimeout(resolve, 50))
    },
    async () => {
      const [other, peer] = await pair()
      await ask(await dial(other, peer))
      await speak(await dial(other, peer))
      await Promise.all([other.transport.close(), peer.transport.close()])
    },
  )
  found[`close after ${name}`] = [
    await outcome(() => here.transport.close()),
    await outcome(() => there.transport.close()),
  ]
}

{
  const [here, there] = await pair()
  const connection = await dial(here, there)
  // The other side has told its own events once it answers: the faults are this side's.
  await ask(connection)
  for (const place of ['sink', 'conversion']) {
    addon().testPanic(place, 0)
    await note(
      place,
      () => ask(connection),
      () => ask(connection),
    )
  }
  const waiting = outcome(() =>
    connection.openStream(PROTOCOL).then((stream) => stream.readInto(new Uint8Array(1))),
  )
  addon().testPanic('driver', here.number)
  await note(
    'driver',
    () => ask(connection),
    async () => {
      await here.transport.close()
      const [other, peer] = await pair()
      await ask(await dial(other, peer))
      await Promise.all([other.transport.close(), peer.transport.close()])
    },
  )
  found['stream under the driver'] = [await waiting]
  await there.transport.close()
}

// The cleanup of a worker's environment, then that of this process.
const worker = new Worker(
  `const { addon } = await import(${JSON.stringify(pathToFileURL(join(dist, 'native/load.js')).href)})
   addon().testPanic('cleanup', 0)`,
  { eval: true, execArgv: ['--input-type=module'] },
)
found.worker = [await new Promise((resolve) => worker.once('exit', resolve)), await outcome(plain)]
addon().testPanic('cleanup', 0)
process.stdout.write(JSON.stringify(found) + '\n')
