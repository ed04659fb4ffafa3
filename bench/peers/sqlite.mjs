// Raw better-sqlite3 on the calling thread, WAL and synchronous FULL. `batched`: 64 rows in a transaction,
// which is the most that group commit can reach; `unbatched`: a transaction for each row.
import { join } from 'node:path'
import { pattern, repeat, serve } from '../lib/child.mjs'
import { scratchDirectory } from '../lib/scratch.mjs'

const ROWS = 100_000

await serve(async () => {
  const { default: Database } = await import('better-sqlite3')
  const database = new Database(join(scratchDirectory(), 'bench.sqlite'))
  database.pragma('journal_mode = WAL')
  database.pragma('synchronous = FULL')
  database.exec('CREATE TABLE rows (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID')
  const insert = database.prepare('INSERT OR REPLACE INTO rows VALUES (?, ?)')
  const key = Buffer.alloc(32)
  let written = 0
  const write = database.transaction((count, value) => {
    for (let index = 0; index < count; index += 1) {
      key.writeUInt32LE(written++ % ROWS)
      insert.run(key, value)
    }
  })
  const of =
    (count) =>
    ({ seconds, valueBytes }) => {
      const value = Buffer.from(pattern(valueBytes))
      return repeat(seconds, () => write(count, value), count)
    }
  return { operations: { batched: of(64), unbatched: of(1) }, end: () => database.close() }
})
