import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { EspalierError } from '../../../ts/base/error.ts'
import { hash } from '../../../ts/native/hash.ts'
import type { ShardHeader } from '../../../ts/storage/store.ts'
import { codeOf } from '../../contract/store.ts'
import { failingAfter, fileOf, Gate, HOUR_MS, pieces, QUOTA_BYTES, ShardFixture } from './shard-fixture.ts'

let fixture: ShardFixture

beforeEach(async () => {
  fixture = await ShardFixture.open()
})

afterEach(() => fixture.close())

describe('shard files', () => {
  test('a shard is read as it came, counted, and gone after delete', async () => {
    const shard = fixture.shardOf('hello')

    await fixture.put(shard)

    expect(await fixture.shards.has(shard.header.id)).toBe(true)
    expect(await fixture.shards.read(shard.header.id)).toEqual(shard.bytes)
    expect(fixture.shards.usage()).toEqual({ usedBytes: 5, quotaBytes: QUOTA_BYTES, shards: 1 })
    expect(fixture.files()).toEqual([fileOf(shard)])

    expect(await fixture.shards.delete(shard.header.id)).toBe(true)
    expect(await fixture.shards.delete(shard.header.id)).toBe(false)
    expect(await fixture.shards.has(shard.header.id)).toBe(false)
    expect(await fixture.shards.read(shard.header.id)).toBeUndefined()
    expect(fixture.shards.usage()).toEqual({ usedBytes: 0, quotaBytes: QUOTA_BYTES, shards: 0 })
    expect(fixture.files()).toEqual([])
  })

  test('an empty shard and one in many pieces are shards', async () => {
    const empty = fixture.shardOf('')
    const long = fixture.shardOf('x'.repeat(900))

    await fixture.shards.put(empty.header, pieces([]))
    await fixture.shards.put(long.header, pieces(Array.from(long.bytes, (byte) => Uint8Array.of(byte))))

    expect(await fixture.shards.read(empty.header.id)).toEqual(new Uint8Array())
    expect(await fixture.shards.read(long.header.id)).toEqual(long.bytes)
  })

  test('a shard of 4,194,304 bytes is taken, one byte more refused', async () => {
    await fixture.reopen({ quotaBytes: 5_000_000 })
    const bytes = new Uint8Array(4_194_304).fill(3)
    const header = {
      id: hash(bytes),
      sizeBytes: bytes.byteLength,
      expiresUnixMs: fixture.clock.now + HOUR_MS,
    }

    await fixture.shards.put(header, pieces([bytes.subarray(0, 1_000_000), bytes.subarray(1_000_000)]))
    const larger = fixture.shards.put(
      { ...header, id: hash(Uint8Array.of(1)), sizeBytes: 4_194_305 },
      pieces([]),
    )

    expect(await codeOf(larger)).toBe('INVALID_ARGUMENT')
    expect((await fixture.shards.read(header.id))?.byteLength).toBe(4_194_304)
  })

  test('too few bytes, too many, another hash, no bytes: refused, and nothing is left', async () => {
    const { header, bytes } = fixture.shardOf('twelve bytes')
    const wrong: [ShardHeader, Uint8Array[]][] = [
      [header, [bytes.subarray(1)]],
      [header, [bytes, Uint8Array.of(1)]],
      [{ ...header, sizeBytes: 11 }, [bytes]],
      [{ ...header, id: hash(Uint8Array.of(9)) }, [bytes]],
      [header, ['twelve bytes' as unknown as Uint8Array]],
      [{ ...header, sizeBytes: -1 }, [bytes]],
      [{ ...header, sizeBytes: 1.5 }, [bytes]],
      [{ ...header, id: header.id.subarray(1) }, [bytes]],
      [{ ...header, expiresUnixMs: Number.NaN }, [bytes]],
    ]

    for (const [badHeader, chunks] of wrong) {
      expect(await codeOf(fixture.shards.put(badHeader, pieces(chunks)))).toBe('INVALID_ARGUMENT')
    }

    expect(fixture.files()).toEqual([])
    expect(await fixture.store.count('shards')).toBe(0)
    await fixture.put(fixture.shardOf('x'.repeat(QUOTA_BYTES)))
  })

  test('a source that fails leaves nothing and gives its room back', async () => {
    const { header } = fixture.shardOf('x'.repeat(QUOTA_BYTES))

    const failed = fixture.shards.put(header, failingAfter(Uint8Array.of(120)))

    expect(await codeOf(failed)).toBe('ABORTED')
    expect(fixture.files()).toEqual([])
    await fixture.put(fixture.shardOf('y'.repeat(QUOTA_BYTES)))
  })

  test('a source with too many bytes is ended before they are written', async () => {
    const { header } = fixture.shardOf('abc')
    let pulled = 0
    let isEnded = false
    async function* endless(): AsyncGenerator<Uint8Array> {
      try {
        for (;;) {
          pulled++
          yield await Promise.resolve(new Uint8Array(2))
        }
      } finally {
        isEnded = true
      }
    }

    expect(await codeOf(fixture.shards.put(header, endless()))).toBe('INVALID_ARGUMENT')

    expect(pulled).toBe(2)
    await expect.poll(() => isEnded).toBe(true)
  })
})

