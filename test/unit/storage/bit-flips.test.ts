import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { encodeUtf8, equalBytes } from '../../../ts/base/bytes.ts'
import { EspalierError } from '../../../ts/base/error.ts'
import { openDatabase } from '../../../ts/storage/database.ts'
import { SqliteStore } from '../../../ts/storage/sqlite-store.ts'
import type { Row } from '../../../ts/storage/store.ts'
import { codeOf, put } from '../../contract/store.ts'

const NOW = 1_000
/** Every this many bytes or steps; the long run leaves none out. */
const STRIDE = process.env['ESPALIER_LONG'] === '1' ? 1 : 9
const NAMES = Array.from({ length: 40 }, (_, index) => `name ${index}`)
let folder: string
let path: string
let good: Buffer

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'espalier-flips-'))
  path = join(folder, 'a.db')
  const store = await openDatabase(path, { ballastBytes: 0 })
  await store.write(NAMES.map((name) => put('records', name, textValueOf(name), 5_000)))
  await store.close()
  good = readFileSync(path)
})

afterAll(() => rmSync(folder, { recursive: true }))

describe('a flipped bit of the database file', () => {
  test('in the place of a row, anywhere in it, is never answered', () => {
    const seen = { right: 0, corrupt: 0 }
    for (const byte of bytesOfRows().filter((_, index) => index % STRIDE === 0)) {
      const verdict = readAfterFlip(byte * 8 + (byte % 8))
      expect(verdict, `byte ${byte}`).not.toBe('wrong')
      seen[verdict === 'right' ? 'right' : 'corrupt']++
    }

    // All of these bytes belong to rows, so that nearly every flip must have been noticed.
    expect(seen.corrupt).toBeGreaterThan(20 * seen.right)
    expect(seen.corrupt).toBeGreaterThan(200)
  }, 600_000)

  test('anywhere in the file is never answered, by reading one and by reading all', () => {
    const step = 97 // Odd, so that all bits of a byte have their turn.
    for (let bit = 0; bit < good.length * 8; bit += step * STRIDE) {
      expect(readAfterFlip(bit), `bit ${bit}`).not.toBe('wrong')
    }
  }, 600_000)

  test('is named, so that its row can be deleted or written again', async () => {
    const at = good.indexOf(valueOf('name 7'))
    flip(at * 8)
    const store = await openDatabase(path, { ballastBytes: 0, clock: fixedClock })

    const error = await store.get('records', encodeUtf8('name 7')).catch((thrown: unknown) => thrown)
    await store.write([put('records', 'name 7', 'whole again')])
    const healed = await store.get('records', encodeUtf8('name 7'))
    await store.close()

    expect(error).toMatchObject({
      code: 'STORAGE_CORRUPT',
      details: { table: 'records', key: Buffer.from('name 7').toString('hex') },
    })
    expect(healed?.value).toEqual(encodeUtf8('whole again'))
  })

  test('in an expiry neither hides the row nor keeps it from being replaced', async () => {
    // The record of the row: its expiry, 5,000 as two bytes, stands right behind the value.
    const at = good.indexOf(valueOf('name 9')) + valueOf('name 9').length
    expect(good.readUInt16BE(at)).toBe(5_000)
    flip(at * 8 + 4)
    const store = await openDatabase(path, { ballastBytes: 0, clock: fixedClock })

    const read = await codeOf(store.get('records', encodeUtf8('name 9')))
    await store.write([put('records', 'name 9', 'again', 6_000)])
    const healed = await store.get('records', encodeUtf8('name 9'))
    const all = await store.scan('records', { limit: 1_000 })
    await store.close()

    expect(read).toBe('STORAGE_CORRUPT')
    expect(healed?.expiresUnixMs).toBe(6_000)
    expect(all).toHaveLength(NAMES.length)
  })
})

const fixedClock = {
  nowMs: () => NOW,
  unixMs: () => NOW,
  setTimer: () => ({ cancel: () => undefined }),
}

/** Every row read alone and all of them in order: right, refused or wrong. */
function readAfterFlip(bit: number): 'right' | 'corrupt' | 'wrong' {
  flip(bit)
  let isRefused = false
  let store: SqliteStore | undefined
  try {
    store = new SqliteStore(path, { ballastBytes: 0 })
    for (const name of NAMES) {
      const found = attempt(() => rowOf(store, name))
      if (found === 'refused') isRefused = true
      else if (!isRight(found, name)) return 'wrong'
    }
    const all = attempt(() => allOf(store))
    if (all === 'refused') isRefused = true
    else if (all.length !== NAMES.length || !all.every((each) => isRight(each, textOf(each)))) return 'wrong'
  } catch (thrown) {
    if (!isTyped(thrown)) throw thrown
    isRefused = true
  } finally {
    store?.close()
  }
  return isRefused ? 'corrupt' : 'right'
}

function rowOf(store: SqliteStore | undefined, name: string): Row | undefined {
  const key = encodeUtf8(name)
  return store?.query({ kind: 'get', table: 'records', key, nowUnixMs: NOW }) as Row | undefined
}

function allOf(store: SqliteStore | undefined): readonly Row[] {
  const query = { kind: 'scan', table: 'records', from: undefined, limit: 1_000, nowUnixMs: NOW } as const
  return store?.query(query) as readonly Row[]
}

function attempt<T>(action: () => T): T | 'refused' {
  try {
    return action()
  } catch (thrown) {
    if (isTyped(thrown)) return 'refused'
    throw thrown
  }
}

function isTyped(thrown: unknown): boolean {
  return thrown instanceof EspalierError && ['STORAGE_CORRUPT', 'UNSUPPORTED'].includes(thrown.code)
}

function isRight(found: Row | undefined, name: string): boolean {
  return (
    found !== undefined &&
    equalBytes(found.key, encodeUtf8(name)) &&
    equalBytes(found.value, valueOf(name)) &&
    found.expiresUnixMs === 5_000
  )
}

function flip(bit: number): void {
  const damaged = Buffer.from(good)
  damaged[bit >> 3]! ^= 1 << (bit & 7)
  rmSync(`${path}-wal`, { force: true })
  writeFileSync(path, damaged)
}

/** Where the rows of the table lie: every byte of the pages that hold their values. */
function bytesOfRows(): number[] {
  const pages = new Set(NAMES.map((name) => Math.floor(good.indexOf(valueOf(name)) / 4_096)))
  const rowBytes = (page: number) => {
    const first = Math.min(...NAMES.map((name) => good.indexOf(name, page * 4_096)).filter((at) => at >= 0))
    return Array.from({ length: (page + 1) * 4_096 - first }, (_, index) => first + index)
  }
  return [...pages].flatMap(rowBytes)
}

function valueOf(name: string): Uint8Array {
  return Buffer.from(textValueOf(name))
}

function textOf({ key }: Row): string {
  return Buffer.from(key).toString()
}

function textValueOf(name: string): string {
  return `value of ${name}, long enough to be found`
}
