/** Something that happens at one instant of simulated time. */
export interface SimEvent {
  readonly atMs: number
  /** Order of scheduling, which decides among events of one instant. */
  readonly sequence: number
  readonly run: () => void
  cancelled: boolean
}

/** Binary heap of events, earliest first; among equals the one scheduled first. */
export class EventHeap {
  /** Bounded by what the simulated nodes schedule; cancelled events leave when their time comes. */
  readonly #events: SimEvent[] = []

  get size(): number {
    return this.#events.length
  }

  push(event: SimEvent): void {
    const events = this.#events
    let at = events.length
    events.push(event)
    while (at > 0) {
      const above = (at - 1) >> 1
      const parent = events[above]
      if (parent === undefined || isBefore(parent, event)) break
      events[at] = parent
      at = above
    }
    events[at] = event
  }

  /** Takes the next event if it is due by `untilMs`; cancelled ones are dropped on the way. */
  popDue(untilMs: number): SimEvent | undefined {
    for (;;) {
      const first = this.#events[0]
      if (first === undefined) return undefined
      if (!first.cancelled && first.atMs > untilMs) return undefined
      this.#removeFirst()
      if (!first.cancelled) return first
    }
  }

  #removeFirst(): void {
    const events = this.#events
    const last = events.pop()
    if (last === undefined || events.length === 0) return
    let at = 0
    for (;;) {
      let below = 2 * at + 1
      const right = events[below + 1]
      let child = events[below]
      if (child === undefined) break
      if (right !== undefined && isBefore(right, child)) {
        child = right
        below += 1
      }
      if (isBefore(last, child)) break
      events[at] = child
      at = below
    }
    events[at] = last
  }
}

function isBefore(a: SimEvent, b: SimEvent): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.sequence < b.sequence)
}
