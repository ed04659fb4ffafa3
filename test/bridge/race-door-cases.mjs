// One case for each function and method of the public doors that takes bytes: good arguments, and what to look at
// afterwards. The transport is had as nodes have it, over QUIC.
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { copies, pattern } from './race-addon-cases.mjs'

const PROTOCOL = 9

export async function doorCases({ dist, folder, parameters, largeBytes }) {
  const load = (name) => import(`${dist}/${name}.js`)
  const [index, crypto, testing] = await Promise.all(['index', 'crypto', 'testing'].map(load))
  const files = join(folder, 'doors')
  mkdirSync(files)
  const identities = await Promise.all(
    ['first', 'second'].map((name) => index.Identity.create({ path: join(files, name), hardness: 'fast' })),
  )
  const [identity] = identities
  const network = await testing.localNetwork(1)
  const [node] = network.nodes

  const key = pattern(32, 2)
  const nonce = pattern(24, 3)
  const aad = pattern(20, 4)
  const message = pattern(10_000)
  const context = pattern(20)
  const signing = crypto.SigningKey.fromSeed(pattern(32))
  const { publicKey } = signing
  const signature = signing.sign(message, { context })
  const plain = signing.sign(message)
  const secret = crypto.DecapsulationKey.fromSeed(pattern(64))
  const { ciphertext } = crypto.encapsulate(secret.encapsulationKey)
  const data = pattern(100_000)
  const { root, nodes } = crypto.outboard(data)
  const range = { start: 5000, length: 40_000 }
  const slice = crypto.extractSlice(data, nodes, range)
  const shards = [1, 2, 3].map((seed) => pattern(9000, seed))
  const coder = new crypto.ErasureCoder({ dataShards: 3, parityShards: 2 })
  const parity = coder.encode(shards)
  const sealed = crypto.seal({ key, nonce, aad, message })
  const large = pattern(largeBytes, 5)
  const real = await linkOf(load, identities)
  const nodeCrypto = (await load('native/crypto')).nodeCrypto(identity)
  const children = [50, 51, 52].map((seed) => pattern(32, seed))
  const simulated = await testing.simulatedNetwork(1)
  const [simulatedNode] = simulated.nodes
  let names = 0

  /** A call whose outcome is its result and what is in the outputs when it returns, or later when it is a promise. */
  const on = (name, owner, args, { outs = [], ...more } = {}) => ({
    name,
    args,
    run: async (given, disturb) => {
      const result = owner[name.split(/[.#]/).at(-1)](...given)
      const found = outs.map((place) => copies(given[place]))
      // What is returned may be what was given, and is then the caller's own.
      const settled = result instanceof Promise ? result : copies(result)
      disturb()
      return [await settled, ...found]
    },
    ...more,
  })
  const room = (size, count) => Array.from({ length: count }, () => new Uint8Array(size))

  const ofCrypto = [
    on('crypto.hash', crypto, () => [copies(data)]),
    on('crypto.hashInto', crypto, () => [copies(data), new Uint8Array(64), 3], { outs: [1] }),
    on('crypto.hashMany', crypto, () => [copies(shards)]),
    on('crypto.hashManyInto', crypto, () => [copies(shards), new Uint8Array(96)], { outs: [1] }),
    on('crypto.keyedHash', crypto, () => copies([key, data])),
    on('crypto.deriveKey', crypto, () => ['test', copies(data), 100]),
    {
      name: 'crypto.createHasher',
      args: () => [{ key: copies(key) }],
      run: ([options], disturb) => {
        const hasher = crypto.createHasher(options)
        disturb()
        return hasher.update(message).digest(100)
      },
    },
    {
      name: 'crypto.Hasher#update',
      args: () => [copies(data)],
      run: ([bytes], disturb) => {
        // Kept in JavaScript, kept partly, and handed on.
        const hasher = crypto.createHasher().update(bytes.subarray(0, 1000)).update(bytes)
        const other = crypto.createHasher().update(bytes.subarray(7, 107))
        disturb()
        return [hasher.digest(), other.digest()]
      },
    },
    on('crypto.SigningKey#sign', signing, () => [
      copies(message),
      { context: copies(context), deterministic: true },
    ]),
    {
      name: 'crypto.SigningKey.fromSeed',
      args: () => [pattern(32)],
      run: ([seed], disturb) => {
        const made = crypto.SigningKey.fromSeed(seed)
        disturb()
        return [made.publicKey, made.sign(message, { deterministic: true })]
      },
    },
    on(
      'crypto.verify',
      crypto,
      () => [...copies([publicKey, message, signature]), { context: copies(context) }],
      {
        holds: ([valid]) => valid,
      },
    ),
    on(
      'crypto.verifyMany',
      crypto,
      () => [[1, 2].map(() => ({ ...record({ publicKey, message, signature, context }) }))],
      {
        holds: ([valid]) => valid.length === 2 && valid.every(Boolean),
      },
    ),
    {
      name: 'crypto.DecapsulationKey.fromSeed',
      args: () => [pattern(64)],
      run: ([seed], disturb) => {
        const made = crypto.DecapsulationKey.fromSeed(seed)
        disturb()
        return [made.encapsulationKey, made.decapsulate(ciphertext)]
      },
    },
    on('crypto.DecapsulationKey#decapsulate', secret, () => [copies(ciphertext)]),
    {
      name: 'crypto.encapsulate',
      args: () => [copies(secret.encapsulationKey)],
      run: ([encapsulationKey], disturb) => {
        const made = crypto.encapsulate(encapsulationKey)
        disturb()
        return made
      },
      holds: (made) => Buffer.compare(secret.decapsulate(made.ciphertext), made.sharedSecret) === 0,
    },
    on('crypto.seal', crypto, () => [record({ key, nonce, aad, message })]),
    on(
      'crypto.sealInto',
      crypto,
      () => [record({ key, nonce, aad, message }), new Uint8Array(sealed.length)],
      {
        outs: [1],
      },
    ),
    on('crypto.open', crypto, () => [record({ key, nonce, aad, sealed })]),
    on('crypto.outboard', crypto, () => [copies(data)]),
    on('crypto.extractSlice', crypto, () => [...copies([data, nodes]), { ...range }]),
    on('crypto.verifySlice', crypto, () => [
      copies(root),
      { ...range, totalBytes: data.length, slice: copies(slice) },
    ]),
    on('crypto.ErasureCoder#encode', coder, () => [copies(shards)]),
    on('crypto.ErasureCoder#encodeInto', coder, () => [copies(shards), room(9000, 2)], { outs: [1] }),
    on('crypto.ErasureCoder#reconstruct', coder, () => [
      [copies(shards[0]), undefined, undefined, ...copies(parity)],
    ]),
    on(
      'crypto.ErasureCoder#reconstructInto',
      coder,
      () => [[copies(shards[0]), undefined, undefined, ...copies(parity)], room(9000, 2)],
      { outs: [1] },
    ),
  ]
  const signs = { holds: ([made]) => crypto.verify(identity.publicKey, message, made) }
  const ofNodes = [
    on('index.Identity#sign', identity, () => [copies(message)], signs),
    {
      name: 'index.EspalierNode#put',
      args: () => [`name-${(names += 1) % 8}`, pattern(200)],
      run: async ([name, value, options], disturb) => {
        const stored = node.put(name, value, options)
        disturb()
        await stored
        return (await node.get(name)).value
      },
    },
    {
      name: 'index.NodeRegisters#set',
      args: () => [`name-${(names += 1) % 8}`, pattern(200)],
      run: async ([name, value, options], disturb) => {
        const stored = node.registers.set(name, value, options)
        disturb()
        await stored
        return (await node.registers.get(node.id, name)).value
      },
    },
    {
      name: 'index.Objects#put',
      args: () => [copies(large)],
      run: async ([bytes], disturb) => {
        const stored = node.objects.put(bytes)
        disturb()
        return node.objects.getBytes((await stored).ref)
      },
    },
    {
      // Each chunk belongs to the transfer from when it is yielded: changing it then is refused or shows.
      name: 'index.Objects#put',
      args: () => [copies(data)],
      run: async ([chunk], disturb) => {
        const source = async function* () {
          yield chunk
          disturb()
        }
        return node.objects.getBytes((await node.objects.put(source())).ref)
      },
    },
    {
      name: 'index.NodeProviders#announce',
      args: () => [pattern(32, 40), children.slice(0, 3)],
      run: async ([root, ids], disturb) => {
        const announced = node.providers.announce(root, ids)
        disturb()
        const { count } = await announced
        return [count, (await node.providers.find(children[1], { root: pattern(32, 40) })).length]
      },
    },
    on('index.NodeProviders#find', node.providers, () => [copies(children[0]), { root: pattern(32, 41) }]),
    on('index.NodeProviders#plan', node.providers, () => [children.slice(0, 2), { root: pattern(32, 41) }]),
    on('index.NodeProviders#missed', node.providers, () => [
      copies(children[0]),
      { root: pattern(32, 41), provider: node.id },
    ]),
    on('index.NodeProviders#withdraw', node.providers, () => [pattern(32, 42)]),
    {
      name: 'testing.SimulatedNode#put',
      args: () => ['name', pattern(200)],
      run: async ([name, value, options], disturb) => {
        const stored = simulated.until(simulatedNode.put(name, value, options))
        disturb()
        await stored
        return (await simulated.until(simulatedNode.get(name))).value
      },
    },
    on('testing.NodeCrypto#sign', nodeCrypto, () => [copies(message)], signs),
    on('testing.NodeCrypto#verify', nodeCrypto, () => copies([publicKey, message, plain]), {
      holds: ([valid]) => valid,
    }),
    on('testing.NodeCrypto#hash', nodeCrypto, () => [copies(data)]),
    on('testing.NodeCrypto#deriveKey', nodeCrypto, () => ['test', copies(data)]),
  ]

  return {
    cases: [...ofCrypto, ...ofNodes, ...real.cases].map((each) => ({
      ...each,
      parameters: parameters[each.name],
    })),
    codeOf: (error) => (error instanceof index.EspalierError ? error.code : undefined),
    async close() {
      await real.close()
      await network.stop()
      for (const each of identities) each[Symbol.dispose]()
    },
  }
}

/** Two transports that are connected, and what goes between them. */
async function linkOf(load, [first, second]) {
  const { QuicTransport } = await load('net/quic')
  const make = (identity) => QuicTransport.create({ identity, port: 0, hosts: ['127.0.0.1'] })
  const [here, there] = [make(first), make(second)]
  const heard = { requests: [], datagrams: [], streams: [] }
  const inbound = {
    onRequest: ({ body }) => {
      heard.requests.push(body)
      return Promise.resolve(new Uint8Array(0))
    },
    onStream: (_, stream) => heard.streams.push(stream),
    onDatagram: (_, body) => heard.datagrams.push(body),
    onConnection: () => undefined,
  }
  await here.listen(inbound)
  const peer = { id: second.id, addresses: await there.listen(inbound) }
  const connection = await here.connect(peer)
  const own = await connection.openStream(PROTOCOL)
  await own.write(new Uint8Array(1))
  const [other] = await arrived(heard.streams)
  await other.readInto(new Uint8Array(1))
  const body = pattern(20_000, 9)
  const long = pattern(300_000, 10)
  const datagram = pattern(1000, 11)

  const cases = [
    {
      name: 'testing.Connection#request',
      args: () => [PROTOCOL, copies(body)],
      run: async (given, disturb) => {
        const answer = connection.request(...given)
        disturb()
        await answer
        return heard.requests.pop()
      },
    },
    {
      name: 'testing.Connection#sendDatagram',
      args: () => [PROTOCOL, copies(datagram)],
      run: async (given, disturb) => {
        connection.sendDatagram(...given)
        disturb()
        return (await arrived(heard.datagrams))[0]
      },
    },
    {
      name: 'testing.Transport#connectAndAsk',
      args: () => [peer, { protocol: PROTOCOL, body: copies(body) }],
      run: async ([, request], disturb) => {
        const { connection: ready, answer } = here.connectAndAsk(peer, request)
        disturb()
        await Promise.all([ready, answer])
        return heard.requests.pop()
      },
    },
    {
      name: 'testing.Inbound#onRequest',
      args: () => [{ body: copies(body) }],
      // The answer is the caller's memory here.
      run: async ([{ body: bytes }], disturb) => {
        const plainly = inbound.onRequest
        inbound.onRequest = () => {
          // Two turns of the microtasks after the answer was given, it is on its way.
          setImmediate(disturb)
          return Promise.resolve(bytes)
        }
        try {
          return await connection.request(PROTOCOL, new Uint8Array(1))
        } catch (error) {
          // What the other side refuses comes as its refusal.
          throw Object.assign(error, { code: error.details?.remoteCode ?? error.code })
        } finally {
          inbound.onRequest = plainly
        }
      },
    },
    {
      name: 'testing.ByteStream#write',
      args: () => [copies(long)],
      run: async ([bytes], disturb) => {
        const written = own.write(bytes)
        disturb()
        // A refusal comes at once, and then there is nothing to read.
        await Promise.race([written, new Promise((resolve) => setImmediate(resolve))])
        const found = await filled(other, long.length)
        await written
        return found
      },
    },
    {
      name: 'testing.ByteStream#readInto',
      args: () => [new Uint8Array(1000)],
      // The read waits while its target is disturbed: then it is refused, and nothing was taken from the stream.
      isWaiting: true,
      run: async ([target], disturb) => {
        const reading = other.readInto(target)
        disturb()
        await own.write(datagram)
        let count = 0
        try {
          count = await reading
          return copies(target.subarray(0, count))
        } finally {
          await filled(other, datagram.length - count)
        }
      },
      holds: (found) => found.length > 0 && Buffer.compare(found, datagram.subarray(0, found.length)) === 0,
    },
  ]
  return {
    cases,
    close: () => Promise.all([here.close(), there.close()]),
  }
}

/** `length` bytes of a stream. */
async function filled(stream, length) {
  const found = new Uint8Array(length)
  for (let at = 0; at < length;) at += await stream.readInto(found.subarray(at))
  return found
}

/** What came last, as soon as there is something. */
async function arrived(list) {
  while (list.length === 0) await new Promise((resolve) => setImmediate(resolve))
  return list.splice(0).slice(-1)
}

function record(fields) {
  return Object.fromEntries(Object.entries(fields).map(([name, bytes]) => [name, copies(bytes)]))
}
