import type { Figures } from './addon.ts'
import { native } from './error.ts'
import { addon } from './load.ts'

export const NO_FIGURES: ReadonlyMap<string, number> = new Map()

/** Names and values, put together. */
export function figuresOf({ names, values }: Figures): ReadonlyMap<string, number> {
  return new Map(names.map((name, at) => [name, values[at] ?? 0]))
}

/**
 * Sets how many bytes peers may make the process hold, in all its threads: from 16 MiB. Less than is held takes
 * nothing away. Codes: `INVALID_ARGUMENT`.
 */
export function limitPeerBytes(bytes: number): void {
  native(() => addon().limitPeerBytes(bytes))
}

/** What this thread holds natively, and the jobs of the process: a family, then its labels, with points between. */
export function nativeFigures(): ReadonlyMap<string, number> {
  return figuresOf(native(() => addon().nativeFigures()))
}
