import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { toHex, encodeUtf8 } from '../../ts/base/bytes.ts'
import { systemClock } from '../../ts/base/clock.ts'
import { silentLog } from '../../ts/base/log.ts'
import { hash } from '../../ts/native/hash.ts'
import { openDatabase } from '../../ts/storage/database.ts'
import { ShardFiles } from '../../ts/storage/shard-files.ts'
import { Child } from './durability-child.ts'

const IS_LONG = process.env['ESPALIER_LONG'] === '1'
const ROUNDS = IS_LONG ? 200 : 25
const NO_BALLAST = { ballastBytes: 0 }
let folder: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'espalier-durability-'))
})

afterEach(() => rmSync(folder, { recursive: true }))

describe('a process killed with SIGKILL', () => {
  test(
    `loses no row and no shard that was acknowledged, in ${ROUNDS} rounds on one folder`,
    async () => {
      const acknowledged = new Set<string>()
      for (let round = 0; round < ROUNDS; round++) {
        const child = Child.run(WRITER, [folder, String(round)])
        await killAfterWrites(child, Math.random() * 80)
        expect(child.lines[0]).toBe('ready')
        for (const line of child.lines) if (line !== 'ready') acknowledged.add(line)
      }

      const store = await openDatabase(join(folder, 'a.db'), NO_BALLAST)
      const shards = await openShards(store)
      const missing: string[] = []
      for (const line of acknowledged) {
        const [kind, name] = line.split(' ') as [string, string]
        const content = contentOf(name)
        const found =
          kind === 'row'
            ? (await store.get('records', encodeUtf8(name)))?.value
            : await shards.read(hash(content))
        if (found === undefined || toHex(found) !== toHex(content)) missing.push(line)
      }
      const { shards: kept } = shards.usage()
      await shards.close()
      await store.close()

      expect(missing).toEqual([])
      // The rounds must have reached both kinds of write, or nothing was shown.
      expect([...acknowledged].filter((line) => line.startsWith('row')).length).toBeGreaterThan(ROUNDS)
      const shardLines = [...acknowledged].filter((line) => line.startsWith('shard')).length
      expect(shardLines).toBeGreaterThan(ROUNDS)
      expect(kept).toBeGreaterThanOrEqual(shardLines)
    },
    ROUNDS * 4_000,
  )

  test('writes all changes of one write or none', async () => {
    const rounds = Math.ceil(ROUNDS / 5)
    for (let round = 0; round < rounds; round++) {
      const child = Child.run(PAIRS, [folder, String(round)])
      await killAfterWrites(child, Math.random() * 40)
      expect(child.lines[0]).toBe('ready')
    }

    const store = await openDatabase(join(folder, 'a.db'), NO_BALLAST)
    const [left, right] = [await store.count('records'), await store.count('objects')]
    await store.close()

    expect(left).toBe(right)
    expect(left).toBeGreaterThan(rounds)
  })

  test('in the middle of a migration leaves the old schema or the new one, with every row', async () => {
    const store = await openDatabase(join(folder, 'a.db'), NO_BALLAST)
    const names = Array.from({ length: 1_000 }, (_, index) => `row ${index}`)
    await store.write(names.map((name) => ({ table: 'meta', key: encodeUtf8(name), value: contentOf(name) })))
    await store.close()

    // After so many statements of the step; the last is past the end, where nothing stops it.
    for (const at of IS_LONG ? Array.from({ length: 22 }, (_, count) => count) : [0, 1, 13, 20, 21]) {
      const child = Child.run(MIGRATION, [folder, String(at)])
      await child.said(1)
      await child.kill()
      const look = Child.run(LOOK, [folder])
      await look.exited

      expect(child.lines).toEqual([at <= 20 ? 'in the middle' : 'done'])
      expect(look.lines).toEqual([at <= 20 ? '1 0 1000' : '2 20 1000'])
    }
  })
})

describe('a process that ends', () => {
  test('need not close: the open database does not keep it, and what it awaited is on disk', async () => {
    const child = Child.run(
      `
      const store = await openDatabase(folder + '/a.db', { ballastBytes: 0 })
      await store.write([{ table: 'meta', key: text('a'), value: text('b') }])
      void store.write([{ table: 'meta', key: text('b'), value: text('c') }]).then(() => say('pending calls keep it'))
      `,
      [folder],
    )

    expect(await child.exited).toEqual({ code: 0, signal: null })
    expect(child.lines).toEqual(['pending calls keep it'])
    const store = await openDatabase(join(folder, 'a.db'), NO_BALLAST)
    expect(await store.count('meta')).toBe(2)
    await store.close()
  })

  test('by process.exit in the middle of its writes, or a thread torn down in them, never dies of a signal', async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const child = Child.run(round % 2 === 0 ? EXIT : TERMINATE, [folder, String(Math.random() * 40)])
      expect(await child.exited).toEqual({ code: 0, signal: null })
    }
    const store = await openDatabase(join(folder, 'a.db'), NO_BALLAST)
    expect(await store.count('records')).toBeGreaterThan(0)
    await store.close()
  }, 240_000)
})

