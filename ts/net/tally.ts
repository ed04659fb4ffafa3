import { EspalierError, isErrorCode, type ErrorCode } from '../base/error.ts'
import type { Counter, Histogram, Meter } from '../base/metrics.ts'
import { traceRequest } from './trace.ts'

/** Who began, as this node sees it. */
export type Direction = 'inbound' | 'outbound'

/** Counts one kind of request in one direction: how they end and how long they take. */
export class Tally {
  readonly #meter: Meter
  readonly #labels: { readonly protocol: string; readonly direction: Direction }
  readonly #successes: Counter
  readonly #seconds: Histogram
  /** Bounded by the error codes. */
  readonly #failures = new Map<ErrorCode, Counter>()

  constructor(meter: Meter, labels: { readonly protocol: string; readonly direction: Direction }) {
    this.#meter = meter
    this.#labels = labels
    this.#successes = meter.counter('requests', { ...labels, outcome: 'ok' })
    this.#seconds = meter.histogram('requestSeconds', labels)
  }

  succeeded(tookMs: number): void {
    this.#successes.add()
    this.#seconds.observe(tookMs / 1000)
    traceRequest(this.#labels, 'ok', tookMs)
  }

  failed(error: unknown, tookMs: number): void {
    const code = outcomeOf(error)
    let counter = this.#failures.get(code)
    if (counter === undefined) {
      counter = this.#meter.counter('requests', { ...this.#labels, outcome: code })
      this.#failures.set(code, counter)
    }
    counter.add()
    this.#seconds.observe(tookMs / 1000)
    traceRequest(this.#labels, code, tookMs)
  }
}

/** A tally for each kind of request of one direction. */
export class Tallies {
  readonly #meter: Meter
  readonly #direction: Direction
  /** Bounded by the message types of the services. */
  readonly #tallies = new Map<number, Tally>()

  constructor(meter: Meter, direction: Direction) {
    this.#meter = meter
    this.#direction = direction
  }

  of(type: { readonly name: string; readonly protocol: number }): Tally {
    let tally = this.#tallies.get(type.protocol)
    if (tally === undefined) {
      tally = new Tally(this.#meter, { protocol: type.name, direction: this.#direction })
      this.#tallies.set(type.protocol, tally)
    }
    return tally
  }

  /** Counts how the opening of a stream, or the serving of one, ended. */
  stream(type: { readonly name: string }, outcome: ErrorCode | 'ok'): void {
    this.#meter.counter('streams', { protocol: type.name, direction: this.#direction, outcome }).add()
  }
}

/** The label of an outcome. Another error than ours is a fault of a handler, and travels as `PEER_REFUSED`. */
export function outcomeOf(error: unknown): ErrorCode {
  return error instanceof EspalierError && isErrorCode(error.code) ? error.code : 'PEER_REFUSED'
}
