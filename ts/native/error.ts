import { EspalierError, isErrorCode, type ErrorCode, type ErrorDetails } from '../base/error.ts'

/** The error of a native failure, which is formatted `CODE: message`. Nothing else parses that form. */
export function fromNative(thrown: unknown): EspalierError {
  if (thrown instanceof EspalierError) return thrown
  return fromNativeText(thrown instanceof Error ? thrown.message : String(thrown))
}

/**
 * As {@link fromNative}, for a failure that arrived as text. A code that nobody here knows becomes `unknown`:
 * a fault of this library, or the word of a peer of another version.
 */
export function fromNativeText(text: string, unknown: ErrorCode = 'INVALID_STATE'): EspalierError {
  const [, code, message] = /^([A-Z_]+): ([\s\S]*)$/.exec(text) ?? []
  if (code === undefined || message === undefined) {
    // A caught panic, or a value that napi itself refused: both are faults of this library.
    return new EspalierError('INVALID_STATE', `native code failed: ${text}`)
  }
  if (!isErrorCode(code)) return new EspalierError(unknown, `${code}: ${message}`)
  return new EspalierError(code, message, { details: detailsOf(code, message) })
}

/**
 * As {@link fromNativeText}, for what an event told. It has no stack: that would say only that events are taken, and
 * took longer than all else that a closed connection takes here.
 */
export function fromEventText(text: string, unknown?: ErrorCode): EspalierError {
  const depth = Error.stackTraceLimit
  // Without effect where the language's own objects are frozen.
  Reflect.set(Error, 'stackTraceLimit', 0)
  try {
    return fromNativeText(text, unknown)
  } finally {
    Reflect.set(Error, 'stackTraceLimit', depth)
  }
}

/** Calls native code and turns what it throws into an {@link EspalierError}. */
export function native<T>(call: () => T): T {
  try {
    return call()
  } catch (thrown) {
    throw fromNative(thrown)
  }
}

function detailsOf(code: string, message: string): ErrorDetails {
  if (code === 'INVALID_ARGUMENT') {
    const [, argument] = /^([A-Za-z]+): /.exec(message) ?? []
    return argument === undefined ? {} : { argument }
  }
  if (code === 'STREAM_RESET') {
    const [, resetCode] = / code (\d+)$/.exec(message) ?? []
    return resetCode === undefined ? {} : { resetCode: Number(resetCode) }
  }
  if (code !== 'SHARDS_MISSING') return {}
  const [, found, needed] = /^(\d+) of (\d+) shards/.exec(message) ?? []
  return { found: Number(found ?? 0), needed: Number(needed ?? 0) }
}
