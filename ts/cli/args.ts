import { parseArgs } from 'node:util'
import { EspalierError } from '../base/error.ts'
import { nearestName } from '../base/nearest.ts'

/** A flag as the user types it and as `--help` teaches it. */
export interface Flag {
  readonly kind: 'switch' | 'text' | 'count' | 'size' | 'list'
  /** What stands for the value in the help, for example `DIR`. Switches have none. */
  readonly value?: string
  readonly help: string
  readonly short?: string
  /** For `count` and `size`. */
  readonly min?: number
  readonly max?: number
}

/** What a command line says, checked against the flags of its command. */
export interface Arguments {
  readonly positionals: readonly string[]
  has(flag: string): boolean
  text(flag: string): string | undefined
  /** A whole number, or bytes for a `size`. */
  count(flag: string): number | undefined
  list(flag: string): readonly string[]
}

/** Reads the words after the command's name. Throws `INVALID_ARGUMENT` that names the nearest known flag. */
export function readArguments(words: readonly string[], flags: Readonly<Record<string, Flag>>): Arguments {
  const options = Object.fromEntries(
    Object.entries(flags).map(([name, flag]) => [
      name,
      {
        type: flag.kind === 'switch' ? ('boolean' as const) : ('string' as const),
        multiple: flag.kind === 'list',
        ...(flag.short === undefined ? {} : { short: flag.short }),
      },
    ]),
  )
  const parsed = parseArgs({ args: [...words], options, allowPositionals: true, strict: false, tokens: true })
  for (const token of parsed.tokens) {
    if (token.kind === 'option') checkOption(token, flags)
  }
  const values = new Map(Object.entries(parsed.values))
  const text = (name: string): string | undefined => {
    const value = values.get(name)
    return typeof value === 'string' ? value : undefined
  }
  return {
    positionals: parsed.positionals,
    has: (name) => values.get(name) === true,
    text,
    count: (name) => {
      const value = text(name)
      return value === undefined ? undefined : parseCount(name, value, flags[name])
    },
    list: (name) => {
      const value = values.get(name)
      return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : []
    },
  }
}

/** Bytes of `1500`, `64KiB`, `10GiB`, `2GB`. Throws `INVALID_ARGUMENT`. */
export function parseSize(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?$/i.exec(text)
  const exponent = ['', 'k', 'm', 'g', 't'].indexOf((match?.[2] ?? '').toLowerCase())
  const bytes = Math.round(Number(match?.[1]) * (match?.[3] === '' ? 1000 : 1024) ** exponent)
  if (!Number.isSafeInteger(bytes)) {
    throw new EspalierError(
      'INVALID_ARGUMENT',
      `a size is written 1500, 64KiB or 10GiB, not ${JSON.stringify(text)}`,
    )
  }
  return bytes
}

function checkOption(
  token: {
    readonly name: string
    readonly rawName: string
    readonly value?: string | undefined
    readonly inlineValue?: boolean | undefined
  },
  flags: Readonly<Record<string, Flag>>,
): void {
  const flag = Object.hasOwn(flags, token.name) ? flags[token.name] : undefined
  if (flag === undefined) {
    const nearest = nearestName(token.name, Object.keys(flags))
    const hint = nearest === undefined ? 'see --help' : `did you mean --${nearest}?`
    throw new EspalierError('INVALID_ARGUMENT', `there is no flag ${token.rawName}; ${hint}`)
  }
  if (flag.kind === 'switch' && token.value !== undefined) {
    throw new EspalierError('INVALID_ARGUMENT', `--${token.name} is a switch and takes no value`)
  }
  // `--data --json` forgets the value; who means a value with a dash writes `--data=--json`.
  const forgotten =
    token.value === undefined ||
    token.value === '' ||
    (token.value.startsWith('--') && token.inlineValue !== true)
  if (flag.kind !== 'switch' && forgotten) {
    throw new EspalierError(
      'INVALID_ARGUMENT',
      `--${token.name} needs a value: --${token.name} ${flag.value ?? 'VALUE'}`,
    )
  }
}

function parseCount(name: string, text: string, flag: Flag | undefined): number {
  const min = flag?.min ?? 0
  const max = flag?.max ?? Number.MAX_SAFE_INTEGER
  const value = flag?.kind === 'size' ? parseSize(text) : /^\d+$/.test(text) ? Number(text) : Number.NaN
  if (!Number.isSafeInteger(value) || value < min || value > max) {
    throw new EspalierError(
      'INVALID_ARGUMENT',
      `--${name} takes a whole number from ${min} to ${max}, not ${JSON.stringify(text)}`,
    )
  }
  return value
}
