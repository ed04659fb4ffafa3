import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gunzipSync } from 'node:zlib'

/** One case of a vector file: every field as the file has it. */
export type Case = Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>

/** A group of cases that share fields. */
export interface Group extends Readonly<Record<string, unknown>> {
  readonly tests: readonly Case[]
}

/** The groups of a JSON file of test/vectors, gzipped or not. */
export function readVectors(path: string): { readonly testGroups: readonly Group[] } {
  return readJson(path) as { readonly testGroups: readonly Group[] }
}

/** A JSON file of test/vectors, gzipped or not. */
export function readJson(path: string): unknown {
  const file = fileURLToPath(new URL(join('../../../vectors', path), import.meta.url))
  const bytes = readFileSync(file)
  return JSON.parse((path.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('utf8'))
}

/** The bytes of a hexadecimal field; an absent one is empty. */
export function bytes(test: Readonly<Record<string, unknown>>, field: string): Uint8Array {
  const text = test[field] ?? ''
  if (typeof text !== 'string') throw new TypeError(`${field} is not text`)
  return new Uint8Array(Buffer.from(text, 'hex'))
}

/** Prints how many cases of a file were run and held, for the record of a test run. */
export function report(what: string, passed: number, total: number): void {
  console.log(`${what}: ${passed} of ${total}`)
}

/** What `attempt` answers, or `undefined` when it refuses its input. */
export function unlessRefused<T>(attempt: () => T): T | undefined {
  try {
    return attempt()
  } catch {
    return undefined
  }
}
