import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Ending } from './support/child.ts'
import { expectDone, freePort, only, runOn } from './support/program.ts'
import { expectPortFree } from './support/udp.ts'

let directory = ''
let count = 0

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'espalier-lifecycle-'))
})

afterAll(() => {
  rmSync(directory, { recursive: true, force: true })
})

describe('the end of a node', () => {
  test('the process ends by itself within 500 ms after stop, and the port is free', async () => {
    const ending = await run(`
      const first = node()
      await first.start()
      const second = node({ dataDir: dataDir + '-2', bootstrap: ['127.0.0.1:' + first.addresses[0].port] })
      await second.start()
      const { ref } = await second.objects.put(new Uint8Array(300_000).fill(7))
      const read = await first.objects.getBytes(ref)
      const ports = [first, second].map((each) => each.addresses[0].port)
      await Promise.all([second.stop(), first.stop()])
      say({ ports, bytes: read.byteLength })
    `)

    expectDone(ending)
    expect(ending.sinceLastLineMs).toBeLessThan(500)
    const { ports, bytes } = only(ending) as { ports: number[]; bytes: number }
    expect(bytes).toBe(300_000)
    expect(ports).toHaveLength(2)
    for (const port of ports) await expectPortFree(port)
  })

  test('the port is free for the same process as soon as stop has resolved', async () => {
    const ending = await run(`
      const first = node()
      await first.start()
      const { port } = first.addresses[0]
      await first.stop()
      const again = node({ dataDir: dataDir + '-2', port })
      await again.start()
      say({ same: again.addresses[0].port === port })
      await again.stop()
    `)

    expectDone(ending)
    expect(only(ending)).toEqual({ same: true })
  })

  test('a node that is still running keeps its process alive', async () => {
    const ending = await run(`
      await node().start()
      say({ started: true })
      const startedAtMs = performance.now()
      setTimeout(() => { say({ aliveMs: performance.now() - startedAtMs }); process.exit(0) }, 700).unref()
    `)

    expectDone(ending)
    expect(ending.facts).toHaveLength(2)
  })

  test('calls before start are INVALID_STATE, a second start too, and calls after stop are CLOSED', async () => {
    const ending = await run(`
      const one = node()
      const calls = {
        id: () => one.id, addresses: () => one.addresses, objects: () => one.objects, status: () => one.status(),
        connections: () => one.connections(), peers: () => one.peers(),
        put: () => one.put('name', new Uint8Array(1)), get: () => one.get('name'),
      }
      const all = async () => Object.fromEntries(
        await Promise.all(Object.entries(calls).map(async ([name, call]) => [name, await codeOf(async () => call())])),
      )
      const before = await all()
      await one.start()
      const during = await codeOf(() => one.start())
      const { objects, id } = one
      const stopping = [one.stop(), one.stop()]
      await Promise.all(stopping)
      say({ before, during, after: await all(), sameId: one.id === id, restart: await codeOf(() => one.start()),
        kept: await codeOf(() => objects.put(new Uint8Array(1))) })
      await one.stop()
    `)

    expectDone(ending)
    const names = ['id', 'addresses', 'objects', 'status', 'connections', 'peers', 'put', 'get']
    expect(only(ending)).toEqual({
      before: Object.fromEntries(names.map((name) => [name, 'INVALID_STATE'])),
      during: 'INVALID_STATE',
      // The id of a node that has stopped is still its name.
      after: Object.fromEntries(names.filter((name) => name !== 'id').map((name) => [name, 'CLOSED'])),
      sameId: true,
      restart: 'CLOSED',
      kept: 'CLOSED',
    })
  })

  test('a start that is stopped or aborted half-way leaves the directory and the port free', async () => {
    const ending = await run(
      `
      const port = Number(args[0])
      const codes = new Set()
      for (let delayMs = 0; delayMs <= 60; delayMs += 5) {
        const stopped = node({ port })
        setTimeout(() => void stopped.stop(), delayMs)
        codes.add(await codeOf(() => stopped.start()) ?? 'started')
        await stopped.stop()
        const aborted = node({ port })
        codes.add(await codeOf(() => aborted.start({ signal: AbortSignal.timeout(delayMs) })) ?? 'started')
        await aborted.stop()
      }
      const already = await codeOf(() => node({ port }).start({ signal: AbortSignal.abort() }))
      const last = node({ port })
      await last.start()
      await last.stop()
      say({ codes: [...codes].sort(), already })
    `,
      [String(await freePort())],
    )

    expectDone(ending)
    const { codes, already } = only(ending) as { codes: string[]; already: string }
    expect(already).toBe('ABORTED')
    expect(codes).toContain('ABORTED')
    expect(codes.filter((code) => code !== 'ABORTED' && code !== 'started')).toEqual([])
  })
})

