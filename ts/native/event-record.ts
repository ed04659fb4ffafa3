import { smallCopy } from './small-copy.ts'

/** As crates/binding/src/transport_events.rs numbers them. */
export const EVENT = {
  linkUp: 1,
  linkClosed: 2,
  dialled: 3,
  answered: 4,
  request: 5,
  requestCancelled: 6,
  datagram: 7,
  streamDone: 8,
  streamOpened: 9,
  streamReadable: 10,
  streamWritable: 11,
  closed: 12,
  linkMoved: 13,
  earlyRequest: 14,
} as const
const RECORD_BYTES = 24
export const ID_BYTES = 32

/** One event in the slab. The same object serves all of them, one after the other. */
export class EventRecord {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  #at = 0
  #end = 0
  kind = 0
  endpoint = 0
  first = 0
  second = 0
  third = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer)
  }

  /** Reads the event at `at`; answers where the next one begins. */
  read(at: number): number {
    const view = this.#view
    this.#at = at
    this.#end = at + view.getUint32(at, true)
    this.kind = view.getUint32(at + 4, true)
    this.endpoint = view.getUint32(at + 8, true)
    this.first = view.getUint32(at + 12, true)
    this.second = view.getUint32(at + 16, true)
    this.third = view.getUint32(at + 20, true)
    return this.#end
  }

  /** A copy of what follows the numbers. */
  payload(): Uint8Array {
    return smallCopy(this.#bytes, this.#at + RECORD_BYTES, this.#end)
  }

  text(): string {
    return textOf(this.#bytes.subarray(this.#at + RECORD_BYTES, this.#end))
  }
}

/** UTF-8 that native code wrote. */
export function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8')
}
