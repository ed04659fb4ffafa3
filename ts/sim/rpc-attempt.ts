import { EspalierError } from '../base/error.ts'
import type { CallOptions } from '../net/transport.ts'
import type { Expiring } from './deadlines.ts'
import type { Fabric } from './rpc-fabric.ts'

/** Something under way that can be ended from outside. */
export interface Ending {
  fail(error: EspalierError): void
}

/** Where an outcome goes. Exactly one of the first two is called, once. */
export interface Outcome<Result> {
  readonly resolve: (result: Result) => void
  readonly reject: (error: EspalierError) => void
  readonly ended: (ending: Ending) => void
}

/** One thing that a node tries over the network: it ends once, by its outcome, its time-out or its caller. */
export class Attempt<Result> implements Ending, Expiring {
  protected readonly network: Fabric
  readonly #outcome: Outcome<Result>
  #isOver = false
  #signal: AbortSignal | undefined
  #onAbort: (() => void) | undefined

  constructor(network: Fabric, outcome: Outcome<Result>) {
    this.network = network
    this.#outcome = outcome
  }

  get isOver(): boolean {
    return this.#isOver
  }

  /** Ends it with `TIMEOUT` or `ABORTED` when nothing else does. */
  protected watch({ signal, timeoutMs }: CallOptions, defaultTimeoutMs: number): void {
    this.network.deadlines.add(this, timeoutMs ?? defaultTimeoutMs)
    if (signal === undefined) return
    this.#signal = signal
    this.#onAbort = () =>
      this.fail(new EspalierError('ABORTED', 'the caller gave up', { cause: signal.reason }))
    signal.addEventListener('abort', this.#onAbort, { once: true })
  }

  expire(): void {
    this.fail(new EspalierError('TIMEOUT', 'no answer in time'))
  }

  succeed(result: Result): void {
    if (this.#end()) this.#outcome.resolve(result)
  }

  fail(error: EspalierError): void {
    if (this.#end()) this.#outcome.reject(error)
  }

  #end(): boolean {
    if (this.#isOver) return false
    this.#isOver = true
    if (this.#onAbort !== undefined) this.#signal?.removeEventListener('abort', this.#onAbort)
    this.#outcome.ended(this)
    return true
  }
}
