import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Ending } from './support/child.ts'
import { expectDone, only, runOn } from './support/program.ts'
import { holdPort } from './support/udp.ts'

let directory = ''
let count = 0

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'espalier-data-directory-'))
})

afterAll(() => {
  rmSync(directory, { recursive: true, force: true })
})

describe('the directory of a node', () => {
  test('two nodes on one directory: the second is STORAGE_BUSY, the first goes on, and a kill frees it', async () => {
    const ending = await run(`
      import { spawn } from 'node:child_process'
      import { once } from 'node:events'
      if (args[0] === 'hold') {
        const holder = node()
        await holder.start()
        say({ id: holder.id })
      } else {
        const holder = spawn(process.execPath, [process.argv[1], dataDir, 'hold'], { stdio: ['ignore', 'pipe', 'inherit'] })
        const [line] = await once(holder.stdout, 'data')
        const { id } = JSON.parse(line)
        const busy = await codeOf(() => node().start())
        holder.kill('SIGKILL')
        await once(holder, 'exit')
        const next = node()
        await next.start()
        const within = await codeOf(() => node().start())
        say({ busy, within, sameId: next.id === id, alive: next.status().connections })
        await next.stop()
      }
    `)

    expectDone(ending)
    expect(only(ending)).toEqual({ busy: 'STORAGE_BUSY', within: 'STORAGE_BUSY', sameId: true, alive: 0 })
  })

  test('an occupied port is INVALID_ARGUMENT, and the directory is free again', async () => {
    const socket = await holdPort(0)
    const ending = await run(
      `
      const refused = await codeOf(() => node({ port: Number(args[0]) }).start())
      const next = node()
      await next.start()
      say({ refused })
      await next.stop()
    `,
      [String(socket.address().port)],
    )
    socket.close()

    expectDone(ending)
    expect(only(ending)).toEqual({ refused: 'INVALID_ARGUMENT' })
  })

  test('a directory that cannot be read or made is INVALID_ARGUMENT', async () => {
    const file = join(directory, 'a-file')
    writeFileSync(file, 'not a directory')
    const closed = join(directory, 'closed')
    mkdirSync(closed, { mode: 0o700 })
    const ending = await run(
      `
      import { chmodSync } from 'node:fs'
      import { hash } from 'espalier/crypto'
      hash(new Uint8Array(1)) // loads the addon while this user may read it
      const [file, closed] = args
      // Root may read everything, so it becomes nobody; others take the right from themselves.
      if (process.getuid() === 0) process.seteuid(65534)
      else chmodSync(closed, 0)
      say({
        file: await codeOf(() => node({ dataDir: file }).start()),
        below: await codeOf(() => node({ dataDir: file + '/below' }).start()),
        closed: await codeOf(() => node({ dataDir: closed }).start()),
        proc: await codeOf(() => node({ dataDir: '/proc/espalier' }).start()),
      })
    `,
      [file, closed],
    )

    expectDone(ending)
    expect(only(ending)).toEqual({
      file: 'INVALID_ARGUMENT',
      below: 'INVALID_ARGUMENT',
      closed: 'INVALID_ARGUMENT',
      proc: 'INVALID_ARGUMENT',
    })
    expect(readFileSync(file, 'utf8')).toBe('not a directory')
    expect(readdirSync(closed)).toEqual([])
  })

  test('a damaged key file is KEY_INVALID and stays as it is', async () => {
    const ending = await run(`
      import { readFileSync, writeFileSync } from 'node:fs'
      const first = node()
      await first.start()
      const id = first.id
      await first.stop()
      const path = dataDir + '/identity.key'
      const good = readFileSync(path)
      const flipped = (at) => { const copy = Buffer.from(good); copy[at] ^= 1; return copy }
      const damaged = [
        ...Array.from({ length: good.length }, (_, at) => flipped(at)).filter((_, at) => at % 7 === 0),
        good.subarray(0, good.length - 1), good.subarray(0, 10), Buffer.alloc(0),
        Buffer.concat([good, Buffer.from([0])]), Buffer.alloc(1_000_000),
      ]
      const codes = new Set()
      let untouched = true
      for (const bytes of damaged) {
        writeFileSync(path, bytes)
        codes.add(await codeOf(() => node().start()))
        untouched &&= readFileSync(path).equals(bytes)
      }
      writeFileSync(path, good)
      const last = node()
      await last.start()
      say({ tried: damaged.length, codes: [...codes], untouched, sameId: last.id === id })
      await last.stop()
    `)

    expectDone(ending)
    expect(only(ending)).toMatchObject({ codes: ['KEY_INVALID'], untouched: true, sameId: true })
    expect(only(ending)['tried']).toBeGreaterThan(10)
  })

  test('a wrong passphrase is KEY_INVALID, the file stays, and the right one gives the same identity', async () => {
    const ending = await run(`
      import { readFileSync } from 'node:fs'
      const first = node({ passphrase: 'correct horse' })
      await first.start()
      const id = first.id
      await first.stop()
      const before = readFileSync(dataDir + '/identity.key')
      const wrong = await codeOf(() => node({ passphrase: 'battery staple' }).start())
      const missing = await codeOf(() => node().start())
      const untouched = readFileSync(dataDir + '/identity.key').equals(before)
      const right = node({ passphrase: 'correct horse' })
      await right.start()
      say({ wrong, missing, untouched, sameId: right.id === id })
      await right.stop()
    `)

    expectDone(ending)
    expect(only(ending)).toEqual({
      wrong: 'KEY_INVALID',
      missing: 'KEY_INVALID',
      untouched: true,
      sameId: true,
    })
  })

  test('a damaged database is STORAGE_CORRUPT and stays as it is', async () => {
    const ending = await run(`
      import { readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs'
      const first = node()
      await first.start()
      await first.put('name', new Uint8Array([1, 2, 3]))
      await first.stop()
      const name = readdirSync(dataDir).find((each) => /\\.(db|sqlite3?)$/.test(each))
      const path = dataDir + '/' + name
      const good = readFileSync(path)
      const noise = Buffer.from(good).fill(0xa5, 0, 100)
      const torn = good.subarray(0, good.length / 2)
      const newer = Buffer.from(good)
      newer.writeUInt32BE(99, 60) // user_version in SQLite's header
      const page = Buffer.from(good).fill(0xa5, 4096, Math.min(good.length, 4096 * 3))
      const found = {}
      for (const [what, bytes] of Object.entries({ noise, torn, page, newer, text: Buffer.from('no database') })) {
        writeFileSync(path, bytes)
        found[what] = [await codeOf(() => node().start()), readFileSync(path).equals(bytes)]
      }
      writeFileSync(path, good)
      const last = node()
      await last.start()
      const value = await last.get('name')
      say({ ...found, value: [...value.value] })
      await last.stop()
    `)

    expectDone(ending)
    expect(only(ending)).toEqual({
      noise: ['STORAGE_CORRUPT', true],
      torn: ['STORAGE_CORRUPT', true],
      page: ['STORAGE_CORRUPT', true],
      newer: ['UNSUPPORTED', true],
      text: ['STORAGE_CORRUPT', true],
      value: [1, 2, 3],
    })
  })
})

