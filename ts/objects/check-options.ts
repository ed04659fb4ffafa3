import { checkOptions, integer, optional, shape } from '../base/options.ts'
import { MAX_SEGMENT_BYTES } from '../native/segment.ts'
import { MIN_SEGMENT_BYTES } from './manifest.ts'
import {
  MAX_LEASE_MS,
  type CheckedOptions,
  type GetBytesOptions,
  type GetOptions,
  type ObjectsOptions,
  type Progress,
  type PutOptions,
} from './options.ts'

const DAY_MS = 86_400_000

const SERVICE = {
  leaseMs: integer({ min: 60_000, max: MAX_LEASE_MS, default: MAX_LEASE_MS }),
  segmentBytes: integer({ min: MIN_SEGMENT_BYTES, max: MAX_SEGMENT_BYTES, default: MAX_SEGMENT_BYTES }),
  dialTimeoutMs: integer({ min: 1, max: DAY_MS, default: 5000 }),
  stallTimeoutMs: integer({ min: 1, max: DAY_MS, default: 15_000 }),
  hedgeMs: integer({ min: 1, max: DAY_MS, default: 2000 }),
}

const PUT = {
  signal: optional(shape((value) => value instanceof AbortSignal, 'an AbortSignal')),
  timeoutMs: optional(integer({ min: 1, max: DAY_MS })),
  onProgress: optional(shape(isCallback, 'a function')),
}

const RANGE = {
  start: integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
  length: optional(integer({ min: 0, max: Number.MAX_SAFE_INTEGER })),
}

const GET = { ...PUT, range: optional(shape(isObject, 'an object with start and length')) }

const GET_BYTES = {
  ...GET,
  maxBytes: integer({ min: 0, max: Number.MAX_SAFE_INTEGER, default: 268_435_456 }),
}

/** What every transfer may be told, checked. */
export interface CheckedPut {
  readonly signal: AbortSignal | undefined
  readonly timeoutMs: number | undefined
  readonly onProgress: ((progress: Progress) => void) | undefined
}

/** What a read may be told, checked. */
export interface CheckedGet extends CheckedPut {
  readonly range: { readonly start: number; readonly length: number | undefined } | undefined
}

/** Throws `INVALID_ARGUMENT`, as do the others here. */
export function checkService(options: ObjectsOptions): CheckedOptions {
  return checkOptions(options, SERVICE)
}

export function checkPut(options: PutOptions): CheckedPut {
  return checkOptions(options, PUT)
}

export function checkGet(options: GetOptions): CheckedGet {
  return withRange(checkOptions(options, GET))
}

export function checkGetBytes(options: GetBytesOptions): CheckedGet & { readonly maxBytes: number } {
  return withRange(checkOptions(options, GET_BYTES))
}

function withRange<Call extends { readonly range: object | undefined }>(
  call: Call,
): Omit<Call, 'range'> & Pick<CheckedGet, 'range'> {
  return { ...call, range: call.range === undefined ? undefined : checkOptions(call.range, RANGE, 'range') }
}

function isCallback(value: unknown): value is (progress: Progress) => void {
  return typeof value === 'function'
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}
