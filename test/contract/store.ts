import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { encodeUtf8, toHex } from '../../ts/base/bytes.ts'
import type { Clock } from '../../ts/base/clock.ts'
import { EspalierError } from '../../ts/base/error.ts'
import type { Change, Row, Store, TableName } from '../../ts/storage/store.ts'

/** What every implementation of `Store` promises. `open` makes an empty one that goes by `clock`. */
export function describeStore(name: string, open: (clock: Clock) => Promise<Store>): void {
  describe(`${name} as a store`, () => {
    const clock = new SettableClock()
    let store: Store

    beforeEach(async () => {
      clock.now = 1_000_000
      store = await open(clock)
    })

    afterEach(() => store.close())

    describeRows(() => store)
    describeExpiry(() => store, clock)
    describeLimits(() => store)
    describeClose(() => store)
  })
}

function describeRows(store: () => Store): void {
  test('a row is read as it was written, and a missing one is undefined', async () => {
    await store().write([put('meta', 'a', 'first')])

    expect(await store().get('meta', encodeUtf8('a'))).toEqual(row('a', 'first'))
    expect(await store().get('meta', encodeUtf8('b'))).toBeUndefined()
    expect(await store().get('peers', encodeUtf8('a'))).toBeUndefined()
  })

  test('a write replaces value and expiry, a delete removes, a second delete is no error', async () => {
    await store().write([put('meta', 'a', 'first', 2_000_000)])
    await store().write([put('meta', 'a', 'second')])

    expect(await store().get('meta', encodeUtf8('a'))).toEqual(row('a', 'second'))

    await store().write([remove('meta', 'a')])
    await store().write([remove('meta', 'a')])

    expect(await store().get('meta', encodeUtf8('a'))).toBeUndefined()
    expect(await store().count('meta')).toBe(0)
  })

  test('the changes of one write happen in order', async () => {
    await store().write([put('meta', 'a', '1'), remove('meta', 'a'), put('meta', 'a', '2')])

    expect(await store().get('meta', encodeUtf8('a'))).toEqual(row('a', '2'))
  })

  test('one bad change undoes none and writes none of its companions', async () => {
    await store().write([put('meta', 'a', 'old')])

    const write = store().write([
      put('meta', 'a', 'new'),
      put('records', 'b', 'new'),
      { table: 'meta', key: new Uint8Array(65), value: new Uint8Array(1) },
    ])

    expect(await codeOf(write)).toBe('INVALID_ARGUMENT')
    expect(await store().get('meta', encodeUtf8('a'))).toEqual(row('a', 'old'))
    expect(await store().count('records')).toBe(0)
  })

  test('a scan answers in the order of bytes from a key on, at most as many as asked', async () => {
    const keys = [[0], [0, 0], [0, 255], [1], [127], [128], [128, 0], [255], [255, 255, 255]]
    const shuffled = [4, 8, 0, 2, 6, 1, 7, 3, 5].map((at) => Uint8Array.from(keys[at]!))
    await store().write(shuffled.map((key) => ({ table: 'records', key, value: key })))

    const all = await store().scan('records', { limit: 1_000 })
    const three = await store().scan('records', { from: Uint8Array.of(0, 1), limit: 3 })
    const last = await store().scan('records', { from: Uint8Array.of(255, 255), limit: 3 })

    expect(all.map(({ key }) => [...key])).toEqual(keys)
    expect(all.every(({ key, value }) => toHex(key) === toHex(value))).toBe(true)
    expect(three.map(({ key }) => [...key])).toEqual([[0, 255], [1], [127]])
    expect(last.map(({ key }) => [...key])).toEqual([[255, 255, 255]])
  })

  test('tables do not see each other', async () => {
    const tables: readonly TableName[] = ['records', 'publicKeys', 'peers', 'shards', 'objects', 'meta']
    await store().write(tables.map((table) => put(table, 'key', table)))

    for (const table of tables) {
      expect(await store().scan(table, { limit: 10 })).toEqual([row('key', table)])
    }
  })

  test('what a caller does to its arrays afterwards changes nothing', async () => {
    const key = encodeUtf8('key')
    const whole = encodeUtf8('..value..')
    const value = whole.subarray(2, 7)
    const write = store().write([{ table: 'meta', key, value }])
    const read = write.then(() => store().get('meta', encodeUtf8('key')))
    key.fill(0)
    whole.fill(0)

    expect(await read).toEqual(row('key', 'value'))

    const first = await store().get('meta', encodeUtf8('key'))
    first?.value.fill(0)

    expect(await store().get('meta', encodeUtf8('key'))).toEqual(row('key', 'value'))
  })

  test('a thousand writes at once all happen, and a read after them sees them', async () => {
    const names = Array.from({ length: 1_000 }, (_, index) => `key ${String(index).padStart(4, '0')}`)
    const writes = names.map((name) => store().write([put('records', name, name)]))
    const readAtOnce = store().scan('records', { limit: 1_000 })
    await Promise.all(writes)

    expect(await readAtOnce).toEqual(names.map((name) => row(name, name)))
    expect(await store().count('records')).toBe(1_000)
  })

  test('calls count as pending until they are answered', async () => {
    const calls = [store().get('meta', encodeUtf8('a')), store().count('meta')]

    expect(store().pendingCalls).toBe(2)
    await Promise.all(calls)
    expect(store().pendingCalls).toBe(0)
  })

  test('an empty write is no error', async () => {
    await store().write([])

    expect(await store().count('meta')).toBe(0)
  })
}

