// Espalier's local store: every caller waits until its own row is on disk.
import { join } from 'node:path'
import { pattern, repeatTogether, serve } from '../lib/child.mjs'
import { scratchDirectory } from '../lib/scratch.mjs'

const ROWS = 100_000

await serve(async () => {
  const { openDatabase } = await import('../../dist/storage/database.js')
  const store = await openDatabase(join(scratchDirectory(), 'bench.sqlite'))
  let written = 0
  return {
    operations: {
      writes: ({ seconds, inFlight, valueBytes }) => {
        const value = pattern(valueBytes)
        return repeatTogether({ seconds, inFlight }, () => {
          const key = Buffer.alloc(32)
          key.writeUInt32LE(written++ % ROWS)
          return store.write([{ table: 'records', key, value }])
        })
      },
    },
    end: () => store.close(),
  }
})
