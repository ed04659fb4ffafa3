import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { encodeUtf8 } from '../../../ts/base/bytes.ts'
import { openDatabase } from '../../../ts/storage/database.ts'
import type { Store } from '../../../ts/storage/store.ts'
import { codeOf, put, row } from '../../contract/store.ts'

let folder: string
let path: string
let store: Store

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'espalier-thread-'))
  path = join(folder, 'a.db')
  store = await openDatabase(path, { ballastBytes: 0 })
})

afterEach(async () => {
  vi.restoreAllMocks()
  await store.close()
  rmSync(folder, { recursive: true })
})

describe('the thread of a database', () => {
  test('that dies settles every pending call as CLOSED, and so every later one', async () => {
    const worker = await workerOf(store)
    const pending = [
      ...Array.from({ length: 200 }, (_, index) => store.write([put('meta', `${index}`, 'x')])),
      store.get('meta', encodeUtf8('a')),
      store.scan('meta', { limit: 1_000 }),
      store.takeExpired('meta', { limit: 1_000 }),
      store.count('meta'),
    ].map(codeOf)

    await worker.terminate()

    // Those that were faster than the end were answered; the others know that they were not.
    for (const outcome of await Promise.all(pending)) {
      if (outcome !== 'CLOSED') expect(outcome).toHaveProperty('resolved')
    }
    expect(await codeOf(store.get('meta', encodeUtf8('a')))).toBe('CLOSED')
    expect(await codeOf(store.write([put('meta', 'a', 'b')]))).toBe('CLOSED')
    await expect(store.close()).resolves.toBeUndefined()
  })

  test('that died leaves a file that opens again', async () => {
    await store.write([put('meta', 'a', 'b')])
    const worker = await workerOf(store)
    await worker.terminate()

    store = await openDatabase(path, { ballastBytes: 0 })

    expect(await store.get('meta', encodeUtf8('a'))).toEqual(row('a', 'b'))
  })

  test('takes 16,384 calls at once and refuses the next as LIMIT_EXCEEDED', async () => {
    const key = encodeUtf8('a')
    const calls = Array.from({ length: 16_384 }, () => store.get('meta', key))
    const over = codeOf(store.get('meta', key))

    expect(await over).toBe('LIMIT_EXCEEDED')
    expect((await Promise.all(calls)).every((found) => found === undefined)).toBe(true)
    expect(await store.get('meta', key)).toBeUndefined()
  })

  test('commits writes that come together in groups of 64, and a lone one at once', async () => {
    const before = commitsIn(path)
    await store.write([put('meta', 'lone', 'x')])
    const afterOne = commitsIn(path)
    await Promise.all(Array.from({ length: 640 }, (_, n) => store.write([put('meta', `${n}`, 'x')])))

    expect(afterOne - before).toBe(1)
    expect(commitsIn(path) - afterOne).toBe(10)
  })

  test('closes its file 8 times over while calls are under way, and is gone afterwards', async () => {
    for (let round = 0; round < 8; round++) {
      const writes = Array.from({ length: 50 }, (_, n) => store.write([put('meta', `${round} ${n}`, 'x')]))
      const closing = store.close()
      await Promise.all(writes)
      await closing
      store = await openDatabase(path, { ballastBytes: 0 })
    }

    expect(await store.count('meta')).toBe(400)
  })
})

/** The worker behind a store: whoever is sent its next call. */
async function workerOf(open: Store): Promise<Worker> {
  const send = vi.spyOn(Worker.prototype, 'postMessage')
  await open.count('meta')
  const worker = send.mock.contexts.at(-1)
  send.mockRestore()
  if (!(worker instanceof Worker)) throw new Error('no worker was called')
  return worker
}

/** Commits in the write-ahead log: frames that carry the size of the database (sqlite.org/fileformat2.html §4.1). */
function commitsIn(database: string): number {
  const log = readFileSync(`${database}-wal`)
  const frameBytes = 24 + 4_096
  let commits = 0
  for (let at = 32; at + frameBytes <= log.length; at += frameBytes) {
    const isCurrent = log.readUInt32BE(at + 8) === log.readUInt32BE(16)
    if (isCurrent && log.readUInt32BE(at + 4) > 0) commits++
  }
  return commits
}
