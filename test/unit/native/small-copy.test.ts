import { describe, expect, test } from 'vitest'
import { smallCopy } from '../../../ts/native/small-copy.ts'

describe('copies of short payloads', () => {
  const source = Uint8Array.from({ length: 4096 }, (_, at) => (at * 151) % 256)

  test('hold their own bytes, whatever is done to the source and to the copies beside them', () => {
    const slab = source.slice()
    const copies = Array.from({ length: 500 }, (_, at) => smallCopy(slab, at, at + 1 + (at % 64)))
    slab.fill(0)
    for (const [at, copy] of copies.entries()) {
      expect(copy).toEqual(source.slice(at, at + 1 + (at % 64)))
      copy.fill(255)
    }
  })

  test('share a buffer of 8 KiB up to 512 bytes, and have one of their own above', () => {
    const [short, long] = [smallCopy(source, 0, 512), smallCopy(source, 0, 513)]

    expect([short.byteLength, short.buffer.byteLength]).toEqual([512, 8192])
    expect([long.byteLength, long.buffer.byteLength]).toEqual([513, 513])
    expect(long).toEqual(source.slice(0, 513))
  })

  test('leave their buffer in this thread, where others have their bytes in it', () => {
    const [mine, other] = [smallCopy(source, 0, 10), smallCopy(source, 10, 20)]
    try {
      structuredClone(mine, { transfer: [mine.buffer as ArrayBuffer] })
    } catch (thrown) {
      // Node 20 copies instead, later ones refuse.
      expect((thrown as Error).name).toBe('DataCloneError')
    }

    expect(other).toEqual(source.slice(10, 20))
  })
})
