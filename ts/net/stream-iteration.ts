import type { ByteStream } from './transport.ts'

const CHUNK_BYTES = 65_536

/**
 * Reads a stream to its end in pieces of at most 64 KiB, each in memory of its own. Leaving the loop
 * early leaves the stream as it is: the owner may go on reading or writing.
 */
export async function* iterateStream(stream: ByteStream): AsyncGenerator<Uint8Array, void, undefined> {
  for (;;) {
    const target = new Uint8Array(CHUNK_BYTES)
    const count = await stream.readInto(target)
    if (count === 0) return
    yield count === CHUNK_BYTES ? target : target.slice(0, count)
  }
}
