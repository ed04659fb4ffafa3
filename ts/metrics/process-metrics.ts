import { monitorEventLoopDelay, type IntervalHistogram } from 'node:perf_hooks'
import type { Sample } from '../base/metrics.ts'
import { nativeFigures } from '../native/figures.ts'
import { familyOf } from './read.ts'

/** How often the event loop is looked at. Its measure includes this, so that it is taken off. */
const RESOLUTION_MS = 10
const NANOSECONDS = 1e9

/** A metric of the process or of this JavaScript thread, which its nodes share. */
export interface ProcessMetric {
  readonly kind: 'gauge'
  /** Without the prefix. */
  readonly name: string
  readonly labels: readonly string[]
  readonly help: string
  read(moment: ProcessMoment): readonly Sample<number>[]
}

/** One moment of this thread. */
export interface ProcessMoment {
  readonly figures: ReadonlyMap<string, number>
  readonly loop: LoopDelay
}

export function processMoment(loop: LoopDelay): ProcessMoment {
  return { figures: nativeFigures(), loop }
}

export const PROCESS_METRICS: readonly ProcessMetric[] = [
  {
    kind: 'gauge',
    name: 'event_loop_delay_seconds',
    labels: ['stat'],
    help: 'Delay of the event loop since the scrape before: p50, p99 and max',
    read: ({ loop }) => loop.take(),
  },
  {
    kind: 'gauge',
    name: 'native_waiting',
    labels: ['queue'],
    help: 'Events and results of native code that wait for this thread',
    read: ({ figures }) => familyOf(figures, { family: 'waiting', labels: ['queue'] }),
  },
  {
    kind: 'gauge',
    name: 'native_waiting_bytes',
    labels: ['queue'],
    help: 'Bytes of events that wait for this thread',
    read: ({ figures }) => familyOf(figures, { family: 'waiting_bytes', labels: ['queue'] }),
  },
  {
    kind: 'gauge',
    name: 'peer_bytes',
    labels: ['kind'],
    help: 'Bytes that the process holds for peers, by what they are held for',
    read: ({ figures }) => familyOf(figures, { family: 'peer_bytes', labels: ['kind'] }),
  },
  {
    kind: 'gauge',
    name: 'peer_bytes_limit',
    labels: [],
    help: 'Most bytes that the process may hold for peers',
    read: ({ figures }) => familyOf(figures, { family: 'peer_bytes_limit', labels: [] }),
  },
  {
    kind: 'gauge',
    name: 'native_handles',
    labels: ['kind'],
    help: 'Native objects that this thread holds',
    read: ({ figures }) => familyOf(figures, { family: 'handles', labels: ['kind'] }),
  },
  {
    kind: 'gauge',
    name: 'native_jobs',
    labels: ['pool'],
    help: 'Jobs that wait or run in the native pools of the process',
    read: ({ figures }) => familyOf(figures, { family: 'jobs', labels: ['pool'] }),
  },
]

/** How late the event loop is, from one look to the next. */
export class LoopDelay {
  readonly #histogram: IntervalHistogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS })

  constructor() {
    this.#histogram.enable()
  }

  /** What was seen since the last call. */
  take(): readonly Sample<number>[] {
    const histogram = this.#histogram
    const seen = { p50: histogram.percentile(50), p99: histogram.percentile(99), max: histogram.max }
    // Before the first tick there is no maximum.
    const isEmpty = histogram.count === 0
    histogram.reset()
    return Object.entries(seen).map(([stat, nanoseconds]) => {
      const late = nanoseconds / NANOSECONDS - RESOLUTION_MS / 1000
      return { labels: { stat }, value: isEmpty ? 0 : Math.max(0, late) }
    })
  }

  stop(): void {
    this.#histogram.disable()
  }
}