describe('the quota', () => {
  test('takes the byte that fits exactly and refuses the byte over', async () => {
    await fixture.put(fixture.shardOf('a'.repeat(QUOTA_BYTES - 10)))

    expect(await codeOf(fixture.put(fixture.shardOf('b'.repeat(11))))).toBe('STORAGE_FULL')
    expect(fixture.files()).toHaveLength(1)

    await fixture.put(fixture.shardOf('c'.repeat(10)))
    expect(fixture.shards.usage().usedBytes).toBe(QUOTA_BYTES)
    expect(await codeOf(fixture.put(fixture.shardOf('d')))).toBe('STORAGE_FULL')
    await fixture.put(fixture.shardOf(''))
  })

  test('counts what is still coming in', async () => {
    const slow = fixture.shardOf('a'.repeat(QUOTA_BYTES - 10))
    const gate = new Gate()
    const first = fixture.shards.put(slow.header, gate.hold([slow.bytes]))
    await gate.reached

    expect(fixture.shards.usage().usedBytes).toBe(0)
    expect(await codeOf(fixture.put(fixture.shardOf('b'.repeat(11))))).toBe('STORAGE_FULL')
    await fixture.put(fixture.shardOf('c'.repeat(10)))

    gate.open()
    await first
    expect(fixture.shards.usage().usedBytes).toBe(QUOTA_BYTES)
  })

  test('is free again after a delete, and holds after a restart', async () => {
    const full = fixture.shardOf('a'.repeat(QUOTA_BYTES))
    await fixture.put(full)
    await fixture.reopen()

    expect(fixture.shards.usage().usedBytes).toBe(QUOTA_BYTES)
    expect(await codeOf(fixture.put(fixture.shardOf('b')))).toBe('STORAGE_FULL')

    await fixture.shards.delete(full.header.id)
    await fixture.put(fixture.shardOf('b'))
  })

  test('a smaller quota than what is there keeps it and takes nothing', async () => {
    const old = fixture.shardOf('12345')
    await fixture.put(old)
    await fixture.reopen({ quotaBytes: 4 })

    expect(await fixture.shards.read(old.header.id)).toEqual(old.bytes)
    expect(await codeOf(fixture.put(fixture.shardOf('')))).toBe('STORAGE_FULL')
  })

  test('is not spent by the same shard twice, at once or later', async () => {
    const { header, bytes } = fixture.shardOf('a'.repeat(400))
    const gates = [new Gate(), new Gate()]

    const both = gates.map((gate) => fixture.shards.put(header, gate.hold([bytes])))
    await Promise.all(gates.map((gate) => gate.reached))
    for (const gate of gates) gate.open()
    await Promise.all(both)
    await fixture.put({ header, bytes })

    expect(fixture.shards.usage()).toEqual({ usedBytes: 400, quotaBytes: QUOTA_BYTES, shards: 1 })
    expect(fixture.files()).toEqual([fileOf({ header, bytes })])
  })
})

