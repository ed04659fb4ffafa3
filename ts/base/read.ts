import { EspalierError } from './error.ts'

/**
 * Does something that may run code of the caller's: a getter, a trap of a proxy, a conversion. What that throws
 * becomes `INVALID_ARGUMENT` with the original as its `cause`.
 */
export function reading<T>(name: string, read: () => T): T {
  try {
    return read()
  } catch (thrown) {
    if (thrown instanceof EspalierError) throw thrown
    throw new EspalierError('INVALID_ARGUMENT', `${name}: something was given that throws when it is read`, {
      cause: thrown,
      details: { argument: name },
    })
  }
}

/** A fresh list of the items of an array of at most `max`, each read once; `undefined` for another thing. */
export function itemsOf(value: unknown, max: number): readonly unknown[] | number | undefined {
  // Not `Array.from` and not `map`: a class of the caller's may have its own of everything.
  if (!Array.isArray(value)) return undefined
  const { length } = value
  if (length > max) return length
  const items: unknown[] = []
  for (let index = 0; index < length; index += 1) items.push(value[index])
  return items
}
