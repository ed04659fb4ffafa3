import { EspalierError } from '../base/error.ts'
import { fromNative, fromNativeText } from './error.ts'
import { addon } from './load.ts'

/**
 * Starts native work under a fresh job number and waits for its result. What `start` throws rejects the promise.
 * While jobs are in flight they keep the process alive.
 */
export function runJob(start: (job: number) => void): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const job = reserve({ resolve, reject })
    try {
      start(job)
    } catch (thrown) {
      settle(job)
      reject(fromNative(thrown))
    }
  })
}

/** Calls `listener` at every wake-up of this thread, after the jobs. It must not throw. Attaches the queue. */
export function onWake(listener: () => void): void {
  attach()
  listeners.push(listener)
}

/** Keeps the process alive until {@link release}; holds are counted. */
export function hold(): void {
  holds += 1
  if (holds === 1) addon().queueHold(true)
}

/** Gives back one {@link hold}. */
export function release(): void {
  holds -= 1
  if (holds === 0) addon().queueHold(false)
}

interface Waiting {
  readonly resolve: (payload: Uint8Array) => void
  readonly reject: (error: EspalierError) => void
}

/** Bounded by MAX_JOBS. */
const waiting = new Map<number, Waiting>()
const MAX_JOBS = 4096
const RECORD_BYTES = 16
const RECORDS_PER_DRAIN = 64
const STATUS_OK = 0

const records = new Uint8Array(RECORD_BYTES * RECORDS_PER_DRAIN)
const view = new DataView(records.buffer)
/** Bounded by the modules that use the queue. */
const listeners: (() => void)[] = []
let attached = false
let holds = 0
let lastJob = 0

function attach(): void {
  if (attached) return
  addon().queueAttach(wake)
  attached = true
}

function reserve(entry: Waiting): number {
  if (waiting.size >= MAX_JOBS) {
    throw new EspalierError('LIMIT_EXCEEDED', `${MAX_JOBS} native jobs are in flight already`)
  }
  attach()
  do lastJob = lastJob === 0xffff_ffff ? 1 : lastJob + 1
  while (waiting.has(lastJob))
  waiting.set(lastJob, entry)
  if (waiting.size === 1) hold()
  return lastJob
}

function settle(job: number): Waiting | undefined {
  const entry = waiting.get(job)
  if (entry !== undefined && waiting.delete(job) && waiting.size === 0) release()
  return entry
}

/** Called by native code; an error that left it would end the process. */
function wake(): void {
  try {
    for (;;) {
      const count = addon().queueDrain(records)
      if (count === 0) break
      for (let at = 0; at < count * RECORD_BYTES; at += RECORD_BYTES) complete(at)
    }
  } catch (thrown) {
    for (const job of [...waiting.keys()]) settle(job)?.reject(fromNative(thrown))
  }
  for (const listener of listeners) listener()
}

function complete(at: number): void {
  const job = view.getUint32(at + 4, true)
  const payload = new Uint8Array(view.getUint32(at + 8, true))
  addon().queueTake(job, payload)
  const entry = settle(job)
  if (view.getUint32(at + 12, true) === STATUS_OK) entry?.resolve(payload)
  else entry?.reject(fromNativeText(new TextDecoder().decode(payload)))
}
