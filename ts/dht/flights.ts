import type { Calls } from './calls.ts'
import { endOf } from './turns.ts'

/** Work that is done once for all who ask for it meanwhile; it goes on when one of them gives up. */
export class Flights {
  readonly #calls: Calls
  /** By name. Bounded by the calls under way. */
  readonly #flights = new Map<string, Promise<void>>()

  constructor(calls: Calls) {
    this.#calls = calls
  }

  /** Ends as the work of this name does; rejects with the reason of `signal` if that comes first. */
  async join(name: string, signal: AbortSignal, work: (signal: AbortSignal) => Promise<void>): Promise<void> {
    let flight = this.#flights.get(name)
    if (flight === undefined) {
      flight = this.#calls.run({}, work).finally(() => this.#flights.delete(name))
      this.#flights.set(name, flight)
    }
    await endOf(flight, signal)
    await flight
  }
}
