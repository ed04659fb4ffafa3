import { types } from 'node:util'
import { EspalierError } from '../base/error.ts'
import { itemsOf, reading } from '../base/read.ts'

/** The sizes that an argument may have, in bytes. */
export type Size = number | { readonly min: number; readonly max: number }

/**
 * A `Uint8Array` (also a Buffer, a subarray, one of another realm) of an allowed size. One of a class of the
 * caller's, which may lie about itself, is answered as a plain view of the same bytes. Throws `INVALID_ARGUMENT`
 * that names the argument, what was given and what is allowed.
 */
export function checkBytes(name: string, value: unknown, size?: Size): Uint8Array {
  // The brand, not the prototype: it can't be faked and holds across realms.
  if (!types.isUint8Array(value)) throw invalid(name, describe(value), 'a Uint8Array is needed')
  const buffer = bufferOf.call(value)
  if (!(buffer instanceof ArrayBuffer) && types.isSharedArrayBuffer(buffer)) {
    // Another thread could change the bytes while native code reads them.
    throw invalid(name, 'a view of a SharedArrayBuffer', 'memory of one thread is needed: copy it')
  }
  const byteLength = byteLengthOf.call(value)
  if (byteLength === 0 && isGone(value)) {
    throw invalid(name, 'a Uint8Array whose memory was transferred or taken away', 'its bytes are needed')
  }
  if (size !== undefined) checkSize(name, byteLength, size)
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype === Uint8Array.prototype || prototype === Buffer.prototype) return value
  return new Uint8Array(buffer, byteOffsetOf.call(value), byteLength)
}

/** As {@link checkBytes}; `undefined` becomes empty bytes. */
export function checkOptionalBytes(name: string, value: unknown, size?: Size): Uint8Array {
  return value === undefined ? EMPTY : checkBytes(name, value, size)
}

/** Throws `INVALID_ARGUMENT` when `given` bytes are too few or too many. */
export function checkSize(name: string, given: number, size: Size): void {
  const { min, max } = typeof size === 'number' ? { min: size, max: size } : size
  if (given >= min && given <= max) return
  const allowed = min === max ? `${min}` : `${min} to ${max}`
  throw invalid(name, `${given} bytes`, `${allowed} are allowed`)
}

/** A safe integer from `min` to `max`. Throws `INVALID_ARGUMENT`. */
export function checkInteger(name: string, value: unknown, min: number, max: number): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max) return value
  throw invalid(name, describe(value), `an integer from ${min} to ${max} is needed`)
}

/** Text of `min` to `max` bytes in UTF-8. Throws `INVALID_ARGUMENT`; the text itself never enters the message. */
export function checkText(name: string, value: unknown, min: number, max: number): string {
  if (typeof value !== 'string') throw invalid(name, describe(value), 'a string is needed')
  if (/\p{Surrogate}/u.test(value))
    throw invalid(name, 'a string with half a surrogate pair', 'text is needed')
  checkSize(name, Buffer.byteLength(value), { min, max })
  return value
}

/** One of `allowed`. Throws `INVALID_ARGUMENT`. */
export function checkChoice<T extends string>(name: string, value: unknown, allowed: readonly T[]): T {
  const found = allowed.find((choice) => choice === value)
  if (found !== undefined) return found
  const given = typeof value === 'string' ? JSON.stringify(value.slice(0, 64)) : describe(value)
  throw invalid(name, given, `${allowed.join(', ')} are allowed`)
}

/** `true`, `false` or, for the default, `undefined`. Throws `INVALID_ARGUMENT`. */
export function checkFlag(name: string, value: unknown): boolean {
  if (value === undefined) return false
  if (typeof value === 'boolean') return value
  throw invalid(name, describe(value), 'true or false is needed')
}

