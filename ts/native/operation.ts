import { EspalierError } from '../base/error.ts'

/** A running operation: its outcome, and the way to end it early. */
export interface Operation<T> {
  readonly result: Promise<T>
  cancel(): void
}

/** Something that native code will end. No closures: there is one for each request. */
export class Pending {
  readonly promise: Promise<unknown>
  resolve!: (value: unknown) => void
  reject!: (error: EspalierError) => void

  constructor() {
    this.promise = new Promise((resolve, reject) => {
      this.resolve = resolve
      this.reject = reject
    })
  }
}

/** The outcome of `operation`, ended early with `ABORTED` by `signal`. */
export async function abortable<T>(operation: Operation<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return operation.result
  let onAbort = (): void => undefined
  const given = new Promise<never>((_resolve, reject) => {
    onAbort = () => {
      operation.cancel()
      reject(aborted(signal))
    }
    signal.addEventListener('abort', onAbort, { once: true })
  })
  try {
    return await Promise.race([operation.result, given])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}

/** The error of a caller that gave up. */
export function aborted(signal: AbortSignal): EspalierError {
  return new EspalierError('ABORTED', 'the caller gave up', { cause: signal.reason })
}
