// One case for each export of the addon that takes bytes: good arguments, and what to look at afterwards.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { RaceLink } from './race-link.mjs'

export function pattern(length, seed = 1) {
  const bytes = new Uint8Array(length)
  for (let at = 0; at < length; at += 1) bytes[at] = (at * 31 + seed * 17 + (at >> 8)) & 255
  return bytes
}

export async function addonCases({ addonPath, folder, parameters, largeBytes }) {
  const addon = createRequire(import.meta.url)(addonPath)
  const files = join(folder, 'addon')
  mkdirSync(files)
  const link = new RaceLink(addon)
  await link.open()
  const { job } = link

  const publicKey = new Uint8Array(1952)
  const signing = addon.signingKeyFromSeed(pattern(32), publicKey)
  const encapsulationKey = new Uint8Array(1184)
  const secret = addon.decapsulationKeyFromSeed(pattern(64), encapsulationKey)
  const ciphertext = new Uint8Array(1088)
  addon.encapsulate(encapsulationKey, ciphertext, new Uint8Array(32))
  const message = pattern(10_000)
  const context = pattern(20)
  const signature = new Uint8Array(3309)
  addon.signWith(signing, message, context, true, 'aws-lc', signature)
  const key = pattern(32, 2)
  const nonce = pattern(24, 3)
  const sealed = new Uint8Array(message.length + 16)
  addon.seal(true, key, nonce, context, message, sealed)
  const data = pattern(100_000)
  const [root, nodes] = [new Uint8Array(32), new Uint8Array(64 * 6)]
  addon.outboard(data, root, nodes)
  const slice = Uint8Array.from(addon.extractSlice(data, nodes, 5000, 40_000))
  const shards = [1, 2, 3].map((seed) => pattern(9000, seed))
  const parity = [new Uint8Array(9000), new Uint8Array(9000)]
  addon.erasureEncode(3, 2, shards, parity)
  const plaintext = pattern(largeBytes, 5)
  const encoded = await job((number) => addon.encodeSegment(number, key, 7, plaintext, 4, 2))
  const pieces = Array.from({ length: 6 }, (_, index) => {
    const size = (encoded.length - 6 * 32) / 6
    return encoded.slice(index * size, (index + 1) * size)
  })
  const shardFile = join(files, 'shard')
  writeFileSync(shardFile, data)
  const hash = new Uint8Array(32)
  addon.hashInto(data, hash, 0)

  /** A call that is over when it returns: its outputs are looked at at once. */
  const now = (name, args, outs = [], more = {}) => ({
    name,
    args,
    run: (given, disturb) => {
      const result = addon[name](...given)
      const found = [result, ...outs.map((index) => copies(given[index]))]
      disturb()
      return found
    },
    ...more,
  })
  /** A call whose first argument is the number of a job. */
  const later = (name, args, more = {}) => ({
    name,
    args: () => [0, ...args()],
    run: async ([, ...given], disturb) =>
      job((number) => {
        addon[name](number, ...given)
        disturb()
      }),
    ...more,
  })
  const keyed = (name, args) => ({
    name,
    args,
    run: (given, disturb) => {
      const handle = addon[name](...given)
      const publicPart = copies(given.at(-1))
      disturb()
      const words = name === 'signingKeyFromSeed' ? addon.keyWords(handle) : decapsulated(handle)
      addon[name.startsWith('signing') ? 'signingKeyClose' : 'decapsulationKeyClose'](handle)
      return [words, publicPart]
    },
  })
  const decapsulated = (handle) => {
    const out = new Uint8Array(32)
    addon.decapsulate(handle, ciphertext, out)
    return out
  }
  const generated = (name, size, close) => ({
    name,
    args: () => [new Uint8Array(size)],
    run: ([out], disturb) => {
      const handle = addon[name](out)
      const made = copies(out)
      disturb()
      addon[close](handle)
      return made
    },
    holds: (made) => made.length === size && made.some((byte) => byte !== made[0]),
  })
  let written = 0

  const cases = [
    now('hashInto', () => [copies(data), new Uint8Array(64), 3], [1]),
    now('hashMany', () => [[...copies(shards)], new Uint8Array(96)], [1]),
    now('hashWith', () => [copies(key), undefined, copies(data), new Uint8Array(100)], [3]),
    {
      name: 'hasherOpen',
      args: () => [copies(key), undefined],
      run: (given, disturb) => hashed(addon.hasherOpen(...given), (handle) => (disturb(), handle)),
    },
    {
      name: 'hasherUpdate',
      args: () => [0, copies(data)],
      run: ([, bytes], disturb) =>
        hashed(addon.hasherOpen(undefined, undefined), (handle) => {
          addon.hasherUpdate(handle, bytes)
          disturb()
        }),
    },
    {
      name: 'hasherDigest',
      args: () => [0, new Uint8Array(100)],
      run: ([, out], disturb) => {
        const handle = addon.hasherOpen(undefined, undefined)
        try {
          addon.hasherDigest(handle, out)
          const found = copies(out)
          disturb()
          return found
        } finally {
          addon.hasherClose(handle)
        }
      },
    },
    generated('signingKeyGenerate', 1952, 'signingKeyClose'),
    keyed('signingKeyFromSeed', () => [pattern(32), new Uint8Array(1952)]),
    now('sign', () => [signing, copies(message), new Uint8Array(3309)], [2], {
      holds: ([, made]) => addon.verify(publicKey, message, made, new Uint8Array(0), 'aws-lc'),
    }),
    now(
      'signWith',
      () => [signing, copies(message), copies(context), true, 'aws-lc', new Uint8Array(3309)],
      [5],
    ),
    now('verify', () => [...copies([publicKey, message, signature, context]), 'aws-lc'], [], {
      holds: ([valid]) => valid,
    }),
    later(
      'verifyMany',
      () => [copies([publicKey, message, signature, context, publicKey, message, signature, context])],
      {
        holds: (answers) => answers.length === 2 && answers.every((answer) => answer === 1),
      },
    ),
    generated('decapsulationKeyGenerate', 1184, 'decapsulationKeyClose'),
    keyed('decapsulationKeyFromSeed', () => [pattern(64), new Uint8Array(1184)]),
    now('decapsulate', () => [secret, copies(ciphertext), new Uint8Array(32)], [2]),
    now('encapsulate', () => [copies(encapsulationKey), new Uint8Array(1088), new Uint8Array(32)], [1, 2], {
      holds: ([, made, shared]) => {
        const out = new Uint8Array(32)
        addon.decapsulate(secret, made, out)
        return Buffer.compare(out, shared) === 0
      },
    }),
    now('seal', () => [true, ...copies([key, nonce, context, message]), new Uint8Array(sealed.length)], [5]),
    now('open', () => [true, ...copies([key, nonce, context, sealed]), new Uint8Array(message.length)], [5]),
    now('outboard', () => [copies(data), new Uint8Array(32), new Uint8Array(64 * 6)], [1, 2]),
    now('extractSlice', () => [...copies([data, nodes]), 5000, 40_000]),
    now('verifySlice', () => [copies(root), data.length, 5000, 40_000, copies(slice)]),
    now('erasureEncode', () => [3, 2, copies(shards), [new Uint8Array(9000), new Uint8Array(9000)]], [3]),
    now(
      'erasureReconstruct',
      () => [
        3,
        2,
        [copies(shards[0]), undefined, undefined, ...copies(parity)],
        [1, 2].map(() => new Uint8Array(9000)),
      ],
      [3],
    ),
    later('encodeSegment', () => [copies(key), 7, copies(plaintext), 4, 2]),
    later('decodeSegment', () => [
      copies(key),
      7,
      plaintext.length,
      4,
      2,
      [copies(pieces[0]), undefined, undefined, ...copies(pieces.slice(3))],
    ]),
    {
      name: 'shardFileWrite',
      args: () => [0, '', copies(data), copies(hash)],
      run: async ([, , bytes, promised], disturb) => {
        const path = join(files, `written-${(written += 1)}`)
        await job((number) => {
          addon.shardFileWrite(number, path, bytes, promised)
          disturb()
        })
        const found = copies(readFileSync(path))
        rmSync(path)
        return found
      },
    },
    later('shardFileRead', () => [shardFile, data.length, copies(hash)]),
    {
      name: 'queueDrain',
      args: () => [new Uint8Array(64)],
      run: ([records], disturb) =>
        link.finished(77, () => {
          const found = [addon.queueDrain(records), copies(records)]
          disturb()
          return found
        }),
    },
    {
      name: 'queueTake',
      args: () => [77, new Uint8Array(RaceLink.REFUSAL_BYTES)],
      run: ([, out], disturb) =>
        link.finished(77, () => {
          addon.queueDrain(new Uint8Array(16))
          addon.queueTake(77, out)
          const found = copies(out)
          disturb()
          return found
        }),
    },
    ...link.cases(),
  ]

  function hashed(handle, work) {
    try {
      work(handle)
      addon.hasherUpdate(handle, message)
      const out = new Uint8Array(100)
      addon.hasherDigest(handle, out)
      return out
    } finally {
      addon.hasherClose(handle)
    }
  }

  return {
    cases: cases.map((each) => ({
      ...each,
      name: `addon.${each.name}`,
      parameters: parameters[`addon.${each.name}`],
    })),
    // Node-API does not tell a view whose memory shrank from an empty one: the doors check that before.
    readsEmpty: true,
    codeOf: (error) => /^([A-Z_]+): /.exec(error.message)?.[1] ?? error.code,
    close: () => link.close(),
  }
}

/** In memory of their own. */
export function copies(value) {
  if (ArrayBuffer.isView(value)) return new Uint8Array(value)
  return Array.isArray(value) ? value.map(copies) : value
}
