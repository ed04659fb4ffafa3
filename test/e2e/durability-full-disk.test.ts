import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Child } from './durability-child.ts'

/** A small disk of its own for a child: in a mount namespace, so that nothing has to be unmounted. */
const MOUNT = 'mount -t tmpfs -o size=4m none "$0" && exec "$@"'
const NAMESPACES = [
  ['unshare', '-m'],
  ['unshare', '-rm'],
]
const namespace = NAMESPACES.find(canMount)
let folder: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'espalier-full-'))
})

afterEach(() => rmSync(folder, { recursive: true }))

describe('a full disk', () => {
  test.runIf(namespace !== undefined)(
    'keeps reading, refuses what is new, lets delete, and recovers without a restart',
    async () => {
      const command = [...(namespace ?? []), 'sh', '-c', MOUNT, folder, process.execPath]

      const child = Child.runUnder(command, FULL_DISK, [folder])

      expect(await child.exited).toEqual({ code: 0, signal: null })
      expect(Object.fromEntries(child.lines.map((line) => line.split(': ')))).toEqual({
        'the disk': 'ENOSPC',
        'reading a row': 'kept',
        'reading a shard': 'kept',
        scanning: 'true',
        'a new row': 'STORAGE_FULL',
        'a new shard': 'STORAGE_FULL',
        'files of the refused shard': '0',
        'deleting a row': 'done',
        'deleting a shard': 'true',
        'the ballast': 'gone',
        'a new row while the ballast is gone': 'STORAGE_FULL',
        'deleting many rows': 'done',
        'a new row after making room': 'done',
        'a new shard after making room': 'done',
        'the ballast after making room': 'there',
        'after a restart': 'kept true false',
      })
    },
  )

  test('in the shape of a file-size limit: what was written is read, the rest is STORAGE_FULL', async () => {
    const command = ['sh', '-c', 'ulimit -f 1024 && exec "$0" "$@"', process.execPath]

    const child = Child.runUnder(command, FILE_LIMIT, [folder])

    expect(await child.exited).toEqual({ code: 0, signal: null })
    expect(child.lines).toEqual(['STORAGE_FULL', 'kept', 'STORAGE_FULL', 'STORAGE_FULL', 'kept'])
  })
})

/** A store and shards, both with something kept, and ways to fill them. */
const SETUP = `
import fs from 'node:fs'
const openAll = async (ballastBytes) => {
  const store = await openDatabase(folder + '/a.db', { ballastBytes })
  const shards = await ShardFiles.open({ directory: folder + '/shards', store, quotaBytes: 2 ** 30, clock, log })
  return { store, shards }
}
const row = (name, value) => ({ table: 'records', key: text(name), value })
const big = new Uint8Array(60_000).fill(7)
async function* one(bytes) { yield bytes }
const putShard = (shards, bytes) =>
  shards.put({ id: hash(bytes), sizeBytes: bytes.length, expiresUnixMs: 4e12 }, one(bytes))
const readText = (bytes) => bytes === undefined ? undefined : new TextDecoder().decode(bytes)
async function fillRows(store) {
  for (let n = 0; ; n++) {
    const code = await codeOf(store.write([row('fill ' + n, big)]))
    if (code !== 'done') return { code, n }
  }
}
`

const FULL_DISK = `${SETUP}
let { store, shards } = await openAll(256 * 1024)
await store.write([row('kept', text('kept'))])
await putShard(shards, text('kept'))
const spare = new Uint8Array(300_000).fill(1)
await putShard(shards, spare)
const n = 20
for (let i = 0; i < n; i++) await store.write([row('fill ' + i, big)])
// To the last page, so that not even the log has room for a delete.
let filled = ''
try { const file = fs.openSync(folder + '/filler', 'w'); for (;;) fs.writeSync(file, new Uint8Array(4096)) }
catch (error) { filled = error.code }
say('the disk: ' + filled)
say('reading a row: ' + readText((await store.get('records', text('kept')))?.value))
say('reading a shard: ' + readText(await shards.read(hash(text('kept')))))
say('scanning: ' + ((await store.scan('records', { limit: 1000 })).length === n + 1))
say('a new row: ' + await codeOf(store.write([row('new', big)])))
say('a new shard: ' + await codeOf(putShard(shards, big)))
const named = fs.readdirSync(folder + '/shards', { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
say('files of the refused shard: ' + (named.length - 2))
say('deleting a row: ' + await codeOf(store.write([row('fill 0', undefined)])))
say('the ballast: ' + (fs.existsSync(folder + '/a.db-ballast') ? 'there' : 'gone'))
say('a new row while the ballast is gone: ' + await codeOf(store.write([row('small', text('x'))])))
say('deleting a shard: ' + await shards.delete(hash(spare)))
say('deleting many rows: ' + await codeOf(Promise.all(Array.from({ length: n }, (_, i) => store.write([row('fill ' + i, undefined)])))))
fs.rmSync(folder + '/filler')
say('a new row after making room: ' + await codeOf(store.write([row('new', big)])))
say('a new shard after making room: ' + await codeOf(putShard(shards, big)))
say('the ballast after making room: ' + (fs.existsSync(folder + '/a.db-ballast') ? 'there' : 'gone'))
await shards.close()
await store.close();
({ store, shards } = await openAll(256 * 1024))
say(['after a restart: ' + readText((await store.get('records', text('kept')))?.value),
  (await store.get('records', text('new')))?.value.length === big.length,
  (await store.get('records', text('fill 0'))) !== undefined].join(' '))
await shards.close()
await store.close()
`

const FILE_LIMIT = `${SETUP}
const { store, shards } = await openAll(0)
await store.write([row('kept', text('kept'))])
say((await fillRows(store)).code)
say(readText((await store.get('records', text('kept')))?.value))
say(await codeOf(store.write([row('new', big)])))
say(await codeOf(putShard(shards, new Uint8Array(2 ** 20).fill(3))))
say(readText((await store.get('records', text('kept')))?.value))
await store.close()
`

function canMount(command: readonly string[]): boolean {
  const probe = mkdtempSync(join(tmpdir(), 'espalier-probe-'))
  const [file = '', ...words] = command
  const { status } = spawnSync(file, [...words, 'sh', '-c', MOUNT, probe, 'true'])
  rmSync(probe, { recursive: true })
  return status === 0
}
