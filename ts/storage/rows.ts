import { MAX_KEY_BYTES } from './checks.ts'
import type { Row, Store, TableName } from './store.ts'

/** Rows that are read at once where nobody says otherwise. */
const PAGE = 200

/**
 * All rows whose key begins with `prefix`, in the order of their keys, a page of at most `limit` (1 to 1,000, default
 * 200) at a time; none of them is empty. Rows may be written and deleted between the pages. Codes: those of `Store.scan`.
 */
export async function* rowsWithPrefix(
  store: Store,
  options: { readonly table: TableName; readonly prefix: Uint8Array; readonly limit?: number },
): AsyncGenerator<readonly Row[], void> {
  const { table, prefix, limit = PAGE } = options
  // A key has a byte at least, and so has a bound.
  let from = prefix.byteLength === 0 ? Uint8Array.of(0) : prefix
  while (from.byteLength > 0) {
    const rows = await store.scan(table, { from, limit })
    const end = rows.findIndex(({ key }) => !startsWith(key, prefix))
    const page = end < 0 ? rows : rows.slice(0, end)
    if (page.length > 0) yield page
    const last = page.at(-1)
    if (last === undefined || page.length < limit) return
    from = keyBehind(last.key)
  }
}

/** The first key behind another; empty behind the last there is. */
function keyBehind(key: Uint8Array): Uint8Array {
  if (key.byteLength < MAX_KEY_BYTES) return Uint8Array.from([...key, 0])
  const last = key.findLastIndex((byte) => byte < 255)
  const next = key.slice(0, last + 1)
  if (last >= 0) next[last] = (key[last] ?? 0) + 1
  return next
}

function startsWith(key: Uint8Array, prefix: Uint8Array): boolean {
  return prefix.every((byte, at) => key[at] === byte)
}
