import { threadId, type Worker } from 'node:worker_threads'
import { native } from './error.ts'
import { addon } from './load.ts'

/** A turn of waiting at a gate; between two of them a thread can be ended. */
const TURN_MS = 50
/** After so many turns the owner is taken for too busy to watch. */
const MAX_TURNS = 100
/** The longest that an owner keeps watch: loading from a slow disk. */
const WATCH_MS = 2_000

/**
 * Runs `load` while the owner of this worker keeps watch ({@link keepWatch}), whom it has asked to. Node ends the
 * workers of a worker or of a process that ends, and an addon that is just being registered in one of them may abort
 * the process: better-sqlite3 13 does. An owner that waits in native code can't be ended before it has seen the end.
 */
export function loadUnderWatch(load: () => void): void {
  // Whoever ends this thread while nobody watches does it between two turns.
  for (let turn = 0; turn < MAX_TURNS; turn += 1) {
    if (native(() => addon().gateEnter(threadId, TURN_MS))) break
  }
  try {
    load()
  } finally {
    native(() => addon().gateLeave(threadId))
  }
}

/** Blocks this thread while `worker`, which waits in {@link loadUnderWatch}, loads: milliseconds, two seconds at most. */
export function keepWatch(worker: Worker): void {
  // Without an id it has ended already.
  if (worker.threadId > 0) native(() => addon().gateWatch(worker.threadId, WATCH_MS))
}
