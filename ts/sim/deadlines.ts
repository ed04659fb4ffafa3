import type { World } from './world.ts'

/** Something that is told when its time is over, unless it has ended before. */
export interface Expiring {
  readonly isOver: boolean
  expire(): void
}

interface Queue {
  /** In the order of their ends, which is that of their beginnings. Bounded by the calls of one time-out. */
  readonly entries: { readonly atMs: number; readonly call: Expiring }[]
  first: number
  isScheduled: boolean
}

/**
 * Time-outs of requests. Nearly all requests end long before theirs and nearly all have the same one: a
 * queue for each length costs one event for many requests, where a timer each would cost one event each.
 */
export class Deadlines {
  readonly #world: World
  /** By length. Bounded by the different time-outs that services use. */
  readonly #queues = new Map<number, Queue>()

  constructor(world: World) {
    this.#world = world
  }

  add(call: Expiring, timeoutMs: number): void {
    let queue = this.#queues.get(timeoutMs)
    if (queue === undefined)
      this.#queues.set(timeoutMs, (queue = { entries: [], first: 0, isScheduled: false }))
    queue.entries.push({ atMs: this.#world.nowMs + timeoutMs, call })
    this.#watch(queue)
  }

  #watch(queue: Queue): void {
    if (queue.isScheduled) return
    const { entries } = queue
    while (queue.first < entries.length && entries[queue.first]?.call.isOver === true) queue.first += 1
    const next = entries[queue.first]
    if (next === undefined) {
      entries.length = 0
      queue.first = 0
      return
    }
    if (queue.first > 64 && queue.first * 2 > entries.length) {
      entries.splice(0, queue.first)
      queue.first = 0
    }
    queue.isScheduled = true
    this.#world.schedule(next.atMs - this.#world.nowMs, () => this.#expire(queue))
  }

  #expire(queue: Queue): void {
    queue.isScheduled = false
    const { nowMs } = this.#world
    for (;;) {
      const entry = queue.entries[queue.first]
      if (entry === undefined || (entry.atMs > nowMs && !entry.call.isOver)) break
      queue.first += 1
      if (!entry.call.isOver) entry.call.expire()
    }
    this.#watch(queue)
  }
}
