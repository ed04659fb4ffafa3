/**
 * Facts beside a log message. Never secrets.
 *
 * @category Watching
 */
export type LogFields = Readonly<Record<string, string | number | boolean>>

/**
 * Structured log; the shape of pino and of `console`-like loggers.
 *
 * @category Watching
 */
export interface Log {
  /** For whoever looks for a fault. */
  debug(message: string, fields?: LogFields): void
  /** The course of things. */
  info(message: string, fields?: LogFields): void
  /** Something went wrong and was dealt with. */
  warn(message: string, fields?: LogFields): void
  /** Something went wrong that the operator should know. */
  error(message: string, fields?: LogFields): void
}

/**
 * Drops everything.
 *
 * @category Watching
 */
export const silentLog: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
}
