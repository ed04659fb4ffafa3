import { copyBytes } from '../base/bytes.ts'
import { EspalierError } from '../base/error.ts'
import { reading } from '../base/read.ts'
import { checkBytes } from '../native/check.ts'
import { ID_BYTES, MAX_SUMMARY_IDS } from './provider-summary.ts'
import { MAX_DELTA_IDS } from './provider-view.ts'

/**
 * What a change of a provider's set asks for: nothing, ids that travel beside the summary, or a new summary.
 * A reader can be told of what came, not of what went.
 */
export type Issue =
  | { readonly kind: 'same' }
  | { readonly kind: 'delta'; readonly added: readonly Uint8Array[] }
  | { readonly kind: 'summary'; readonly ids: readonly Uint8Array[] }

/** What is announced already. */
export interface Announced {
  /** Those of the summary, one after the other. */
  readonly ids: Uint8Array
  /** Those that were added since. */
  readonly added: readonly Uint8Array[]
}

/** A set of ids, by a name for each. */
export type IdSet = ReadonlyMap<string, Uint8Array>

/**
 * Copies ids into a set; duplicates count once. Throws `INVALID_ARGUMENT` for no ids, for more than a summary may
 * have, and for what is no id of 32 bytes.
 */
export function idSetOf(ids: Iterable<Uint8Array>): IdSet {
  const set = new Map<string, Uint8Array>()
  // An iterable of the caller's may throw whatever it likes.
  reading('ids', () => {
    const given: unknown = ids
    const isList = typeof (given as Partial<Iterable<unknown>> | undefined)?.[Symbol.iterator] === 'function'
    if (!isList) throw invalid('ids are an iterable of Uint8Arrays')
    for (const each of ids) {
      const id = copyOfId(each, 'id')
      set.set(nameOf(id), id)
      if (set.size > MAX_SUMMARY_IDS) throw invalid(`more than ${MAX_SUMMARY_IDS} ids`)
    }
  })
  if (set.size === 0) throw invalid('no ids; whoever has none withdraws')
  return set
}

/** A copy of 32 bytes. Throws `INVALID_ARGUMENT` for anything else. */
export function copyOfId(given: unknown, what: string): Uint8Array {
  return copyBytes(checkBytes(what, given, ID_BYTES))
}

/** Compares a set with what is announced. */
export function planIssue(wanted: IdSet, announced: Announced | undefined): Issue {
  const ids = [...wanted.values()]
  if (announced === undefined) return { kind: 'summary', ids }
  const left = new Map(wanted)
  for (const id of each(announced)) if (!left.delete(nameOf(id))) return { kind: 'summary', ids }
  if (left.size === 0) return { kind: 'same' }
  const added = [...announced.added, ...left.values()]
  return added.length > MAX_DELTA_IDS ? { kind: 'summary', ids } : { kind: 'delta', added }
}

function* each({ ids, added }: Announced): Generator<Uint8Array> {
  for (let at = 0; at < ids.byteLength; at += ID_BYTES) yield ids.subarray(at, at + ID_BYTES)
  yield* added
}

const scratch = Buffer.alloc(ID_BYTES)

/** One character for each byte: half of what hexadecimal takes. To ask for the `buffer` of an id would make it one. */
function nameOf(id: Uint8Array): string {
  scratch.set(id)
  return scratch.toString('latin1')
}

function invalid(reason: string): EspalierError {
  return new EspalierError('INVALID_ARGUMENT', reason)
}
