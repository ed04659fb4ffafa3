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

/** A log of the user's that can do no harm: what it throws, or rejects with, is dropped. */
export function harmlessLog(log: Log): Log {
  // Whatever the type says, an async function fits.
  const given: Readonly<Record<keyof Log, (message: string, fields?: LogFields) => unknown>> = log
  const write =
    (level: keyof Log): Log['debug'] =>
    (message, fields) => {
      try {
        const written = given[level](message, fields)
        if (written instanceof Promise) written.catch(() => undefined)
      } catch {
        // There is no better place to tell it than the log itself.
      }
    }
  return { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') }
}
