import type { Timer } from '../base/clock.ts'

type Run = () => void

/** Cancelled events are cleared away when they are more than this, and more than all others. */
const MIN_GARBAGE = 1_024
const FIRST_ROOM = 1_024

/**
 * Binary heap of events, earliest first; among equals the one that was pushed first. Columns of numbers
 * instead of objects: ten thousand nodes keep a hundred thousand timers.
 */
export class EventHeap {
  /** In heap order, like the two columns beside it. Bounded by what the simulated nodes schedule. */
  #times = new Float64Array(FIRST_ROOM)
  #orders = new Float64Array(FIRST_ROOM)
  #slots = new Int32Array(FIRST_ROOM)
  #count = 0
  #cancelled = 0
  #nextOrder = 0
  /** What to run, by slot; nothing for a slot that is free or whose event was cancelled. Bounded as the heap. */
  readonly #runs: (Run | undefined)[] = []
  /** The order of the event in each slot: whether a late `cancel` still means it. */
  readonly #owners: number[] = []
  readonly #free: number[] = []

  /** Events that will run. */
  get size(): number {
    return this.#count - this.#cancelled
  }

  push(atMs: number, run: Run): Timer {
    const order = this.#nextOrder
    this.#nextOrder += 1
    const slot = this.#free.pop() ?? this.#runs.length
    this.#runs[slot] = run
    this.#owners[slot] = order
    if (this.#count === this.#times.length) this.#grow()
    this.#count += 1
    this.#rise(this.#count - 1, { atMs, order, slot })
    return new Ticket(this, slot, order)
  }

  /** Lets go of what the event would have run; its place in the heap is cleared later. */
  cancel(slot: number, order: number): void {
    if (this.#owners[slot] !== order || this.#runs[slot] === undefined) return
    this.#runs[slot] = undefined
    this.#cancelled += 1
    if (this.#cancelled > MIN_GARBAGE && this.#cancelled * 2 > this.#count) this.#clear()
  }

  /** When the next event is due; Infinity without one. */
  nextAtMs(): number {
    while (this.#count > 0) {
      const slot = this.#slots[0] ?? 0
      if (this.#runs[slot] !== undefined) return this.#times[0] ?? Infinity
      this.#cancelled -= 1
      this.#leave(slot)
      this.#removeFirst()
    }
    return Infinity
  }

  /** Takes the next event. */
  pop(): Run | undefined {
    if (this.nextAtMs() === Infinity) return undefined
    const slot = this.#slots[0] ?? 0
    const run = this.#runs[slot]
    this.#leave(slot)
    this.#removeFirst()
    return run
  }

  #leave(slot: number): void {
    this.#runs[slot] = undefined
    this.#owners[slot] = -1
    this.#free.push(slot)
  }

  #removeFirst(): void {
    this.#count -= 1
    const last = this.#count
    if (last === 0) return
    this.#sink(0, {
      atMs: this.#times[last] ?? 0,
      order: this.#orders[last] ?? 0,
      slot: this.#slots[last] ?? 0,
    })
  }

  #rise(from: number, event: Event): void {
    let at = from
    while (at > 0) {
      const above = (at - 1) >> 1
      if (this.#isBefore(above, event)) break
      this.#copy(above, at)
      at = above
    }
    this.#set(at, event)
  }

  #sink(from: number, event: Event): void {
    const times = this.#times
    const orders = this.#orders
    let at = from
    for (;;) {
      let below = 2 * at + 1
      if (below >= this.#count) break
      const right = below + 1
      if (right < this.#count) {
        const a = times[below] ?? 0
        const b = times[right] ?? 0
        if (b < a || (b === a && (orders[right] ?? 0) < (orders[below] ?? 0))) below = right
      }
      if (!this.#isBefore(below, event)) break
      this.#copy(below, at)
      at = below
    }
    this.#set(at, event)
  }

  #isBefore(at: number, event: Event): boolean {
    const time = this.#times[at] ?? 0
    return time < event.atMs || (time === event.atMs && (this.#orders[at] ?? 0) < event.order)
  }

  #copy(from: number, to: number): void {
    this.#times[to] = this.#times[from] ?? 0
    this.#orders[to] = this.#orders[from] ?? 0
    this.#slots[to] = this.#slots[from] ?? 0
  }

  #set(at: number, { atMs, order, slot }: Event): void {
    this.#times[at] = atMs
    this.#orders[at] = order
    this.#slots[at] = slot
  }

  #grow(): void {
    const { length } = this.#times
    this.#times = grown(this.#times, new Float64Array(2 * length))
    this.#orders = grown(this.#orders, new Float64Array(2 * length))
    this.#slots = grown(this.#slots, new Int32Array(2 * length))
  }

  /** Takes the cancelled ones out and puts the others in order again. */
  #clear(): void {
    let kept = 0
    for (let at = 0; at < this.#count; at += 1) {
      const slot = this.#slots[at] ?? 0
      if (this.#runs[slot] === undefined) {
        this.#leave(slot)
      } else {
        this.#copy(at, kept)
        kept += 1
      }
    }
    this.#count = kept
    this.#cancelled = 0
    for (let at = (kept >> 1) - 1; at >= 0; at -= 1) {
      const [atMs = 0, order = 0, slot = 0] = [this.#times[at], this.#orders[at], this.#slots[at]]
      this.#sink(at, { atMs, order, slot })
    }
  }
}

interface Event {
  readonly atMs: number
  /** Order of scheduling, which decides among events of one instant. */
  readonly order: number
  readonly slot: number
}

class Ticket implements Timer {
  readonly #heap: EventHeap
  readonly #slot: number
  readonly #order: number

  constructor(heap: EventHeap, slot: number, order: number) {
    this.#heap = heap
    this.#slot = slot
    this.#order = order
  }

  cancel(): void {
    this.#heap.cancel(this.#slot, this.#order)
  }
}

function grown<Column extends Float64Array | Int32Array>(from: Column, to: Column): Column {
  to.set(from)
  return to
}
