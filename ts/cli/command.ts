import type { Arguments, Flag } from './args.ts'
import type { Output } from './output.ts'

/** One word after `espalier`. */
export interface Command {
  readonly name: string
  /** One line for the list of commands. */
  readonly summary: string
  /** What follows `espalier NAME` in the usage line. */
  readonly usage: string
  /** Paragraphs that teach: what it does and when to use it. */
  readonly details: string
  readonly flags: Readonly<Record<string, Flag>>
  /** How many words beside flags are allowed. */
  readonly positionals: { readonly min: number; readonly max: number }
  readonly examples: readonly string[]
  /** Answers the exit code. `signal` aborts on Ctrl-C. */
  run(args: Arguments, context: { readonly output: Output; readonly signal: AbortSignal }): Promise<number>
}

/** Flags that every command understands. */
export const COMMON_FLAGS: Readonly<Record<string, Flag>> = {
  json: { kind: 'switch', help: 'One JSON object a line on standard output, for programs' },
  help: { kind: 'switch', short: 'h', help: 'This text' },
}

/** The text of `espalier NAME --help`. */
export function helpOf(command: Command): string {
  const rows = Object.entries({ ...command.flags, ...COMMON_FLAGS }).map(([name, flag]): [string, string] => [
    `${flag.short === undefined ? '    ' : `-${flag.short}, `}--${name}${flag.value === undefined ? '' : ` ${flag.value}`}`,
    flag.kind === 'list' ? `${flag.help} (may be repeated)` : flag.help,
  ])
  const width = Math.max(...rows.map(([left]) => left.length)) + 2
  return [
    `espalier ${command.name}: ${command.summary}`,
    '',
    `Usage: espalier ${command.name} ${command.usage}`.trimEnd(),
    '',
    command.details,
    '',
    'Flags:',
    ...rows.map(([left, right]) => `  ${left.padEnd(width)}${right}`),
    '',
    'Examples:',
    ...command.examples.map((example) => `  ${example}`),
  ].join('\n')
}
