import { setMaxListeners } from 'node:events'

/**
 * Node warns of a leak when an eleventh listener joins a signal. One signal may end any number of calls
 * here, each of which takes its listener away when it is over.
 */
export function allowManyListeners(signal: AbortSignal | undefined): void {
  if (signal !== undefined) setMaxListeners(0, signal)
}