describe('the quota', () => {
  test('an object over it is refused, what was stored before stays readable, and nothing exceeds it', async () => {
    const ending = await run(`
      import { localNetwork } from 'espalier/testing'
      const quotaBytes = 200_000
      const network = await localNetwork(3, { node: { quotaBytes } })
      const client = node({ mode: 'clientOnly', bootstrap: [network.bootstrap] })
      await client.start()
      const small = new Uint8Array(100_000).map((_, at) => at * 31)
      const { ref } = await client.objects.put(small)
      const failure = await client.objects.put(new Uint8Array(2_000_000)).catch((error) => error)
      const used = network.nodes.map((each) => each.status().usedBytes)
      const read = await client.objects.getBytes(ref)
      say({ code: failure.code, why: failure.cause?.code, within: used.every((bytes) => bytes <= quotaBytes), some: Math.max(...used) > 0,
        equal: Buffer.compare(read, small) === 0, quota: network.nodes[0].status().quotaBytes })
      await client.stop()
      await network.stop()
    `)

    expectDone(ending)
    expect(only(ending)).toEqual({
      code: 'QUORUM_FAILED',
      why: 'STORAGE_FULL',
      within: true,
      some: true,
      equal: true,
      quota: 200_000,
    })
  })
})

/** Runs a program on a data directory of its own. */
function run(body: string, args: readonly string[] = []): Promise<Ending> {
  count += 1
  return runOn(join(directory, `data-${count}`), body, args)
}