function describeExpiry(store: () => Store, clock: SettableClock): void {
  test('a row is seen until the millisecond before it expires', async () => {
    await store().write([put('records', 'a', 'x', 1_000_500), put('records', 'b', 'y')])

    clock.now = 1_000_499
    expect(await store().get('records', encodeUtf8('a'))).toEqual({
      ...row('a', 'x'),
      expiresUnixMs: 1_000_500,
    })
    expect(await store().count('records')).toBe(2)

    clock.now = 1_000_500
    expect(await store().get('records', encodeUtf8('a'))).toBeUndefined()
    expect(await store().scan('records', { limit: 1 })).toEqual([row('b', 'y')])
    expect(await store().count('records')).toBe(1)
  })

  test('takeExpired removes what has expired, earliest first, and nothing else', async () => {
    await store().write([
      put('records', 'late', '1', 1_000_300),
      put('records', 'early', '2', 1_000_100),
      put('records', 'middle', '3', 1_000_200),
      put('records', 'future', '4', 1_000_301),
      put('records', 'never', '5'),
    ])
    clock.now = 1_000_300

    const first = await store().takeExpired('records', { limit: 2 })
    const second = await store().takeExpired('records', { limit: 2 })
    const third = await store().takeExpired('records', { limit: 2 })
    clock.now = 0

    expect(first.map(({ value }) => String.fromCharCode(...value))).toEqual(['2', '3'])
    expect(second).toEqual([{ ...row('late', '1'), expiresUnixMs: 1_000_300 }])
    expect(third).toEqual([])
    expect((await store().scan('records', { limit: 9 })).map(({ key }) => key.byteLength)).toEqual([6, 5])
  })

  test('an expired row that is written again lives again', async () => {
    await store().write([put('records', 'a', 'old', 999_999)])
    expect(await store().get('records', encodeUtf8('a'))).toBeUndefined()

    await store().write([put('records', 'a', 'new', 1_000_001)])

    expect((await store().get('records', encodeUtf8('a')))?.expiresUnixMs).toBe(1_000_001)
    expect(await store().takeExpired('records', { limit: 9 })).toEqual([])
  })

  test('the largest and the smallest expiry are kept exactly', async () => {
    await store().write([put('meta', 'max', '', Number.MAX_SAFE_INTEGER), put('meta', 'min', '', 0)])

    expect((await store().get('meta', encodeUtf8('max')))?.expiresUnixMs).toBe(Number.MAX_SAFE_INTEGER)
    expect((await store().takeExpired('meta', { limit: 1 }))[0]?.expiresUnixMs).toBe(0)
  })
}