describe('two processes on one folder', () => {
  test('the second is STORAGE_BUSY and changes nothing; after a kill it may', async () => {
    const program = `
      const directory = await DataDirectory.open(folder + '/node')
      const store = await openDatabase(directory.databasePath, { ballastBytes: 0 })
      say('open')
      setInterval(() => undefined, 1_000)
    `
    const first = Child.run(program, [folder])
    await first.said(1)

    const second = Child.run(
      `
      say(await codeOf(DataDirectory.open(folder + '/node')))
      say(await codeOf(openDatabase(folder + '/node/database.sqlite')))
      `,
      [folder],
    )
    await second.exited
    await first.kill()
    const third = Child.run(program, [folder])
    await third.said(1)
    await third.kill()

    expect(second.lines).toEqual(['STORAGE_BUSY', 'STORAGE_BUSY'])
    expect(third.lines).toEqual(['open'])
  })
})

/** Kills while it goes on writing; how far it has come is what varies from round to round. */
async function killAfterWrites(child: Child, writes: number): Promise<void> {
  await child.said(2 + Math.floor(writes))
  await child.kill()
}

function openShards(store: Awaited<ReturnType<typeof openDatabase>>): Promise<ShardFiles> {
  const options = { store, quotaBytes: 2 ** 30, clock: systemClock, log: silentLog }
  return ShardFiles.open({ ...options, directory: join(folder, 'shards') })
}

/** The bytes that the writing programs store under a name. */
function contentOf(name: string): Uint8Array {
  return encodeUtf8(`${name} `.repeat(40))
}

const WRITER = `
const store = await openDatabase(folder + '/a.db', { ballastBytes: 0 })
const shards = await ShardFiles.open({ directory: folder + '/shards', store, quotaBytes: 2 ** 30, clock, log })
say('ready')
const contentOf = (name) => text((name + ' ').repeat(40))
async function* pieces(bytes) { yield bytes.subarray(0, 7); yield bytes.subarray(7) }
for (let lane = 0; lane < 8; lane++) void (async () => {
  for (let n = 0; ; n++) {
    const name = rest[0] + '.' + lane + '.' + n
    const value = contentOf(name)
    if (lane < 5) await store.write([{ table: 'records', key: text(name), value }])
    else await shards.put({ id: hash(value), sizeBytes: value.length, expiresUnixMs: 4e12 }, pieces(value))
    say((lane < 5 ? 'row ' : 'shard ') + name)
  }
})()
`

const PAIRS = `
const store = await openDatabase(folder + '/a.db', { ballastBytes: 0 })
say('ready')
for (let lane = 0; lane < 8; lane++) void (async () => {
  for (let n = 0; ; n++) {
    const key = text(rest[0] + '.' + lane + '.' + n)
    await store.write([
      { table: 'records', key, value: new Uint8Array(3_000) },
      { table: 'objects', key, value: new Uint8Array(3_000) },
    ])
    say('pair')
  }
})()
`

const NEXT_STEP = `
import { openSqliteFile } from '${new URL('../../dist/storage/sqlite-file.js', import.meta.url).href}'
import { migrate, MIGRATIONS } from '${new URL('../../dist/storage/migrations.js', import.meta.url).href}'
const statements = Array.from({ length: 20 }, (_, n) => 'CREATE TABLE more_' + n + ' AS SELECT * FROM meta')
const steps = [...MIGRATIONS, { name: 'many copies', statements }]
`

const MIGRATION = `${NEXT_STEP}
import { writeSync } from 'node:fs'
const database = openSqliteFile(folder + '/a.db')
database.function('pause', () => {
  writeSync(1, 'in the middle\\n')
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
})
const at = Number(rest[0])
if (at <= statements.length) statements.splice(at, 0, 'SELECT pause()')
migrate(database, steps)
say('done')
setInterval(() => undefined, 1_000)
`

const LOOK = `${NEXT_STEP}
import { createRequire } from 'node:module'
const Sqlite = createRequire('${import.meta.url}')('better-sqlite3')
const database = new Sqlite(folder + '/a.db')
const version = database.pragma('user_version', { simple: true })
const count = (sql) => database.prepare(sql).pluck().get()
say([version, count("SELECT count(*) FROM sqlite_schema WHERE name LIKE 'more%'"), count('SELECT count(*) FROM meta')].join(' '))
database.close()
`

const BUSY = `
async function busy(path) {
  const store = await openDatabase(path, { ballastBytes: 0 })
  for (let lane = 0; lane < 16; lane++) void (async () => {
    for (let n = 0; ; n++) {
      const key = text(lane + '.' + n)
      await store.write([{ table: 'records', key, value: new Uint8Array(500) }])
      await store.scan('records', { limit: 20 })
    }
  })().catch((error) => { if (error.code !== 'CLOSED') throw error })
}
`

const EXIT = `${BUSY}
await busy(folder + '/a.db')
setTimeout(() => process.exit(0), Number(rest[0]))
`

const TERMINATE = `${BUSY}
import { Worker } from 'node:worker_threads'
const source = \`
  import { parentPort, workerData } from 'node:worker_threads'
  import { openDatabase } from '${new URL('../../dist/storage/database.js', import.meta.url).href}'
  const text = (value) => new TextEncoder().encode(value)
  \${busy}
  await busy(workerData)
  parentPort.postMessage('busy')
\`
const worker = new Worker(new URL('data:text/javascript,' + encodeURIComponent(source)), { workerData: folder + '/a.db' })
worker.once('message', () => setTimeout(() => worker.terminate(), Number(rest[0])))
`
