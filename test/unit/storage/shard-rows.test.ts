import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { systemClock } from '../../../ts/base/clock.ts'
import { silentLog } from '../../../ts/base/log.ts'
import { hash } from '../../../ts/native/hash.ts'
import { openDatabase } from '../../../ts/storage/database.ts'
import { ShardFiles } from '../../../ts/storage/shard-files.ts'
import type { Store } from '../../../ts/storage/store.ts'
import { pieces } from './shard-fixture.ts'

const COUNT = 30
let folder: string
let path: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'espalier-rows-'))
  path = join(folder, 'a.db')
})

afterEach(() => rmSync(folder, { recursive: true }))

describe('shard files over the database', () => {
  test('start although a row is damaged: its shard is lost and may come again, the others are there', async () => {
    const all = Array.from({ length: COUNT }, (_, index) => Uint8Array.from(Buffer.from(`shard ${index}`)))
    let store = await openDatabase(path, { ballastBytes: 0 })
    let shards = await openShards(store)
    await Promise.all(all.map((bytes) => put(shards, bytes)))
    await shards.close()
    await store.close()
    const victim = all[12]!
    const file = readFileSync(path)
    file[file.indexOf(hash(victim)) + 32]! ^= 1
    writeFileSync(path, file)

    store = await openDatabase(path, { ballastBytes: 0 })
    shards = await openShards(store)

    expect(shards.usage().shards).toBe(COUNT - 1)
    expect(await shards.has(hash(victim))).toBe(false)
    for (const bytes of all.filter((each) => each !== victim)) {
      expect(await shards.read(hash(bytes))).toEqual(bytes)
    }
    await put(shards, victim)
    expect(await shards.read(hash(victim))).toEqual(victim)
    await shards.close()
    await store.close()
  })

  test('answer CLOSED when the store was closed under them, and the shard is whole after the next start', async () => {
    let store = await openDatabase(path, { ballastBytes: 0 })
    let shards = await openShards(store)
    const bytes = Uint8Array.from(Buffer.from('kept'))
    await put(shards, bytes)
    await store.close()

    await expect(put(shards, Uint8Array.of(1))).rejects.toMatchObject({ code: 'CLOSED' })
    await expect(shards.delete(hash(bytes))).rejects.toMatchObject({ code: 'CLOSED' })

    await shards.close()
    store = await openDatabase(path, { ballastBytes: 0 })
    shards = await openShards(store)
    expect(await shards.read(hash(bytes))).toEqual(bytes)
    expect(shards.usage().shards).toBe(1)
    await shards.close()
    await store.close()
  })
})

function openShards(store: Store): Promise<ShardFiles> {
  const options = { store, quotaBytes: 100_000, clock: systemClock, log: silentLog }
  return ShardFiles.open({ ...options, directory: join(folder, 'shards') })
}

function put(shards: ShardFiles, bytes: Uint8Array): Promise<void> {
  const header = { id: hash(bytes), sizeBytes: bytes.byteLength, expiresUnixMs: 4e12 }
  return shards.put(header, pieces([bytes]))
}
