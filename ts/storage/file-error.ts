import { EspalierError, type ErrorCode } from '../base/error.ts'

const CODES: ReadonlyMap<string | undefined, ErrorCode> = new Map<string | undefined, ErrorCode>([
  ['ENOSPC', 'STORAGE_FULL'],
  // A disk quota and a file-size limit are the same to the caller as no space left.
  ['EDQUOT', 'STORAGE_FULL'],
  ['EFBIG', 'STORAGE_FULL'],
  ['EMFILE', 'LIMIT_EXCEEDED'],
  ['ENFILE', 'LIMIT_EXCEEDED'],
])

/**
 * The typed error for a failed file operation: `STORAGE_FULL` when there is no room for more, `LIMIT_EXCEEDED`
 * when too many files are open, otherwise `code`; `details.errno` keeps the system's own name.
 */
export function fileError(
  thrown: unknown,
  { code, what }: { readonly code: ErrorCode; readonly what: string },
): EspalierError {
  if (thrown instanceof EspalierError) return thrown
  const errno = errnoOf(thrown)
  const reason = thrown instanceof Error ? thrown.message : String(thrown)
  return new EspalierError(CODES.get(errno) ?? code, `${what}: ${reason}`, {
    cause: thrown,
    details: errno === undefined ? {} : { errno },
  })
}

/** The system's name of an error, for example `ENOENT`. */
export function errnoOf(thrown: unknown): string | undefined {
  return thrown instanceof Error && 'code' in thrown && typeof thrown.code === 'string'
    ? thrown.code
    : undefined
}