describe('a network in one process', () => {
  test('a transfer under way ends with CLOSED when its node stops, and nothing is left behind', async () => {
    const ending = await run(`
      import { existsSync } from 'node:fs'
      import { localNetwork } from 'espalier/testing'
      const network = await localNetwork(3)
      const [first, second] = network.nodes
      const { ref } = await first.objects.put(new Uint8Array(20_000_000))
      async function* endless() { for (;;) yield new Uint8Array(1_000_000) }
      let onMoving
      const moving = new Promise((resolve) => (onMoving = resolve))
      const writing = codeOf(() => second.objects.put(endless(), { onProgress: onMoving }))
      await moving
      const reader = (await second.objects.get(ref))[Symbol.asyncIterator]()
      await reader.next()
      const reading = codeOf(async () => { while (!(await reader.next()).done); })
      await second.stop()
      const codes = [await writing, await reading]
      await network.stop()
      await network.stop()
      say({ codes, left: existsSync(network.directory) })
    `)

    expectDone(ending)
    expect(only(ending)).toEqual({ codes: ['CLOSED', 'CLOSED'], left: false })
  })

  test('a named value is written by compare and set', async () => {
    const ending = await run(`
      import { localNetwork } from 'espalier/testing'
      const network = await localNetwork(3)
      const [first, second] = network.nodes
      const one = await first.put('name', new Uint8Array([1]), { expectSequence: 0 })
      const again = await first.put('name', new Uint8Array([9]), { expectSequence: 0 }).catch((error) => error)
      const two = await first.put('name', new Uint8Array([2]), { expectSequence: one.sequence })
      const seen = await second.get('name', { owner: first.id })
      const tooLong = await codeOf(() => first.put('name', new Uint8Array(257)))
      const longest = await codeOf(() => first.put('long', new Uint8Array(256)))
      say({ code: again.code, current: again.details.sequence === one.sequence, newer: two.sequence > one.sequence,
        seen: [...seen.value], same: seen.sequence === two.sequence, tooLong, longest: longest ?? 'stored',
        nobody: await second.get('name') ?? 'nothing' })
      await network.stop()
    `)

    expectDone(ending)
    expect(only(ending)).toEqual({
      code: 'RECORD_STALE',
      current: true,
      newer: true,
      seen: [2],
      same: true,
      tooLong: 'VALUE_TOO_LARGE',
      longest: 'stored',
      nobody: 'nothing',
    })
  })
})

describe('joining', () => {
  test('a bootstrap node that does not answer is PEER_UNREACHABLE for one that knows no other', async () => {
    const ending = await run(
      `
      const startedAtMs = performance.now()
      const refused = await codeOf(() => node({ bootstrap: ['127.0.0.1:' + args[0]] }).start())
      say({ refused, tookMs: performance.now() - startedAtMs })
    `,
      [String(await freePort())],
    )

    expectDone(ending)
    expect(only(ending)).toMatchObject({ refused: 'PEER_UNREACHABLE' })
    expect(only(ending)['tookMs']).toBeLessThan(20_000)
  })

  test('somebody else at the address is refused', async () => {
    const ending = await run(`
      const first = node()
      await first.start()
      const stranger = node({ dataDir: dataDir + '-2' })
      await stranger.start()
      const id = stranger.id
      await stranger.stop()
      const refused = await codeOf(() =>
        node({ dataDir: dataDir + '-3', bootstrap: [id + '@127.0.0.1:' + first.addresses[0].port] }).start())
      say({ refused })
      await first.stop()
    `)

    expectDone(ending)
    expect(only(ending)).toEqual({ refused: 'PEER_UNREACHABLE' })
  })

  test('a node that comes back finds the others by its saved table', async () => {
    const ending = await run(
      `
      const first = node()
      await first.start()
      const second = node({ dataDir: dataDir + '-2', bootstrap: ['127.0.0.1:' + first.addresses[0].port] })
      await second.start()
      await second.stop()
      const back = node({ dataDir: dataDir + '-2', bootstrap: ['127.0.0.1:' + args[0]] })
      await back.start()
      say({ found: back.peers().some((peer) => peer.id === first.id) })
      await Promise.all([back.stop(), first.stop()])
    `,
      [String(await freePort())],
    )

    expectDone(ending)
    expect(only(ending)).toEqual({ found: true })
  })
})

/** Runs a program on a data directory of its own. */
function run(body: string, args: readonly string[] = []): Promise<Ending> {
  count += 1
  return runOn(join(directory, `data-${count}`), body, args)
}