/** The items of a real array of at most `max`, each read once. Throws `INVALID_ARGUMENT`. */
export function checkList(name: string, value: unknown, max: number): readonly unknown[] {
  const items = reading(name, () => itemsOf(value, max))
  if (items === undefined) throw invalid(name, describe(value), 'an array is needed')
  if (typeof items === 'number') throw invalid(name, `${items} items`, `at most ${max} are allowed`)
  return items
}

/**
 * A copy of an object of options with no key beside `known`, each read once; `undefined` is the empty one. Throws
 * `INVALID_ARGUMENT`.
 */
export function checkOptions<T extends object>(
  name: string,
  value: T | undefined,
  known: readonly (keyof T & string)[],
): T | Readonly<Record<string, never>> {
  if (value === undefined) return {}
  const given: unknown = value
  if (typeof given !== 'object' || given === null || ArrayBuffer.isView(given)) {
    throw invalid(name, describe(given), 'an object is needed')
  }
  const names: readonly string[] = known
  const odd = reading(name, () => Object.keys(given)).find((key) => !names.includes(key))
  if (odd !== undefined) {
    throw invalid(
      name,
      `the unknown key ${JSON.stringify(odd.slice(0, 64))}`,
      `${names.join(', ')} are allowed`,
    )
  }
  const copy: Partial<T> = {}
  for (const key of known) copy[key] = reading(name, () => value[key])
  return copy as T
}

/** `INVALID_ARGUMENT` in the one form that all checks use. */
export function invalid(name: string, given: string, allowed: string): EspalierError {
  return new EspalierError('INVALID_ARGUMENT', `${name}: ${given} was given, ${allowed}`, {
    details: { argument: name },
  })
}

/** What only this library can hand to a constructor that is not for its users. */
export const MAKER = Symbol('maker')

/** Throws `INVALID_ARGUMENT` for a constructor that was called from outside. */
export function checkMaker(maker: symbol, name: string): void {
  if (maker !== MAKER) throw new EspalierError('INVALID_ARGUMENT', `${name} is made by its static functions`)
}

const EMPTY = new Uint8Array(0)

function describe(value: unknown): string {
  if (value === null) return 'null'
  if (typeof value === 'number') return String(value)
  if (typeof value !== 'object') return typeof value
  // A revoked proxy throws whatever it is asked.
  if (types.isProxy(value)) return 'a proxy'
  if (Array.isArray(value)) return 'an array'
  // Only names that the language defines: a getter of the caller's could throw or lie.
  if (ArrayBuffer.isView(value)) return types.isDataView(value) ? 'a DataView' : 'another typed array'
  if (types.isAnyArrayBuffer(value)) return 'an ArrayBuffer without a view'
  return types.isPromise(value) ? 'a promise' : 'an object'
}

/** What the language knows of a typed array; the object's own property of the name may say anything. */
const bufferOf = getter('buffer')
const byteLengthOf = getter('byteLength')
const byteOffsetOf = getter('byteOffset')

function getter<Name extends 'buffer' | 'byteLength' | 'byteOffset'>(
  name: Name,
): { call(value: Uint8Array): Uint8Array[Name] } {
  const typedArray: unknown = Object.getPrototypeOf(Uint8Array.prototype)
  const descriptor = Object.getOwnPropertyDescriptor(typedArray, name)
  // eslint-disable-next-line @typescript-eslint/unbound-method -- it is called on each array in turn
  return descriptor?.get as unknown as { call(value: Uint8Array): Uint8Array[Name] }
}

/** Whether its memory was transferred, or a resizable one became too small: every method throws then. */
function isGone(value: Uint8Array): boolean {
  try {
    Uint8Array.prototype.keys.call(value)
    return false
  } catch {
    return true
  }
}

/** A path of the file system. Throws `INVALID_ARGUMENT`. */
export function checkPath(value: unknown): string {
  const path = checkText('path', value, 1, 4096)
  if (path.includes('\0'))
    throw invalid('path', 'a path with a zero character', 'a path without it is needed')
  return path
}
