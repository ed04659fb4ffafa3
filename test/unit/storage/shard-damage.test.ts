import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { encodeBase32 } from '../../../ts/base/base32.ts'
import { silentLog } from '../../../ts/base/log.ts'
import { hash } from '../../../ts/native/hash.ts'
import { ShardFiles } from '../../../ts/storage/shard-files.ts'
import { codeOf } from '../../contract/store.ts'
import { failingAfter, fileOf, HOUR_MS, QUOTA_BYTES, ShardFixture } from './shard-fixture.ts'

let fixture: ShardFixture

beforeEach(async () => {
  fixture = await ShardFixture.open()
})

afterEach(() => fixture.close())

describe('damage', () => {
  test('a flipped bit anywhere in the file is STORAGE_CORRUPT, and the shard can come again', async () => {
    const shard = fixture.shardOf('twenty bytes of text')
    const path = fixture.pathOf(shard)
    await fixture.put(shard)
    for (let bit = 0; bit < shard.bytes.byteLength * 8; bit++) {
      const damaged = Uint8Array.from(shard.bytes)
      damaged[bit >> 3]! ^= 1 << (bit & 7)
      writeFileSync(path, damaged)
      expect(await codeOf(fixture.shards.read(shard.header.id))).toBe('STORAGE_CORRUPT')
    }
    expect(await codeOf(fixture.shards.read(shard.header.id))).toBe('STORAGE_CORRUPT')
    expect(await fixture.shards.has(shard.header.id)).toBe(false)

    await fixture.put(shard)

    expect(await fixture.shards.has(shard.header.id)).toBe(true)
    expect(await fixture.shards.read(shard.header.id)).toEqual(shard.bytes)
    expect(fixture.shards.usage()).toEqual({ usedBytes: 20, quotaBytes: QUOTA_BYTES, shards: 1 })
  })

  test('a file cut short, grown or gone is STORAGE_CORRUPT', async () => {
    const shard = fixture.shardOf('content')
    const path = fixture.pathOf(shard)
    await fixture.put(shard)

    for (const bytes of ['conten', 'contents', '']) {
      writeFileSync(path, bytes)
      expect(await codeOf(fixture.shards.read(shard.header.id))).toBe('STORAGE_CORRUPT')
    }
    rmSync(path)
    expect(await codeOf(fixture.shards.read(shard.header.id))).toBe('STORAGE_CORRUPT')
  })

  test('a put onto a damaged file is no success without the bytes', async () => {
    const shard = fixture.shardOf('rotten')
    await fixture.put(shard)
    writeFileSync(fixture.pathOf(shard), 'rotteN')

    expect(await codeOf(fixture.shards.put(shard.header, failingAfter()))).toBe('ABORTED')
    expect(await fixture.shards.has(shard.header.id)).toBe(false)
    await fixture.put(shard)
    expect(await fixture.shards.read(shard.header.id)).toEqual(shard.bytes)
  })
})

describe('a start', () => {
  test('finds every shard again', async () => {
    const all = Array.from({ length: 60 }, (_, index) => fixture.shardOf(`shard ${index}`))
    await Promise.all(all.map((shard) => fixture.put(shard)))
    const before = fixture.shards.usage()
    await fixture.reopen()

    expect(fixture.shards.usage()).toEqual(before)
    expect(before.shards).toBe(60)
    for (const shard of all) {
      expect(await fixture.shards.read(shard.header.id)).toEqual(shard.bytes)
    }
    expect(fixture.warnings).toEqual([])
  })

  test('removes temporary files, drops rows without file, sets files without row aside for a day', async () => {
    const lost = fixture.shardOf('its file will be gone')
    const orphan = fixture.shardOf('its row will be gone')
    const whole = fixture.shardOf('whole')
    const asideUnixMs = fixture.clock.now
    const aside = `quarantine/${asideUnixMs}-${encodeBase32(orphan.header.id)}`
    for (const shard of [lost, orphan, whole]) await fixture.put(shard)
    rmSync(fixture.pathOf(lost))
    await fixture.store.write([{ table: 'shards', key: orphan.header.id, value: undefined }])
    const folder = encodeBase32(whole.header.id).slice(0, 1)
    writeFileSync(join(fixture.directory, folder, `${encodeBase32(whole.header.id)}.7.tmp`), 'half')
    writeFileSync(join(fixture.directory, folder, 'notes.txt'), 'of the owner')

    await fixture.reopen()

    expect(fixture.shards.usage()).toEqual({ usedBytes: 5, quotaBytes: QUOTA_BYTES, shards: 1 })
    expect(await fixture.store.count('shards')).toBe(1)
    expect(fixture.files()).toEqual([fileOf(whole), `${folder}/notes.txt`, aside].sort())
    expect(readFileSync(join(fixture.directory, aside), 'utf8')).toBe('its row will be gone')
    expect(fixture.warnings).toHaveLength(3)

    fixture.clock.now = asideUnixMs + 24 * HOUR_MS - 1
    await fixture.reopen()
    expect(fixture.files()).toContain(aside)
    fixture.clock.now = asideUnixMs + 24 * HOUR_MS
    await fixture.reopen()
    expect(fixture.files()).not.toContain(aside)
  })

  test('a row that says nothing readable is dropped', async () => {
    await fixture.store.write([
      { table: 'shards', key: Uint8Array.of(1), value: Uint8Array.of(1) },
      { table: 'shards', key: hash(Uint8Array.of(1)), value: new Uint8Array(13).fill(255) },
    ])
    await fixture.reopen()

    expect(fixture.shards.usage().shards).toBe(0)
    expect(await fixture.store.count('shards')).toBe(0)
  })

  test('a path that is a file, and a quota that is no number of bytes, are INVALID_ARGUMENT', async () => {
    const path = join(fixture.directory, 'file')
    writeFileSync(path, '')
    const { store, clock, directory } = fixture
    const options = { store, clock, log: silentLog }

    expect(await codeOf(ShardFiles.open({ ...options, directory: path, quotaBytes: 1 }))).toBe(
      'INVALID_ARGUMENT',
    )
    for (const quotaBytes of [-1, 0.5, Number.NaN]) {
      expect(await codeOf(ShardFiles.open({ ...options, directory, quotaBytes }))).toBe('INVALID_ARGUMENT')
    }
  })
})
