import type { ErrorCode, ErrorDetails } from '../base/error.ts'
import type { Change, Row, TableName } from './store.ts'

/** What the worker is started with. */
export interface WorkerOptions {
  readonly path: string
  readonly ballastBytes: number
  /** One `Int32`: 1 once the worker has closed the file. Lets an exiting process wait for it without a turn of its loop. */
  readonly closedFlag: SharedArrayBuffer
}

/** One call; the wall clock travels along, because the owner's clock decides what has expired. */
export type Call =
  | { readonly kind: 'get'; readonly table: TableName; readonly key: Uint8Array; readonly nowUnixMs: number }
  | { readonly kind: 'write'; readonly changes: readonly Change[] }
  | {
      readonly kind: 'scan'
      readonly table: TableName
      readonly from: Uint8Array | undefined
      readonly limit: number
      readonly nowUnixMs: number
    }
  | {
      readonly kind: 'takeExpired'
      readonly table: TableName
      readonly limit: number
      readonly nowUnixMs: number
    }
  | { readonly kind: 'count'; readonly table: TableName; readonly nowUnixMs: number }
  | { readonly kind: 'close' }

/** A call and the number that its answer carries. */
export interface Request {
  readonly id: number
  readonly call: Call
}

/** What a call may answer: a row, rows, a count or nothing. */
export type Result = Row | readonly Row[] | number | undefined

/** The end of one request. */
export type Answer =
  { readonly id: number; readonly result: Result } | { readonly id: number; readonly failure: Failure }

/** An error as it crosses between threads: structured cloning would lose its class. */
export interface Failure {
  readonly code: ErrorCode
  readonly message: string
  readonly details: ErrorDetails
}

/** Everything that the worker says. */
export type FromWorker =
  /** It is about to load SQLite, and waits until its owner keeps watch. */
  | { readonly kind: 'loading' }
  | { readonly kind: 'opened' }
  | { readonly kind: 'refused'; readonly failure: Failure }
  | { readonly kind: 'answers'; readonly answers: readonly Answer[] }