function describeLimits(store: () => Store): void {
  test('a key of 1 and of 64 bytes is taken, of 0 and of 65 refused', async () => {
    for (const length of [1, 64]) {
      const key = new Uint8Array(length).fill(7)
      await store().write([{ table: 'meta', key, value: key }])
      expect((await store().get('meta', key))?.value).toEqual(key)
    }
    for (const length of [0, 65]) {
      const key = new Uint8Array(length)
      expect(await codeOf(store().write([{ table: 'meta', key, value: key }]))).toBe('INVALID_ARGUMENT')
      expect(await codeOf(store().write([{ table: 'meta', key, value: undefined }]))).toBe('INVALID_ARGUMENT')
      expect(await codeOf(store().get('meta', key))).toBe('INVALID_ARGUMENT')
      expect(await codeOf(store().scan('meta', { from: key, limit: 1 }))).toBe('INVALID_ARGUMENT')
    }
  })

  test('a value of 0 and of 65,536 bytes is taken, of 65,537 refused', async () => {
    const key = encodeUtf8('key')
    for (const length of [0, 65_536]) {
      const value = Uint8Array.from({ length }, (_, index) => index % 251)
      await store().write([{ table: 'records', key, value }])
      expect((await store().get('records', key))?.value).toEqual(value)
    }
    const write = store().write([{ table: 'records', key, value: new Uint8Array(65_537) }])

    expect(await codeOf(write)).toBe('INVALID_ARGUMENT')
    expect((await store().get('records', key))?.value.byteLength).toBe(65_536)
  })

  test('a limit of 1 and of 1,000 is taken, of 0, 1,001 and 1.5 refused', async () => {
    for (const limit of [1, 1_000]) {
      expect(await store().scan('meta', { limit })).toEqual([])
      expect(await store().takeExpired('meta', { limit })).toEqual([])
    }
    for (const limit of [0, 1_001, 1.5, Number.NaN]) {
      expect(await codeOf(store().scan('meta', { limit }))).toBe('INVALID_ARGUMENT')
      expect(await codeOf(store().takeExpired('meta', { limit }))).toBe('INVALID_ARGUMENT')
    }
  })

  test('a write of 1,000 changes is taken, of 1,001 refused', async () => {
    const changes = Array.from({ length: 1_001 }, (_, index) => put('meta', `key ${index}`, ''))

    expect(await codeOf(store().write(changes))).toBe('INVALID_ARGUMENT')
    expect(await store().count('meta')).toBe(0)

    await store().write(changes.slice(1))
    expect(await store().count('meta')).toBe(1_000)
  })

  test('an unknown table and an expiry that is no instant are refused', async () => {
    const table = 'sqlite_schema' as TableName

    expect(await codeOf(store().get(table, encodeUtf8('a')))).toBe('INVALID_ARGUMENT')
    expect(await codeOf(store().count(table))).toBe('INVALID_ARGUMENT')
    expect(await codeOf(store().scan(table, { limit: 1 }))).toBe('INVALID_ARGUMENT')
    expect(await codeOf(store().takeExpired(table, { limit: 1 }))).toBe('INVALID_ARGUMENT')
    expect(await codeOf(store().write([put(table, 'a', 'b')]))).toBe('INVALID_ARGUMENT')
    for (const expires of [-1, 0.5, Number.NaN, 2 ** 53]) {
      expect(await codeOf(store().write([put('meta', 'a', 'b', expires)]))).toBe('INVALID_ARGUMENT')
    }
  })
}

function describeClose(store: () => Store): void {
  test('close waits for what is under way; then every call answers CLOSED', async () => {
    const write = store().write([put('meta', 'a', 'b')])
    const read = store().get('meta', encodeUtf8('a'))
    const closing = Promise.all([store().close(), store().close()])

    await expect(write).resolves.toBeUndefined()
    await expect(read).resolves.toEqual(row('a', 'b'))
    await closing
    expect(await codeOf(store().get('meta', encodeUtf8('a')))).toBe('CLOSED')
    expect(await codeOf(store().write([put('meta', 'a', 'b')]))).toBe('CLOSED')
    expect(await codeOf(store().scan('meta', { limit: 1 }))).toBe('CLOSED')
    expect(await codeOf(store().takeExpired('meta', { limit: 1 }))).toBe('CLOSED')
    expect(await codeOf(store().count('meta'))).toBe('CLOSED')
    await expect(store().close()).resolves.toBeUndefined()
  })
}

/** A clock that stands where a test puts it. */
export class SettableClock implements Clock {
  now = 1_000_000

  nowMs(): number {
    return this.now
  }

  unixMs(): number {
    return this.now
  }

  setTimer(): never {
    throw new Error('storage sets no timers')
  }
}

/** A change that writes text. */
export function put(table: TableName, key: string, value: string, expiresUnixMs?: number): Change {
  const change = { table, key: encodeUtf8(key), value: encodeUtf8(value) }
  return expiresUnixMs === undefined ? change : { ...change, expiresUnixMs }
}

/** A change that deletes. */
export function remove(table: TableName, key: string): Change {
  return { table, key: encodeUtf8(key), value: undefined }
}

/** The row that {@link put} leaves. */
export function row(key: string, value: string): Row {
  return { key: encodeUtf8(key), value: encodeUtf8(value) }
}

/** The code that a promise rejects with, or what it resolved to instead. */
export async function codeOf(promise: Promise<unknown>): Promise<unknown> {
  try {
    return { resolved: await promise }
  } catch (thrown) {
    return thrown instanceof EspalierError ? thrown.code : thrown
  }
}
