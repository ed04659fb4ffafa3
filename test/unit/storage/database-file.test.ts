import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Sqlite from 'better-sqlite3'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { encodeUtf8 } from '../../../ts/base/bytes.ts'
import { openDatabase } from '../../../ts/storage/database.ts'
import { migrate, MIGRATIONS, schemaVersion, type Migration } from '../../../ts/storage/migrations.ts'
import { openSqliteFile } from '../../../ts/storage/sqlite-file.ts'
import { codeOf, put, row } from '../../contract/store.ts'

const NO_BALLAST = { ballastBytes: 0 }
let folder: string
let path: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'espalier-file-'))
  path = join(folder, 'a.db')
})

afterEach(() => rmSync(folder, { recursive: true }))

describe('opening', () => {
  test('synchronous is FULL on the first and on every later open, where the library alone gives less', () => {
    for (let open = 0; open < 3; open++) {
      const database = openSqliteFile(path)
      expect(database.pragma('synchronous', { simple: true })).toBe(2)
      expect(database.pragma('journal_mode', { simple: true })).toBe('wal')
      database.close()
    }

    const plain = new Sqlite(path)
    const synchronous = plain.pragma('synchronous', { simple: true })
    plain.close()
    expect(synchronous).toBe(1)
  })

  test('rows outlive a close, and a clean close leaves one file', async () => {
    const first = await openDatabase(path, NO_BALLAST)
    await first.write([put('objects', 'key', 'value')])
    await first.close()

    const second = await openDatabase(path, NO_BALLAST)
    const found = await second.get('objects', encodeUtf8('key'))
    await second.close()

    expect(found).toEqual(row('key', 'value'))
    expect(() => statSync(`${path}-wal`)).toThrow()
  })

  test('a second opener is STORAGE_BUSY, the first goes on', async () => {
    const first = await openDatabase(path, NO_BALLAST)

    expect(await codeOf(openDatabase(path, NO_BALLAST))).toBe('STORAGE_BUSY')

    await first.write([put('meta', 'key', 'value')])
    expect(await first.count('meta')).toBe(1)
    await first.close()
    await (await openDatabase(path, NO_BALLAST)).close()
  })

  test('a missing folder, a folder in place of the file and a senseless option are INVALID_ARGUMENT', async () => {
    expect(await codeOf(openDatabase(join(folder, 'none', 'a.db')))).toBe('INVALID_ARGUMENT')
    expect(await codeOf(openDatabase(folder))).toBe('INVALID_ARGUMENT')
    expect(await codeOf(openDatabase(''))).toBe('INVALID_ARGUMENT')
    expect(await codeOf(openDatabase(':memory:'))).toBe('INVALID_ARGUMENT')
    expect(await codeOf(openDatabase(path, { ballastBytes: -1 }))).toBe('INVALID_ARGUMENT')
  })

  test('an empty file becomes a database', async () => {
    writeFileSync(path, '')

    await (await openDatabase(path, NO_BALLAST)).close()

    expect(statSync(path).size).toBeGreaterThan(0)
  })
})

describe('a file that cannot be trusted', () => {
  const notDatabases: [string, Buffer][] = [
    ['one byte', Buffer.from('x')],
    ['a line of text', Buffer.from('no database')],
    ['511 bytes', Buffer.alloc(511, 1)],
    ['text', Buffer.from('this is not a database\n'.repeat(500))],
    ['zeros', Buffer.alloc(8_192)],
  ]

  test.each(notDatabases)('%s in its place is STORAGE_CORRUPT and stays as it is', async (_name, bytes) => {
    await expectUntouched(bytes, 'STORAGE_CORRUPT')
  })

  test('the database of another program is STORAGE_CORRUPT and stays as it is', async () => {
    const other = new Sqlite(path)
    other.exec('CREATE TABLE records (name TEXT)')
    other.close()

    await expectUntouched(readFileSync(path), 'STORAGE_CORRUPT')
  })

  test('a database cut short or overwritten in the middle is STORAGE_CORRUPT and stays as it is', async () => {
    await fill(300)
    const whole = readFileSync(path)

    await expectUntouched(whole.subarray(0, whole.length - 1_000), 'STORAGE_CORRUPT')
    for (const page of [1, 3, 9, 20]) {
      const damaged = Buffer.from(whole).fill(0xa5, page * 4_096, (page + 1) * 4_096)
      await expectUntouched(damaged, 'STORAGE_CORRUPT')
    }
  })

  test('a newer schema is UNSUPPORTED and stays as it is', async () => {
    await fill(1)
    const newer = new Sqlite(path)
    newer.pragma(`user_version = ${MIGRATIONS.length + 1}`)
    newer.close()

    await expectUntouched(readFileSync(path), 'UNSUPPORTED')
  })

  test('a version that does not fit the content is STORAGE_CORRUPT', async () => {
    await fill(1)
    const older = new Sqlite(path)
    older.pragma('user_version = 0')
    older.close()

    expect(await codeOf(openDatabase(path, NO_BALLAST))).toBe('STORAGE_CORRUPT')
  })

  async function expectUntouched(bytes: Uint8Array, code: string): Promise<void> {
    writeFileSync(path, bytes)

    expect(await codeOf(openDatabase(path, NO_BALLAST))).toBe(code)

    expect(readFileSync(path).equals(bytes)).toBe(true)
  }
})

describe('migrations', () => {
  const second: Migration = {
    name: 'a seventh table',
    statements: ['CREATE TABLE more (key BLOB PRIMARY KEY)', 'INSERT INTO more SELECT key FROM meta'],
  }

  test('go forward from where the file is, keep the rows and happen once', async () => {
    await fill(2)
    const database = openSqliteFile(path)

    migrate(database, [...MIGRATIONS, second])
    migrate(database, [...MIGRATIONS, second])

    expect(schemaVersion(database)).toBe(MIGRATIONS.length + 1)
    expect(database.prepare('SELECT count(*) FROM more').pluck().get()).toBe(2)
    database.close()
  })

  test('a step that fails in the middle leaves nothing of itself', async () => {
    await fill(2)
    const database = openSqliteFile(path)
    const broken = { ...second, statements: [...second.statements, 'INSERT INTO none VALUES (1)'] }

    expect(() => migrate(database, [...MIGRATIONS, broken])).toThrow(
      expect.objectContaining({ code: 'STORAGE_CORRUPT' }),
    )

    expect(schemaVersion(database)).toBe(MIGRATIONS.length)
    expect(database.prepare("SELECT count(*) FROM sqlite_schema WHERE name = 'more'").pluck().get()).toBe(0)
    database.close()
  })
})

async function fill(rows: number): Promise<void> {
  const store = await openDatabase(path, NO_BALLAST)
  await store.write(Array.from({ length: rows }, (_, index) => put('meta', `key ${index}`, 'x'.repeat(200))))
  await store.close()
}
