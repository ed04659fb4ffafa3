import type { EspalierError } from '../base/error.ts'
import { fromNative } from './error.ts'
import { EventRecord } from './event-record.ts'
import { addon } from './load.ts'
import { onWake } from './queue.ts'

/** An endpoint as the events of its number reach it. */
export interface Receiver {
  /** Takes one event. */
  receive(event: EventRecord): void
  /** Ends every operation with `error`. */
  fail(error: EspalierError): void
}

/** From now on the events of endpoint `number` reach `receiver`. */
export function receiveEvents(number: number, receiver: Receiver): void {
  open.set(number, receiver)
}

/** No more events of this endpoint. */
export function endEvents(number: number): void {
  open.delete(number)
}

/** The largest single event, an answer of 1 MiB, with room for others. */
const SLAB_BYTES = 1_048_576 + 262_144

/** Bounded by the ports of the machine. */
const open = new Map<number, Receiver>()
let isListening = false

/** Has this thread woken for events, once. Comes before the first endpoint is opened. */
export function listenForEvents(): void {
  if (isListening) return
  isListening = true
  const slab = new Uint8Array(SLAB_BYTES)
  const event = new EventRecord(slab)
  onWake(() => {
    for (;;) {
      const filled = drain(slab)
      if (filled === 0) return
      for (let at = 0; at < filled;) {
        at = event.read(at)
        dispatch(event)
      }
    }
  })
  // Goodbyes leave, and no thread runs while the process takes itself apart.
  process.once('exit', () => addon().transportCloseAll())
}

function drain(slab: Uint8Array): number {
  try {
    return addon().transportDrain(slab)
  } catch (thrown) {
    // A fault of this library. The lost event may have ended any operation: none may wait for ever.
    const error = fromNative(thrown)
    process.emitWarning(error)
    for (const endpoint of open.values()) endpoint.fail(error)
    return 0
  }
}

function dispatch(event: EventRecord): void {
  try {
    open.get(event.endpoint)?.receive(event)
  } catch (thrown) {
    // A fault of this library; the other events must not suffer from it.
    process.emitWarning(thrown instanceof Error ? thrown : String(thrown))
  }
}
