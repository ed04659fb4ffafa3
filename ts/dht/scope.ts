import { allowManyListeners } from '../base/abort.ts'
import type { Clock } from '../base/clock.ts'
import { EspalierError } from '../base/error.ts'
import type { CallOptions } from '../net/transport.ts'

/** The life of one call: its signal aborts when the caller gives up, time is over, or the service stops. */
export interface Scope {
  /** Its reason is the `EspalierError` to throw: `ABORTED`, `TIMEOUT` or `CLOSED`. */
  readonly signal: AbortSignal
  /** Lets go of timer and listeners. Every scope is closed. */
  close(): void
}

/** Opens a scope. Throws the reason when it is over already, and `INVALID_ARGUMENT` for a bad time-out. */
export function openScope(
  clock: Clock,
  options: CallOptions & {
    /** The service's own end. */
    readonly stopped: AbortSignal
    readonly defaultTimeoutMs: number
  },
): Scope {
  const { signal, stopped, timeoutMs = options.defaultTimeoutMs } = options
  if (typeof timeoutMs !== 'number' || !(timeoutMs >= 0)) {
    throw new EspalierError('INVALID_ARGUMENT', 'timeoutMs must be a number from 0')
  }
  const controller = new AbortController()
  const onAbort = (): void => {
    controller.abort(new EspalierError('ABORTED', 'the caller gave up', { cause: signal?.reason }))
  }
  const onStop = (): void => controller.abort(new EspalierError('CLOSED', 'the node is stopping'))
  const timer = clock.setTimer(timeoutMs, () => {
    controller.abort(new EspalierError('TIMEOUT', `not finished within ${timeoutMs} ms`))
  })
  const close = (): void => {
    timer.cancel()
    signal?.removeEventListener('abort', onAbort)
    stopped.removeEventListener('abort', onStop)
  }
  allowManyListeners(signal)
  allowManyListeners(stopped)
  allowManyListeners(controller.signal)
  signal?.addEventListener('abort', onAbort, { once: true })
  stopped.addEventListener('abort', onStop, { once: true })
  if (signal?.aborted === true) onAbort()
  if (stopped.aborted) onStop()
  if (controller.signal.aborted) {
    close()
    throw controller.signal.reason
  }
  return { signal: controller.signal, close }
}
