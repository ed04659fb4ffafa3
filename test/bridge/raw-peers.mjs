// Good arguments for the addon's exports, so that calls get beyond the first check: handles that are open, two
// endpoints with a connection and a stream between them, byte arrays of the sizes that something has.

const SIZES = [0, 1, 12, 16, 24, 31, 32, 33, 48, 64, 100, 1024, 1088, 1184, 1952, 3309, 4096, 20_000]
const BY_NAME = {
  publicKey: 1952,
  publicKeyOut: 1952,
  signature: 3309,
  signatureOut: 3309,
  encapsulationKey: 1184,
  encapsulationKeyOut: 1184,
  ciphertext: 1088,
  ciphertextOut: 1088,
  sharedSecretOut: 32,
  key: 32,
  root: 32,
  rootOut: 32,
  hash: 32,
  out: 32,
  expected: 32,
  slab: 1_310_720,
  records: 1024,
}
const TEXTS = [
  '',
  'text',
  'key-file',
  'other-file',
  'fast',
  'aws-lc',
  'pqclean',
  '127.0.0.1',
  '::1',
  '127.0.0.1:9',
]
const MAX_HANDLES = 64
const EVENT = { dialled: 3, streamDone: 8, streamOpened: 9 }

export class RawPeers {
  #addon
  #handles = [1]
  #endpoints = []
  #link = 1
  #stream = 1
  #operation = 0
  #slab = new Uint8Array(1_310_720)
  #records = new Uint8Array(1024)

  constructor(addon) {
    this.#addon = addon
  }

  /** Two endpoints and a stream between them. */
  async open() {
    const addon = this.#addon
    const keys = [0, 1].map(() => addon.signingKeyGenerate(new Uint8Array(1952)))
    this.#endpoints = keys.map((key) => addon.transportOpen(key, ['127.0.0.1'], 0, true, false))
    const [first, second] = this.#endpoints
    const address = addon.transportFacts(second)[3]
    addon.transportDial(first, ++this.#operation, undefined, [address], 5000)
    const [, , link] = await this.#event(EVENT.dialled)
    this.#link = link
    addon.transportOpenStream(first, ++this.#operation, link, 4, 7, 5000)
    const [, , stream] = await this.#event(EVENT.streamDone)
    this.#stream = stream
  }

  /** Takes what waits. `fresh` begins anew what calls may have ended. */
  async turn(fresh) {
    await new Promise((resolve) => setTimeout(resolve, 1))
    this.#takeJobs()
    while (this.#addon.transportDrain(this.#slab) > 0);
    if (!fresh) return
    for (const handle of this.#handles.splice(0)) {
      for (const close of ['signingKeyClose', 'decapsulationKeyClose', 'hasherClose', 'unlockFile']) {
        this.#addon[close](handle)
      }
    }
    this.#addon.transportCloseAll()
    await this.open()
  }

  async close() {
    this.#addon.queueAttach(() => undefined)
    this.#addon.queueHold(false)
    this.#addon.transportCloseAll()
    this.#takeJobs()
  }

  /** A result may be the number of something. */
  learn(name, result) {
    if (typeof result !== 'number' || !/Open|Generate|FromSeed|lockFile/.test(name)) return
    if (name === 'transportOpen') {
      this.#endpoints.push(result)
      if (this.#endpoints.length > 6) this.#addon.transportForget(this.#endpoints.splice(2, 1)[0])
      return
    }
    this.#handles.push(result)
    if (this.#handles.length > MAX_HANDLES) this.#handles.shift()
  }

  good({ name, shape }, dice) {
    const value = this.#make(name, shape, dice)
    return { name: describe(value), value }
  }

  #make(name, shape, dice) {
    switch (shape.kind) {
      case 'any of':
        return this.#make(name, dice.pick(shape.shapes), dice)
      case 'list':
        return Array.from({ length: dice.pick([0, 1, 2, 3, 4, 8]) }, () => this.#make(name, shape.item, dice))
      case 'bytes':
        return name === 'batch' ? this.#batch(dice) : bytes(name, dice)
      case 'text':
        return dice.pick(TEXTS)
      case 'flag':
        return dice.below(2) === 0
      case 'number':
        return this.#number(name, dice)
      case 'function':
        return () => undefined
      default:
        return undefined
    }
  }

  #number(name, dice) {
    const known = {
      handle: () => dice.pick(this.#handles),
      endpoint: () => dice.pick(this.#endpoints),
      link: () => this.#link,
      stream: () => this.#stream,
      job: () => 1 + dice.below(1000),
      operation: () => 1 + dice.below(1000),
      dataShards: () => 1 + dice.below(4),
      parityShards: () => dice.below(4),
      trafficClass: () => dice.below(6),
      port: () => 0,
      // Short: a gate waits on this thread, and mostly nobody comes.
      timeoutMs: () => dice.pick([0, 1, 20]),
    }[name]
    if (known !== undefined) return known()
    // A parameter named `key` that is a number is the handle of one.
    return dice.below(2) === 0 ? dice.pick(SIZES) : dice.pick(this.#handles)
  }

  /** Records as ts/native/request-batch.ts writes them, now and then with a byte changed. */
  #batch(dice) {
    const records = Array.from({ length: dice.below(4) }, () => {
      const body = bytes('body', dice)
      const record = Buffer.alloc(24 + body.length)
      record[0] = 1 + dice.below(3)
      record[1] = dice.below(2)
      record.writeUInt32LE(1 + dice.below(1000), 4)
      record.writeUInt32LE(this.#link, 8)
      record.writeUInt32LE(dice.pick([0, 1, 1000]), 12)
      record.writeUInt32LE(dice.pick([0, 32, 65_536]), 16)
      record.writeUInt32LE(body.length, 20)
      record.set(body, 24)
      return record
    })
    const batch = new Uint8Array(Buffer.concat(records))
    if (batch.length > 0 && dice.below(2) === 0) batch[dice.below(batch.length)] = dice.below(256)
    return batch
  }

  #takeJobs() {
    const view = new DataView(this.#records.buffer)
    for (let count; (count = this.#addon.queueDrain(this.#records)) > 0;) {
      for (let at = 0; at < count * 16; at += 16) {
        try {
          this.#addon.queueTake(view.getUint32(at + 4, true), new Uint8Array(view.getUint32(at + 8, true)))
        } catch {
          // Two jobs of one number were under way: the second result took the place of the first.
        }
      }
    }
  }

  /** The numbers of the next event of a kind. */
  async #event(kind) {
    const view = new DataView(this.#slab.buffer)
    for (let wait = 0; wait < 5000; wait += 1) {
      const filled = this.#addon.transportDrain(this.#slab)
      for (let at = 0; at < filled; at += view.getUint32(at, true)) {
        if (view.getUint32(at + 4, true) !== kind || view.getUint32(at + 12, true) !== this.#operation)
          continue
        if (view.getUint32(at + 16, true) !== 1) throw new Error('the peers of the test do not connect')
        return [12, 16, 20].map((field) => view.getUint32(at + field, true))
      }
      await new Promise((resolve) => setTimeout(resolve, 1))
    }
    throw new Error('the peers of the test did not get ready')
  }
}

function bytes(name, dice) {
  const size = name in BY_NAME && dice.below(4) > 0 ? BY_NAME[name] : dice.pick(SIZES)
  return new Uint8Array(size).fill(dice.below(256))
}

function describe(value) {
  if (ArrayBuffer.isView(value)) return `${value.byteLength} bytes`
  if (Array.isArray(value)) return `[${value.map(describe).join(', ')}]`
  return typeof value === 'function' ? 'a function' : String(JSON.stringify(value))
}
