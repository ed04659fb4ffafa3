// Two endpoints of the addon with a link and a stream between them, and the cases of what goes over them.
import { pattern, copies } from './race-addon-cases.mjs'

const EVENT = {
  linkUp: 1,
  dialled: 3,
  answered: 4,
  request: 5,
  datagram: 7,
  streamDone: 8,
  streamOpened: 9,
  readable: 10,
}
const RECORD_BYTES = 24
const PROTOCOL = 7

export class RaceLink {
  /** What is said of a file that is not there. */
  static REFUSAL_BYTES = 'NOT_FOUND: there is no file with these bytes'.length
  #addon
  #records = new Uint8Array(1024)
  #slab = new Uint8Array(1_310_720)
  /** Bounded by the one job that a case has. */
  #waiting = new Map()
  /** What came and nobody has asked for. Cut at 64. */
  #events = []
  #isPaused = false
  #job = 0
  #operation = 0
  #endpoints = []
  #peerId
  #address
  #link
  #streams

  constructor(addon) {
    this.#addon = addon
    addon.queueAttach(() => this.#wake())
    addon.queueHold(true)
  }

  async open() {
    const addon = this.#addon
    const keys = [0, 1].map(() => addon.signingKeyGenerate(new Uint8Array(1952)))
    this.#endpoints = keys.map((key) => addon.transportOpen(key, ['127.0.0.1'], 0, true, false))
    const [first, second] = this.#endpoints
    this.#address = addon.transportFacts(second)[3]
    addon.transportDial(first, (this.#operation += 1), undefined, [this.#address], 5000)
    const up = await this.#event(EVENT.linkUp, first)
    this.#peerId = up.body.slice(0, 32)
    this.#link = up.numbers[0]
    addon.transportOpenStream(first, (this.#operation += 1), this.#link, 4, PROTOCOL, 5000)
    const done = await this.#event(EVENT.streamDone, first)
    const number = done.numbers[2]
    // A stream is known to the peer with its first bytes.
    addon.transportWrite(first, number, new Uint8Array(1))
    const opened = await this.#event(EVENT.streamOpened, second)
    this.#streams = [number, opened.numbers[0]]
    await this.#read(new Uint8Array(1))
  }

  close() {
    this.#addon.queueHold(false)
    this.#addon.transportCloseAll()
  }

  /** Starts native work; answers what comes of it. */
  job = (start) =>
    new Promise((resolve, reject) => {
      const number = (this.#job += 1) + 1000
      this.#waiting.set(number, { resolve, reject })
      try {
        start(number)
      } catch (error) {
        this.#waiting.delete(number)
        reject(error)
      }
    })

  /** Has a job done that fails, and calls `take` while its result waits. */
  async finished(number, take) {
    this.#isPaused = true
    try {
      const before = this.#waitingResults()
      this.#addon.shardFileRead(number, '/nowhere/at/all', 1, new Uint8Array(32))
      while (this.#waitingResults() === before) await tick()
      return take()
    } finally {
      this.#isPaused = false
      this.#wake()
    }
  }

  cases() {
    const addon = this.#addon
    const [first, second] = this.#endpoints
    const body = pattern(20_000, 9)
    const stream = pattern(60_000, 10)
    const datagram = pattern(1000, 11)
    return [
      {
        name: 'transportDial',
        args: () => [first, 0, copies(this.#peerId), [this.#address], 5000, request(0, 0, body)],
        run: async ([endpoint, , expected, addresses, timeoutMs, batch], disturb) => {
          addon.transportDial(endpoint, (this.#operation += 1), expected, addresses, timeoutMs, batch)
          disturb()
          const asked = await this.#event(EVENT.request, second)
          this.#answer(second, asked.numbers[0])
          const dialled = await this.#event(EVENT.dialled, first)
          return [asked.body, dialled.numbers[1]]
        },
      },
      {
        name: 'transportSubmit',
        args: () => [first, request((this.#operation += 1), this.#link, body)],
        run: async ([endpoint, batch], disturb) => {
          addon.transportSubmit(endpoint, batch)
          disturb()
          const asked = await this.#event(EVENT.request, second)
          this.#answer(second, asked.numbers[0])
          return asked.body
        },
      },
      {
        name: 'transportWrite',
        args: () => [first, this.#streams[0], copies(stream)],
        run: async ([endpoint, number, bytes], disturb) => {
          addon.transportWrite(endpoint, number, bytes)
          disturb()
          return this.#read(new Uint8Array(stream.length))
        },
      },
      {
        name: 'transportRead',
        args: () => [second, this.#streams[1], new Uint8Array(500)],
        run: async ([endpoint, number, target], disturb) => {
          addon.transportWrite(first, this.#streams[0], datagram)
          let rest = datagram.length
          try {
            let count
            while ((count = addon.transportRead(endpoint, number, target)) < 0) await tick()
            rest -= count
            const found = copies(target.subarray(0, count))
            disturb()
            return found
          } finally {
            await this.#read(new Uint8Array(rest))
          }
        },
        // A read may give fewer bytes than there is room for.
        holds: (found) => found.length > 0 && Buffer.compare(found, datagram.subarray(0, found.length)) === 0,
      },
      {
        name: 'transportDatagram',
        args: () => [first, this.#link, PROTOCOL, copies(datagram)],
        run: async ([endpoint, link, protocol, bytes], disturb) => {
          addon.transportDatagram(endpoint, link, protocol, bytes)
          disturb()
          return (await this.#event(EVENT.datagram, second)).body
        },
      },
      {
        name: 'transportDrain',
        args: () => [new Uint8Array(65_536)],
        run: async ([slab], disturb) => {
          this.#isPaused = true
          try {
            addon.transportDatagram(first, this.#link, PROTOCOL, datagram)
            let filled = 0
            for (;;) {
              filled = addon.transportDrain(slab)
              const found = eventsIn(slab, filled).find(({ kind }) => kind === EVENT.datagram)
              if (found !== undefined) {
                disturb()
                return found.body
              }
              await tick()
            }
          } finally {
            this.#isPaused = false
            this.#wake()
          }
        },
      },
    ]
  }

  /** Fills `target` from the second endpoint's side of the stream. */
  async #read(target) {
    for (let filled = 0; filled < target.length;) {
      const count = this.#addon.transportRead(this.#endpoints[1], this.#streams[1], target.subarray(filled))
      if (count < 0) await tick()
      else filled += count
    }
    return target
  }

  #answer(endpoint, number) {
    const record = Buffer.alloc(RECORD_BYTES)
    record[0] = 2
    record.writeUInt32LE(number, 4)
    this.#addon.transportSubmit(endpoint, record)
  }

  #waitingResults() {
    const { names, values } = this.#addon.nativeFigures()
    return values[names.indexOf('waiting.results')]
  }

  async #event(kind, endpoint) {
    for (let wait = 0; wait < 10_000; wait += 1) {
      this.#drain()
      const at = this.#events.findIndex((event) => event.kind === kind && event.endpoint === endpoint)
      if (at >= 0) return this.#events.splice(at, 1)[0]
      await tick()
    }
    throw new Error(`no event of kind ${kind} comes`)
  }

  #wake() {
    if (this.#isPaused) return
    const view = new DataView(this.#records.buffer)
    for (let count; (count = this.#addon.queueDrain(this.#records)) > 0;) {
      for (let at = 0; at < count * 16; at += 16) {
        const number = view.getUint32(at + 4, true)
        const payload = new Uint8Array(view.getUint32(at + 8, true))
        try {
          this.#addon.queueTake(number, payload)
        } catch {
          // A case has taken it.
          continue
        }
        const waiting = this.#waiting.get(number)
        this.#waiting.delete(number)
        if (view.getUint32(at + 12, true) === 0) waiting?.resolve(payload)
        else waiting?.reject(new Error(Buffer.from(payload).toString()))
      }
    }
    this.#drain()
  }

  #drain() {
    for (let filled; (filled = this.#addon.transportDrain(this.#slab)) > 0;) {
      this.#events.push(...eventsIn(this.#slab, filled))
    }
    // Answers to requests, and that the stream can be read.
    this.#events = this.#events
      .filter(({ kind }) => kind !== EVENT.answered && kind !== EVENT.readable)
      .slice(-64)
  }
}

function eventsIn(slab, filled) {
  const view = new DataView(slab.buffer, slab.byteOffset, slab.byteLength)
  const events = []
  for (let at = 0; at < filled; at += view.getUint32(at, true)) {
    events.push({
      kind: view.getUint32(at + 4, true),
      endpoint: view.getUint32(at + 8, true),
      numbers: [12, 16, 20].map((field) => view.getUint32(at + field, true)),
      body: copies(slab.subarray(at + RECORD_BYTES, at + view.getUint32(at, true))),
    })
  }
  return events
}

/** A batch of one request, as ts/native/request-batch.ts writes it. */
function request(operation, link, body) {
  const record = Buffer.alloc(RECORD_BYTES + 4 + body.length)
  record[0] = 1
  record.writeUInt32LE(operation, 4)
  record.writeUInt32LE(link, 8)
  record.writeUInt32LE(5000, 12)
  record.writeUInt32LE(65_536, 16)
  record.writeUInt32LE(4 + body.length, 20)
  // A request that may be answered more than once, of class 1.
  record[RECORD_BYTES] = 3
  record[RECORD_BYTES + 1] = 1
  record.writeUInt16LE(PROTOCOL, RECORD_BYTES + 2)
  record.set(body, RECORD_BYTES + 4)
  return new Uint8Array(record)
}

function tick() {
  return new Promise((resolve) => setImmediate(resolve))
}