describe('a shard that is here already', () => {
  test('is success without reading the source, and may live longer but not shorter', async () => {
    const { header } = fixture.shardOf('renewed')
    await fixture.put(fixture.shardOf('renewed'))
    const unread = failingAfter()

    await fixture.shards.put({ ...header, expiresUnixMs: header.expiresUnixMs + HOUR_MS }, unread)
    await fixture.shards.put({ ...header, expiresUnixMs: 5 }, unread)

    fixture.clock.now += HOUR_MS
    expect(await fixture.shards.has(header.id)).toBe(true)
    await fixture.reopen()
    expect(await fixture.shards.has(header.id)).toBe(true)
    fixture.clock.now += HOUR_MS
    expect(await fixture.shards.has(header.id)).toBe(false)
  })

  test('with another size than promised is refused', async () => {
    const { header } = fixture.shardOf('size')
    await fixture.put(fixture.shardOf('size'))

    expect(await codeOf(fixture.shards.put({ ...header, sizeBytes: 5 }, pieces([])))).toBe('INVALID_ARGUMENT')
  })
})

describe('expiry', () => {
  test('a shard is here until the millisecond before, then hidden, then removed', async () => {
    const short = fixture.shardOf('short', HOUR_MS)
    const long = fixture.shardOf('long', HOUR_MS + 1)
    await fixture.put(short)
    await fixture.put(long)

    fixture.clock.now += HOUR_MS - 1
    expect(await fixture.shards.removeExpired()).toBe(0)
    expect(await fixture.shards.has(short.header.id)).toBe(true)

    fixture.clock.now += 1
    expect(await fixture.shards.has(short.header.id)).toBe(false)
    expect(await fixture.shards.read(short.header.id)).toBeUndefined()
    expect(await fixture.shards.removeExpired()).toBe(1)
    expect(fixture.shards.usage()).toEqual({ usedBytes: 4, quotaBytes: QUOTA_BYTES, shards: 1 })
    expect(fixture.files()).toEqual([fileOf(long)])
    expect(await fixture.store.count('shards')).toBe(1)
  })
})

describe('close', () => {
  test('gives up a source that never ends, leaves no file, and answers CLOSED from then on', async () => {
    const { header, bytes } = fixture.shardOf('half')
    const gate = new Gate()
    const put = codeOf(fixture.shards.put(header, gate.hold([bytes])))
    await gate.reached

    await fixture.shards.close()

    expect(await put).toBe('CLOSED')
    expect(fixture.files()).toEqual([])
    expect(await codeOf(fixture.shards.read(header.id))).toBe('CLOSED')
    expect(await codeOf(fixture.shards.has(header.id))).toBe('CLOSED')
    expect(await codeOf(fixture.shards.delete(header.id))).toBe('CLOSED')
    expect(await codeOf(fixture.shards.removeExpired())).toBe('CLOSED')
    expect(await codeOf(fixture.shards.put(header, pieces([bytes])))).toBe('CLOSED')
  })
})

describe('a row that cannot be written', () => {
  test('leaves no file and takes no room', async () => {
    const full = new EspalierError('STORAGE_FULL', 'no room')
    vi.spyOn(fixture.store, 'write').mockRejectedValueOnce(full)
    const shard = fixture.shardOf('x'.repeat(QUOTA_BYTES))

    expect(await codeOf(fixture.put(shard))).toBe('STORAGE_FULL')

    expect(fixture.files()).toEqual([])
    expect(await fixture.shards.has(shard.header.id)).toBe(false)
    await fixture.put(shard)
  })
})
