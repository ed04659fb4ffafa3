import { decode as cborg } from 'cborg'
import { isDeepStrictEqual } from 'node:util'
import { compareBytes, equalBytes, toHex } from '../../ts/base/bytes.ts'
import { EspalierError, type ErrorCode } from '../../ts/base/error.ts'
import { encodeTree, mutateTree, parseTree, type CborNode } from './cbor-tree.ts'
import { FastRandom, mutateBytes } from './mutator.ts'

/** One decoder with what has to hold for it. */
export interface FuzzCase<Value> {
  readonly name: string
  /** What our own encoders wrote, or frozen vectors. */
  readonly corpus: readonly Uint8Array[]
  /** Gets hostile bytes. */
  readonly decode: (bytes: Uint8Array) => Value
  /** The bytes of a decoded value; absent where a decoder leaves out more than extensions. */
  readonly encode?: (value: Value) => Uint8Array
  /** What the decoder may throw; nothing else. */
  readonly codes: readonly ErrorCode[]
  /** What has to be true of every value that was decoded; throws. */
  readonly check?: (value: Value, bytes: Uint8Array) => void
  /** Whether the input is one CBOR item, so that its tree can be changed. Default true. */
  readonly isCbor?: boolean
}

/** How a campaign went. */
export interface Outcome {
  readonly accepted: number
  readonly refused: number
}

const isLong = process.env['ESPALIER_LONG'] === '1'

/** Ten times as much in the long run. */
export const FUZZ_FACTOR = isLong ? 10 : 1

/** Room for one campaign on a machine that does other work. */
export const FUZZ_TIMEOUT_MS = 120_000 * FUZZ_FACTOR

/** `ESPALIER_FUZZ_SEED`, or 1: a normal run is the same every time. A long one has the number of the day. */
export const FUZZ_SEED = Number(
  process.env['ESPALIER_FUZZ_SEED'] ?? (isLong ? Math.floor(Date.now() / 86_400_000) : 1),
)

/** Runs the corpus and `mutations` changes of it; throws at the first property that is broken. */
export function fuzz<Value>(fuzzed: FuzzCase<Value>, options: { readonly mutations: number }): Outcome {
  const random = new FastRandom(FUZZ_SEED ^ hashOf(fuzzed.name))
  const trees = fuzzed.isCbor === false ? [] : fuzzed.corpus.map(parseTree)
  let accepted = 0
  const depth = Error.stackTraceLimit
  // Nobody reads the stack of a million refusals, and collecting it costs more than decoding.
  Error.stackTraceLimit = 0
  try {
    for (const bytes of fuzzed.corpus) {
      if (!tryOne(fuzzed, bytes)) throw new Error(`${fuzzed.name}: a valid input is refused: ${toHex(bytes)}`)
    }
    for (let run = 0; run < options.mutations; run += 1) {
      let bytes: Uint8Array
      let canonical = true
      if (trees.length > 0 && run % 2 === 0) {
        const changed = mutateTree(random, random.pick(trees))
        bytes = encodeTree(changed.node)
        canonical = changed.canonical
      } else {
        bytes = mutateBytes(random, fuzzed.corpus)
      }
      const taken = tryOne(fuzzed, bytes)
      if (taken) accepted += 1
      if (taken && !canonical) throw broken(fuzzed, bytes, 'a spelling that is not canonical was accepted')
    }
  } finally {
    Error.stackTraceLimit = depth
  }
  return { accepted, refused: options.mutations - accepted }
}

/** Whether the input was accepted; throws when it broke a property. */
function tryOne<Value>(fuzzed: FuzzCase<Value>, bytes: Uint8Array): boolean {
  let value: Value
  try {
    value = fuzzed.decode(bytes)
  } catch (thrown) {
    if (thrown instanceof EspalierError && fuzzed.codes.includes(thrown.code)) return false
    throw broken(fuzzed, bytes, `threw ${String(thrown)}`)
  }
  try {
    fuzzed.check?.(value, bytes)
  } catch (thrown) {
    throw broken(fuzzed, bytes, String(thrown))
  }
  if (fuzzed.encode === undefined) return true
  const again = fuzzed.encode(value)
  if (equalBytes(again, bytes)) return true
  // Only extensions of later versions are left out, and they make the input longer.
  if (fuzzed.isCbor !== false && !isCanonical(bytes)) throw broken(fuzzed, bytes, 'is not canonical')
  if (again.byteLength >= bytes.byteLength) throw broken(fuzzed, bytes, `encodes to ${toHex(again)}`)
  if (!isDeepStrictEqual(fuzzed.decode(again), value))
    throw broken(fuzzed, bytes, 'decodes to something else again')
  return true
}

/** Whether bytes are one item in the spelling of RFC 8949 §4.2, by two other readers. */
export function isCanonical(bytes: Uint8Array): boolean {
  // Throws for what is not well-formed, and for bytes that are left over.
  cborg(bytes, { useMaps: true, strict: true, allowIndefinite: false, allowBigInt: true })
  const tree = parseTree(bytes)
  return isSorted(tree) && equalBytes(encodeTree(tree), bytes)
}

function isSorted(node: CborNode): boolean {
  if (!('items' in node)) return true
  const keys = node.major === 5 ? node.items.filter((_, at) => at % 2 === 0).map(encodeTree) : []
  const ascends = keys.every((key, at) => at === 0 || compareBytes(keys[at - 1] ?? key, key) < 0)
  return ascends && node.items.every(isSorted)
}

function broken(fuzzed: { readonly name: string }, bytes: Uint8Array, how: string): Error {
  return new Error(`${fuzzed.name} (seed ${FUZZ_SEED}): ${how}; input ${toHex(bytes)}`)
}

function hashOf(text: string): number {
  let hash = 0
  for (let at = 0; at < text.length; at += 1) hash = (Math.imul(hash, 31) + text.charCodeAt(at)) | 0
  return hash
}
