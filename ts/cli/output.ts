import type { EspalierError } from '../base/error.ts'

/** Facts that a program reads from one line of `--json` output. */
export type JsonLine = Readonly<Record<string, unknown>> & { readonly event: string }

/**
 * Where a command speaks. People get lines and a progress line that redraws itself on a terminal;
 * `--json` turns everything on standard output into one object a line.
 */
export class Output {
  readonly json: boolean
  readonly #terminal: boolean
  #progressShown = false

  constructor(options: { readonly json: boolean }) {
    this.json = options.json
    this.#terminal = !options.json && process.stderr.isTTY
  }

  /** A line for people; nothing with `--json`. */
  line(text = ''): void {
    if (this.json) return
    this.#clearProgress()
    process.stdout.write(`${text}\n`)
  }

  /** A fact for programs; nothing without `--json`. */
  fact(fact: JsonLine): void {
    if (this.json) process.stdout.write(`${JSON.stringify(fact)}\n`)
  }

  /** A passing state on a terminal, replaced by whatever is shown next. */
  progress(text: string): void {
    if (!this.#terminal) return
    const width = process.stderr.columns
    process.stderr.write(`\r\u001B[2K${text.slice(0, Math.max(10, width - 1))}`)
    this.#progressShown = true
  }

  /** What went wrong, on standard error; with `--json` also as a fact. */
  error(error: EspalierError): void {
    this.#clearProgress()
    this.fact({ event: 'error', code: error.code, message: error.message, details: error.details })
    process.stderr.write(`espalier: ${error.code}: ${linesOf(error).map(printable).join('\n')}\n`)
  }

  #clearProgress(): void {
    if (!this.#progressShown) return
    process.stderr.write('\r\u001B[2K')
    this.#progressShown = false
  }
}

/** The list of attempts to load the addon is lines of our own; any other message may quote a peer, and stays on one. */
function linesOf({ code, message }: EspalierError): readonly string[] {
  return code === 'NATIVE_UNAVAILABLE' ? message.split('\n') : [message]
}

/** Text without control characters, so that nothing a peer wrote can steer a terminal. */
export function printable(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cf}]/gu,
    (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`,
  )
}

/** `12.3 MiB`. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let value = bytes
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit += 1
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit] ?? 'B'}`
}

/** `1.24 s` or `312 ms`. */
export function formatMs(durationMs: number): string {
  return durationMs >= 1000 ? `${(durationMs / 1000).toFixed(2)} s` : `${durationMs.toFixed(0)} ms`
}

/** Megabytes (10⁶ bytes) a second. */
export function formatRate(bytes: number, durationMs: number): string {
  return `${(bytes / 1000 / Math.max(durationMs, 0.001)).toFixed(1)} MB/s`
}
