import { EspalierError } from './error.ts'
import { nearestName } from './nearest.ts'
import { itemsOf, reading } from './read.ts'

/** How one option is checked. Make them with {@link integer}, {@link text} and the others below. */
export interface OptionRule<T> {
  /** Answers the checked value. Throws `INVALID_ARGUMENT` with `name` in its text. */
  check(value: unknown, name: string): T
  /** Stands in for an option that is absent or `undefined`. Throws for a required one. */
  absent(name: string): T
}

/** All options of one service: its names are the only ones allowed. */
export type OptionTable = Readonly<Record<string, OptionRule<unknown>>>

/** What {@link checkOptions} answers: every option of the table, checked or by default. */
export type CheckedTable<Table extends OptionTable> = {
  readonly [Name in keyof Table]: Table[Name] extends OptionRule<infer T> ? T : never
}

/**
 * Checks an object that a user wrote against a table. Each option is read once. Throws
 * `INVALID_ARGUMENT` for another thing than an object, an unknown name (naming the nearest known one
 * in the text and in `details.nearest`), and a value of the wrong type or out of range; `details.option`
 * names the option. The answer is frozen.
 */
export function checkOptions<Table extends OptionTable>(
  given: unknown,
  table: Table,
  what = 'options',
): CheckedTable<Table> {
  const source = given === undefined ? {} : given
  return reading(what, () => {
    if (!isRecord(source)) throw invalid(what, `an object, not ${describeValue(source)}`)
    for (const name of Object.keys(source)) {
      if (!Object.hasOwn(table, name)) throw unknownOption(name, Object.keys(table))
    }
    const checked: Record<string, unknown> = {}
    for (const [name, rule] of Object.entries(table)) {
      const value = source[name]
      checked[name] = value === undefined ? rule.absent(name) : rule.check(value, name)
    }
    return Object.freeze(checked) as CheckedTable<Table>
  })
}

/** A whole number from `min` to `max`. Without a default the option is required. */
export function integer(options: {
  readonly min: number
  readonly max: number
  readonly default?: number
}): OptionRule<number> {
  return rule(
    (value): value is number => Number.isSafeInteger(value) && isWithin(value, options),
    `a whole number from ${options.min} to ${options.max}`,
    options,
  )
}

/** A finite number from `min` to `max`. Without a default the option is required. */
export function number(options: {
  readonly min: number
  readonly max: number
  readonly default?: number
}): OptionRule<number> {
  return rule(
    (value): value is number => Number.isFinite(value) && isWithin(value, options),
    `a number from ${options.min} to ${options.max}`,
    options,
  )
}

/** `true` or `false`. */
export function flag(options: { readonly default: boolean }): OptionRule<boolean> {
  return rule((value): value is boolean => typeof value === 'boolean', 'true or false', options)
}

/** Text of `minLength` (default 1) to `maxLength` (default 4,096) UTF-16 units, without zero characters. */
export function text(
  options: { readonly minLength?: number; readonly maxLength?: number; readonly default?: string } = {},
): OptionRule<string> {
  const { minLength = 1, maxLength = 4_096 } = options
  return rule(
    (value): value is string =>
      typeof value === 'string' &&
      value.length >= minLength &&
      value.length <= maxLength &&
      !value.includes('\0'),
    `text of ${minLength} to ${maxLength} characters`,
    options,
  )
}

/** One of a few words. */
export function oneOf<const Word extends string>(
  words: readonly Word[],
  options: { readonly default?: NoInfer<Word> } = {},
): OptionRule<Word> {
  return rule(
    (value): value is Word => words.some((word) => word === value),
    words.map((word) => JSON.stringify(word)).join(' or '),
    options,
  )
}

/** Anything that `accepts` says yes to; `allowed` completes "must be …". */
export function shape<T>(
  accepts: (value: unknown) => value is T,
  allowed: string,
  options: { readonly default?: NoInfer<T> } = {},
): OptionRule<T> {
  return rule(accepts, allowed, options)
}

/** Up to `maxItems` items of one rule; the answer is a fresh frozen array. */
export function list<T>(
  item: OptionRule<T>,
  options: { readonly maxItems: number; readonly minItems?: number; readonly default?: readonly T[] },
): OptionRule<readonly T[]> {
  const { minItems = 0, maxItems } = options
  const allowed = `a list of ${minItems} to ${maxItems} items`
  return {
    check: (value, name) => {
      const items = itemsOf(value, maxItems)
      if (typeof items !== 'object' || items.length < minItems) {
        throw invalid(name, `${allowed}, not ${describeValue(value)}`)
      }
      return Object.freeze(items.map((entry, at) => item.check(entry, `${name}[${at}]`)))
    },
    absent: (name) => {
      if (options.default === undefined) throw invalid(name, `given: ${allowed}`)
      return options.default
    },
  }
}

/** The option may be left out, and is `undefined` then. */
export function optional<T>(inner: OptionRule<T>): OptionRule<T | undefined> {
  return { check: (value, name) => inner.check(value, name), absent: () => undefined }
}

function rule<T>(
  accepts: (value: unknown) => value is T,
  allowed: string,
  options: { readonly default?: NoInfer<T> | undefined },
): OptionRule<T> {
  return {
    check(value, name) {
      if (accepts(value)) return value
      throw invalid(name, `${allowed}, not ${describeValue(value)}`)
    },
    absent(name) {
      if (options.default !== undefined) return options.default
      throw invalid(name, `given: ${allowed}`)
    },
  }
}

function isWithin(value: unknown, range: { readonly min: number; readonly max: number }): boolean {
  return typeof value === 'number' && value >= range.min && value <= range.max
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function invalid(option: string, mustBe: string): EspalierError {
  return new EspalierError('INVALID_ARGUMENT', `${option} must be ${mustBe}`, { details: { option } })
}

function unknownOption(name: string, known: readonly string[]): EspalierError {
  const option = name.slice(0, 64)
  const nearest = nearestName(name, known)
  const hint = nearest === undefined ? `the options are ${known.join(', ')}` : `did you mean ${nearest}?`
  return new EspalierError('INVALID_ARGUMENT', `there is no option ${JSON.stringify(option)}: ${hint}`, {
    details: nearest === undefined ? { option } : { option, nearest },
  })
}

/** The kind of a value and, where it is short and can't be a secret, the value itself. */
function describeValue(value: unknown): string {
  if (value === null) return 'null'
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  // A passphrase may stand in the wrong place: text is never repeated.
  if (typeof value === 'string') return `text of ${value.length} characters`
  if (Array.isArray(value)) return `a list of ${value.length} items`
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}
