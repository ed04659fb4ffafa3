import type { Env } from '../base/env.ts'
import { EspalierError, toEspalierError } from '../base/error.ts'
import type { RecordBody } from '../base/record.ts'
import type { CallOptions } from '../net/transport.ts'
import { openScope } from './scope.ts'
import { Turns } from './turns.ts'

/** The calls of one service: each ends when its caller gives up, its time is over or the service stops. */
export class Calls {
  readonly #env: Env
  readonly #stopped: AbortSignal
  readonly #defaultTimeoutMs: number
  /** Writes of this node's own records by place. */
  readonly #turns = new Turns()
  #isOpen = false

  constructor(env: Env, options: { readonly stopped: AbortSignal; readonly defaultTimeoutMs: number }) {
    this.#env = env
    this.#stopped = options.stopped
    this.#defaultTimeoutMs = options.defaultTimeoutMs
  }

  /** From now on calls are taken; before, they end with `INVALID_STATE`. */
  open(): void {
    this.#isOpen = true
  }

  /** Throws `INVALID_STATE` before calls are taken, and `CLOSED` after the service has stopped. */
  check(): void {
    if (!this.#isOpen) throw new EspalierError('INVALID_STATE', 'the table is not started')
    if (this.#stopped.aborted) throw new EspalierError('CLOSED', 'the node is stopping')
  }

  /** Codes: `ABORTED`, `TIMEOUT`, `CLOSED`, `INVALID_STATE`, and those of `work`. */
  async run<T>(options: CallOptions, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    this.check()
    const scope = openScope(this.#env.clock, {
      ...options,
      stopped: this.#stopped,
      defaultTimeoutMs: this.#defaultTimeoutMs,
    })
    try {
      return await work(scope.signal)
    } catch (error) {
      // The end of the call explains better than the step that it broke.
      if (scope.signal.aborted) throw scope.signal.reason
      throw error
    } finally {
      scope.close()
    }
  }

  /** Like {@link run}, after earlier writes of the same place have ended: each sees the sequence of the last. */
  async inTurn<T>(
    place: Pick<RecordBody, 'kind' | 'subject'>,
    options: CallOptions,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const name = `${place.kind} ${Buffer.from(place.subject).toString('hex')}`
    return this.#turns.take(name, (before) =>
      this.run(options, async (signal) => {
        await before(signal)
        return work(signal)
      }),
    )
  }

  /** Nobody waits for it: a failure is logged. */
  inBackground(name: string, timeoutMs: number, work: (signal: AbortSignal) => Promise<unknown>): void {
    this.run({ timeoutMs }, work).catch((error: unknown) => {
      if (this.#stopped.aborted) return
      const { code, message } = toEspalierError(error, 'INVALID_STATE', name)
      this.#env.log.warn(`${name} failed`, { code, message })
    })
  }
}
