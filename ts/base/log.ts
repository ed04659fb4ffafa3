/** Facts beside a log message. Never secrets. */
export type LogFields = Readonly<Record<string, string | number | boolean>>

/** Structured log; the shape of pino and of `console`-like loggers. */
export interface Log {
  debug(message: string, fields?: LogFields): void
  info(message: string, fields?: LogFields): void
  warn(message: string, fields?: LogFields): void
  error(message: string, fields?: LogFields): void
}

/** Drops everything. */
export const silentLog: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
}
