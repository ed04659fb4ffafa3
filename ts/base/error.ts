/**
 * The closed list of error codes. Callers branch on `code`, never on message text;
 * docs/guide/errors.md says for each one whether a retry can help.
 *
 * @category Errors
 */
export const ERROR_CODES = [
  'INVALID_ARGUMENT',
  'INVALID_STATE',
  'CLOSED',
  'ABORTED',
  'TIMEOUT',
  'LIMIT_EXCEEDED',
  'RATE_LIMITED',
  'UNSUPPORTED',
  'NATIVE_UNAVAILABLE',
  'PEER_UNREACHABLE',
  'PEER_MISMATCH',
  'PEER_REFUSED',
  'PROTOCOL_VIOLATION',
  'CONNECTION_LOST',
  'STREAM_RESET',
  'NOT_FOUND',
  'VALUE_TOO_LARGE',
  'RECORD_INVALID',
  'RECORD_STALE',
  'QUORUM_FAILED',
  'PLACEMENT_IMPOSSIBLE',
  'SHARDS_MISSING',
  'SIGNATURE_INVALID',
  'DECRYPT_FAILED',
  'KEY_INVALID',
  'STORAGE_FULL',
  'STORAGE_CORRUPT',
  'STORAGE_BUSY',
  'UPGRADE_REJECTED',
  'MEDIA_UNSUPPORTED',
  'MEDIA_LIMIT',
] as const

/**
 * One of the stable codes of {@link ERROR_CODES}.
 *
 * @category Errors
 */
export type ErrorCode = (typeof ERROR_CODES)[number]

/**
 * Machine-readable facts about an error. Never holds secrets.
 *
 * @category Errors
 */
export type ErrorDetails = Readonly<Record<string, string | number | boolean | readonly string[]>>

/**
 * The only class that Espalier throws.
 *
 * @example
 * ```ts
 * import { EspalierError, parseAddress } from 'espalier'
 *
 * try {
 *   parseAddress('nowhere')
 * } catch (error) {
 *   console.log(error instanceof EspalierError && error.code) // INVALID_ARGUMENT
 * }
 * ```
 *
 * @category Errors
 */
export class EspalierError extends Error {
  /** What went wrong, for programs. */
  readonly code: ErrorCode
  /** Facts that belong to the code, for example `{ found: 7, needed: 8 }` for `SHARDS_MISSING`. */
  readonly details: ErrorDetails

  constructor(
    code: ErrorCode,
    message: string,
    options: { readonly cause?: unknown; readonly details?: ErrorDetails } = {},
  ) {
    // Whatever a JavaScript caller passes, making an error never throws another one.
    const given: unknown = message
    super(typeof given === 'string' ? given : '', causeOf(options))
    this.name = 'EspalierError'
    this.code = code
    this.details = detailsOf(options)
  }
}

function causeOf(options: unknown): { readonly cause: unknown } | undefined {
  try {
    const given = options as { readonly cause?: unknown }
    return 'cause' in given ? { cause: given.cause } : undefined
  } catch {
    return undefined
  }
}

function detailsOf(options: unknown): ErrorDetails {
  try {
    return (options as { readonly details?: ErrorDetails }).details ?? {}
  } catch {
    return {}
  }
}

const CODES: ReadonlySet<string> = new Set(ERROR_CODES)

/**
 * Whether `text` is one of the codes; narrows the type.
 *
 * @category Errors
 */
export function isErrorCode(text: string): text is ErrorCode {
  return CODES.has(text)
}

/** Turns anything that was thrown into an {@link EspalierError}; an `EspalierError` is returned as it is. */
export function toEspalierError(thrown: unknown, code: ErrorCode, what: string): EspalierError {
  if (thrown instanceof EspalierError) return thrown
  const reason = thrown instanceof Error ? thrown.message : String(thrown)
  return new EspalierError(code, `${what}: ${reason}`, { cause: thrown })
}
