import { createReadStream } from 'node:fs'
import { createHasher } from '../../native/hash.ts'
import { toHex } from '../../base/bytes.ts'

/** BLAKE3 of a file in hexadecimal, read in pieces so that any size fits. */
export async function hashFile(path: string): Promise<string> {
  const hasher = createHasher()
  for await (const piece of createReadStream(path, { highWaterMark: 1 << 20 }))
    hasher.update(piece as Uint8Array)
  return toHex(hasher.digest())
}
