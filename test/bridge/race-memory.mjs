// Memory of every kind that a caller's bytes may lie in, and what the caller may do to it while a call is under way.
import { Worker } from 'node:worker_threads'

const PAGE = 4096

/** Writes into whatever it is sent, and into the shared memory all the time. */
const WRITER = `
const { parentPort, workerData } = require('node:worker_threads')
const shared = new Uint8Array(workerData)
parentPort.on('message', (buffer) => new Uint8Array(buffer).fill(0xdd))
let value = 0
const write = () => {
  shared.fill((value += 1), 0, 131_072)
  setTimeout(write, 1)
}
write()
`

/** Of one run: the memory that the writing thread shares, and the thread. */
export class Memory {
  static SHARED_BYTES = 1 << 21
  #shared = new SharedArrayBuffer(Memory.SHARED_BYTES)
  #writer = new Worker(WRITER, { eval: true, workerData: this.#shared })

  /** Kinds that a call takes: each makes a view with these bytes, and names what may be done to it. */
  kinds = {
    plain: { make: plain, disturbances: ['overwrite', 'transfer', 'post', 'free'] },
    Buffer: { make: asBuffer, disturbances: ['overwrite', 'transfer', 'free'] },
    'a part of Node’s pool': { make: pooled, disturbances: ['overwrite'] },
    'a part of a resizable buffer': { make: part, disturbances: ['overwrite', 'shrink', 'post', 'free'] },
    'a resizable buffer': { make: tracking, disturbances: ['overwrite', 'shrink', 'grow', 'transfer'] },
    'memory of WebAssembly': { make: ofWebAssembly, disturbances: ['overwrite', 'growWebAssembly'] },
  }

  /** Kinds that every call refuses, because another thread writes into them meanwhile. */
  sharedKinds = {
    'shared memory': (bytes) => {
      const view = new Uint8Array(this.#shared, 0, bytes.length)
      view.set(bytes)
      return view
    },
    'growing shared memory': (bytes) => {
      const view = new Uint8Array(new SharedArrayBuffer(bytes.length, { maxByteLength: bytes.length + PAGE }))
      view.set(bytes)
      return view
    },
  }

  disturb(how, view) {
    const { buffer } = view
    const moved = () => structuredClone(buffer, { transfer: [buffer] })
    const ways = {
      overwrite: () => view.fill(0xee),
      transfer: () => new Uint8Array(moved()).fill(0xee),
      post: () => this.#writer.postMessage(buffer, [buffer]),
      // Node 20 has no way to give memory back at once.
      free: () => (buffer.transfer === undefined ? void moved() : void buffer.transfer(0)),
      shrink: () => buffer.resize(0),
      grow: () => {
        buffer.resize(buffer.maxByteLength)
        view.fill(0xee)
      },
      growWebAssembly: () => memories.get(buffer).grow(1),
    }
    ways[how]()
  }

  close() {
    return this.#writer.terminate()
  }
}

/** With bytes of others before and behind. */
function plain(bytes) {
  const view = new Uint8Array(new ArrayBuffer(bytes.length + 16), 8, bytes.length)
  view.set(bytes)
  return view
}

function asBuffer(bytes) {
  const view = plain(bytes)
  return Buffer.from(view.buffer, view.byteOffset, view.byteLength)
}

function pooled(bytes) {
  return Buffer.from(bytes)
}

function part(bytes) {
  const size = bytes.length + PAGE
  const view = new Uint8Array(new ArrayBuffer(size, { maxByteLength: size }), PAGE, bytes.length)
  view.set(bytes)
  return view
}

function tracking(bytes) {
  const view = new Uint8Array(new ArrayBuffer(bytes.length, { maxByteLength: bytes.length + PAGE }))
  view.set(bytes)
  return view
}

const memories = new WeakMap()

function ofWebAssembly(bytes) {
  const memory = new WebAssembly.Memory({ initial: Math.ceil((bytes.length + 8) / 65_536) })
  memories.set(memory.buffer, memory)
  const view = new Uint8Array(memory.buffer, 8, bytes.length)
  view.set(bytes)
  return view
}
