import { createCipheriv, createHash } from 'node:crypto'
import { EspalierError } from '../../../ts/base/error.ts'

/** The code that `attempt` throws, or `none`. */
export function codeOf(attempt: () => unknown): string {
  try {
    attempt()
    return 'none'
  } catch (error) {
    return codeOfError(error)
  }
}

/** The code that a promise rejects with, or `none`. */
export async function rejectedCode(promise: Promise<unknown>): Promise<string> {
  try {
    await promise
    return 'none'
  } catch (error) {
    return codeOfError(error)
  }
}

/** `lengthBytes` that look random and are the same for the same seed. */
export function pattern(lengthBytes: number, seed = 0): Uint8Array {
  const key = createHash('sha256').update(String(seed)).digest()
  const stream = createCipheriv('aes-256-ctr', key, Buffer.alloc(16))
  return new Uint8Array(stream.update(Buffer.alloc(lengthBytes)))
}

/** Whether both hold the same bytes; comparing element by element takes seconds for a megabyte. */
export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0
}

/** A copy with one bit of the byte at `at` changed. */
export function flipped(bytes: Uint8Array, at: number): Uint8Array {
  const changed = Uint8Array.from(bytes)
  changed[at]! ^= 1
  return changed
}

function codeOfError(error: unknown): string {
  if (error instanceof EspalierError) return error.code
  return `not an EspalierError: ${String(error)}`
}
