import { EspalierError } from '../base/error.ts'
import { parseNodeId, type NodeId } from '../base/identity.ts'
import { checkOptions, flag, integer, oneOf, optional, shape, text } from '../base/options.ts'
import { MAX_HISTORY } from '../dht/register-wire.ts'
import type { ReadOptions } from '../dht/registers.ts'
import { checkBytes } from '../native/check.ts'
import type { CallOptions } from '../net/transport.ts'

/**
 * How to write a named value.
 *
 * @category Named values
 */
export interface PutValueOptions extends CallOptions {
  /** Write only over this sequence, else `RECORD_STALE`; 0 means that there must be no value yet. */
  readonly expectSequence?: number
}

/**
 * How to read a named value whose owner is told.
 *
 * @category Named values
 */
export interface ReadValueOptions extends CallOptions {
  /**
   * `one`: the newest version that the first few holders on two paths show. `quorum`: more than half of the
   * nodes that should keep it have shown it, and this node has read nothing newer before, else `QUORUM_FAILED`.
   * Default `one`.
   */
  readonly consistency?: 'one' | 'quorum'
  /** Eight disjoint paths instead of four, against many liars. Default false. */
  readonly secure?: boolean
}

/**
 * How to read a named value.
 *
 * @category Named values
 */
export interface GetValueOptions extends ReadValueOptions {
  /** The NodeId whose value it is. Default: the reading node's own. */
  readonly owner?: string
}

/**
 * How much to read of the history of a named value.
 *
 * @category Named values
 */
export interface HistoryOptions extends CallOptions {
  /** Most versions, 1 to 9. Default 9. */
  readonly limit?: number
}

/**
 * How to watch a named value.
 *
 * @category Named values
 */
export interface WatchOptions {
  /** Only versions with a higher sequence, for who has seen that one already. Default: the present one too. */
  readonly afterSequence?: number
  /** Ends the watch: what iterates over it is done. */
  readonly signal?: AbortSignal
}

/**
 * How to look for a node.
 *
 * @category Watching
 */
export interface LookupOptions extends CallOptions {
  /** Eight disjoint paths instead of four, against many liars. Default false. */
  readonly secure?: boolean
}

// The longest that Node's timers know: 2³¹ − 1.
const MAX_TIMEOUT_MS = 2_147_483_647

const SIGNAL = { signal: optional(shape((value) => value instanceof AbortSignal, 'an AbortSignal')) }
const CALL = { ...SIGNAL, timeoutMs: optional(integer({ min: 1, max: MAX_TIMEOUT_MS })) }
const PUT = { ...CALL, expectSequence: optional(integer({ min: 0, max: Number.MAX_SAFE_INTEGER })) }
const ROOT = { root: shape((value): value is Uint8Array => value instanceof Uint8Array, 'a Uint8Array') }
const CHILD = { ...CALL, ...ROOT }
const MISSED = { ...ROOT, provider: text() }
const SECURE = { secure: flag({ default: false }) }
const READ = { ...CALL, ...SECURE, consistency: oneOf(['one', 'quorum'], { default: 'one' }) }
const GET = { ...READ, owner: optional(text()) }
const HISTORY = { ...CALL, limit: integer({ min: 1, max: MAX_HISTORY, default: MAX_HISTORY }) }
const WATCH = { ...SIGNAL, afterSequence: optional(integer({ min: 0, max: Number.MAX_SAFE_INTEGER })) }
const LOOKUP = { ...CALL, ...SECURE }

/** Throws `INVALID_ARGUMENT`. */
export function checkStart(options: unknown): AbortSignal | undefined {
  return checkOptions(options, SIGNAL).signal
}

/** Throws `INVALID_ARGUMENT`. */
export function checkPutValue(name: unknown, value: unknown, options: unknown): PutValueOptions {
  checkName(name)
  const { expectSequence, ...call } = checkOptions(options, PUT)
  checkBytes('value', value)
  return { ...callOf(call), ...(expectSequence === undefined ? {} : { expectSequence }) }
}

/** The owner is this node where nobody else is named. Throws `INVALID_ARGUMENT`. */
export function checkGetValue(
  { name, self }: { readonly name: unknown; readonly self: NodeId },
  options: unknown,
): ReadOptions & { readonly owner: NodeId } {
  checkName(name)
  const { owner, consistency, secure, ...call } = checkOptions(options, GET)
  return { ...callOf(call), owner: owner === undefined ? self : parseNodeId(owner), consistency, secure }
}

/** Throws `INVALID_ARGUMENT`. */
export function checkReadValue(
  { owner, name }: { readonly owner: unknown; readonly name: unknown },
  options: unknown,
): ReadOptions & { readonly owner: NodeId } {
  checkName(name)
  const { consistency, secure, ...call } = checkOptions(options, READ)
  return { ...callOf(call), owner: parseNodeId(owner as string), consistency, secure }
}

/** Throws `INVALID_ARGUMENT`. */
export function checkHistory(
  { owner, name }: { readonly owner: unknown; readonly name: unknown },
  options: unknown,
): CallOptions & { readonly owner: NodeId; readonly limit: number } {
  checkName(name)
  const { limit, ...call } = checkOptions(options, HISTORY)
  return { ...callOf(call), owner: parseNodeId(owner as string), limit }
}

/** Throws `INVALID_ARGUMENT`. */
export function checkWatch(
  { owner, name }: { readonly owner: unknown; readonly name: unknown },
  options: unknown,
): WatchOptions & { readonly owner: NodeId } {
  checkName(name)
  const { signal, afterSequence } = checkOptions(options, WATCH)
  return {
    owner: parseNodeId(owner as string),
    ...(signal === undefined ? {} : { signal }),
    ...(afterSequence === undefined ? {} : { afterSequence }),
  }
}

/** Throws `INVALID_ARGUMENT`. */
export function checkLookup(
  id: unknown,
  options: unknown,
): { readonly id: NodeId; readonly options: CallOptions & { readonly secure: boolean } } {
  const { secure, ...call } = checkOptions(options, LOOKUP)
  // `parseNodeId` takes anything, and says what it wants.
  return { id: parseNodeId(id as string), options: { ...callOf(call), secure } }
}

/** Throws `INVALID_ARGUMENT`. */
export function checkCall(options: unknown): CallOptions {
  return callOf(checkOptions(options, CALL))
}

/** Throws `INVALID_ARGUMENT`. */
export function checkChild(options: unknown): CallOptions & { readonly root: Uint8Array } {
  const { root, ...call } = checkOptions(options, CHILD)
  return { ...callOf(call), root }
}

/** Throws `INVALID_ARGUMENT`. */
export function checkRoot(options: unknown): { readonly root: Uint8Array; readonly provider: NodeId } {
  const { root, provider } = checkOptions(options, MISSED)
  return { root, provider: parseNodeId(provider) }
}

function callOf(call: {
  readonly signal: AbortSignal | undefined
  readonly timeoutMs: number | undefined
}): CallOptions {
  const { signal, timeoutMs } = call
  return {
    ...(signal === undefined ? {} : { signal }),
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
  }
}

function checkName(name: unknown): void {
  if (typeof name !== 'string') throw new EspalierError('INVALID_ARGUMENT', 'name must be text')
}
