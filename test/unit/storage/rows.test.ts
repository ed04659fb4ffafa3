import fc from 'fast-check'
import { expect, test } from 'vitest'
import { compareBytes, toHex } from '../../../ts/base/bytes.ts'
import { memoryStore } from '../../../ts/storage/memory.ts'
import { rowsWithPrefix } from '../../../ts/storage/rows.ts'
import type { Row, Store } from '../../../ts/storage/store.ts'

const VALUE = Uint8Array.of(1)

test('all rows of a prefix come in order, in pages that are full but for the last, and no others', async () => {
  const byte = fc.constantFrom(0, 1, 254, 255)
  const short = fc.array(byte, { minLength: 1, maxLength: 4 })
  // A longest key has none behind it that is longer.
  const longest = fc.tuple(short, byte).map(([head, fill]) => [...head, ...new Array<number>(60).fill(fill)])
  const keys = fc.array(
    fc.oneof(
      short,
      longest.map((key) => key.slice(0, 64)),
    ),
    { maxLength: 40 },
  )
  const prefix = fc.array(byte, { maxLength: 2 })
  await fc.assert(
    fc.asyncProperty(keys, prefix, fc.integer({ min: 1, max: 12 }), async (written, wanted, limit) => {
      const store = await storeOf(written.map((key) => Uint8Array.from(key)))

      const pages = await pagesOf(store, { prefix: Uint8Array.from(wanted), limit })

      const expected = [...new Set(written.map((key) => toHex(Uint8Array.from(key))))]
        .filter((key) => key.startsWith(toHex(Uint8Array.from(wanted))))
        .sort()
      expect(pages.flat().map(({ key }) => toHex(key))).toEqual(expected)
      expect(pages.every(({ length }, at) => length === limit || at === pages.length - 1)).toBe(true)
      expect(pages.every(({ length }) => length > 0)).toBe(true)
    }),
  )
})

test('the longest key is not the last where another is behind it', async () => {
  const longest = (first: number): Uint8Array => Uint8Array.of(first, ...new Uint8Array(63).fill(255))
  const keys = [longest(6), longest(7), Uint8Array.of(8), longest(255)]
  const store = await storeOf(keys)

  const pages = await pagesOf(store, { prefix: new Uint8Array(0), limit: 1 })

  expect(pages.flat().map(({ key }) => key)).toEqual(keys)
})

test('rows may be deleted and written between the pages', async () => {
  const keys = Array.from({ length: 10 }, (_, at) => Uint8Array.of(3, at))
  const store = await storeOf(keys)
  const seen: Uint8Array[] = []

  for await (const rows of rowsWithPrefix(store, { table: 'meta', prefix: Uint8Array.of(3), limit: 4 })) {
    for (const { key } of rows) {
      seen.push(key)
      await store.write([{ table: 'meta', key, value: undefined }])
    }
    await store.write([{ table: 'meta', key: Uint8Array.of(3, 0), value: VALUE }])
  }

  expect(seen.toSorted(compareBytes)).toEqual(keys)
  expect(await store.count('meta')).toBe(1)
})

async function storeOf(keys: readonly Uint8Array[]): Promise<Store> {
  const store = memoryStore()
  await store.write(keys.map((key) => ({ table: 'meta', key, value: VALUE })))
  return store
}

async function pagesOf(
  store: Store,
  options: { readonly prefix: Uint8Array; readonly limit: number },
): Promise<(readonly Row[])[]> {
  const pages: (readonly Row[])[] = []
  for await (const page of rowsWithPrefix(store, { table: 'meta', ...options })) pages.push(page)
  return pages
}
