import { createHash, randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { DemoNetwork } from '../../ts/cli/demo/demo-network.ts'
import type { EspalierNode } from '../../ts/index.ts'
import { isErrorCode } from '../../ts/base/error.ts'
import { loadDemoNetwork, loadIndex } from './support/dist.ts'
import { LiveCommand } from './support/live.ts'
import { expectDone, freePort, only, runOn } from './support/program.ts'
import { expectPortFree } from './support/udp.ts'

/** Peers give a connection up when nothing has come for thirty seconds. */
const STOPPED_MS = 36_000
const MIB = 1_048_576

let directory = ''
let count = 0

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'espalier-processes-'))
})

afterAll(() => {
  rmSync(directory, { recursive: true, force: true })
})

// A worker of either kind: a node that does what its parent says, and ends by itself when the parent lets go of it.
const WORKER = `
const workOn = (process, dir, options) => {
  const own = node({ dataDir: dir, ...options })
  const calls = {
    start: async () => { await own.start(); return { port: own.addresses[0].port, id: own.id } },
    put: async (text) => (await own.objects.put(Buffer.from(text))).ref,
    get: async (ref) => Buffer.from(await own.objects.getBytes(ref)).toString(),
  }
  process.on('message', async ({ call, argument }) => {
    try { process.send({ answer: await calls[call](argument) }) } catch (error) {
      process.send({ code: error instanceof EspalierError ? error.code : 'not typed: ' + error })
    }
  })
  process.once('disconnect', () => void own.stop())
  // What is sent before somebody listens is lost.
  process.send('ready')
}
const ready = (worker) => new Promise((resolve) => worker.once('message', resolve))
const tell = (worker, call, argument) => new Promise((resolve, reject) => {
  worker.once('message', resolve)
  worker.once('exit', (code, signal) => reject(new Error('the worker ended: ' + (signal ?? code))))
  worker.send({ call, argument })
})
const gone = (child) => new Promise((resolve) => child.once('exit', (code, signal) => resolve(signal ?? code)))
const isGone = (pid) => { try { process.kill(pid, 0); return false } catch { return true } }
`

describe('nodes in processes of one program', () => {
  test('forked children find each other, one that was killed is replaced, and all end when the parent lets go', async () => {
    const ending = await run(`
      import { fork } from 'node:child_process'
      import { fileURLToPath } from 'node:url'
      ${WORKER}
      if (args[0] === 'child') workOn(process, dataDir, JSON.parse(args[1]))
      else {
        const start = async (name, options = {}) => {
          const words = [dataDir + '-' + name, 'child', JSON.stringify(options)]
          const child = fork(fileURLToPath(import.meta.url), words)
          await ready(child)
          const { answer } = await tell(child, 'start')
          return { child, ...answer }
        }
        const first = await start('first')
        const bootstrap = ['127.0.0.1:' + first.port]
        const second = await start('second', { bootstrap })
        const third = await start('third', { bootstrap })
        const { answer: ref } = await tell(second.child, 'put', 'from the second')
        const read = await tell(third.child, 'get', ref)

        const killed = gone(third.child)
        third.child.kill('SIGKILL')
        const signal = await killed
        const again = await start('third', { bootstrap, port: third.port })
        const readAgain = await tell(again.child, 'get', ref)

        const children = [first, second, again].map(({ child }) => child)
        const codes = Promise.all(children.map(gone))
        for (const child of children) child.disconnect()
        say({ read, signal, isSame: again.id === third.id, readAgain, codes: await codes,
          ports: [first, second, third].map(({ port }) => port), areGone: children.every(({ pid }) => isGone(pid)) })
      }
    `)

    expectDone(ending)
    const { ports, ...facts } = only(ending)
    expect(facts).toEqual({
      read: { answer: 'from the second' },
      signal: 'SIGKILL',
      isSame: true,
      readAgain: { answer: 'from the second' },
      codes: [0, 0, 0],
      areGone: true,
    })
    for (const port of ports as number[]) await expectPortFree(port)
  }, 120_000)

  test('workers of a cluster share neither a port nor a directory, and work beside each other', async () => {
    const port = await freePort()
    const ending = await run(
      `
      import cluster from 'node:cluster'
      ${WORKER}
      if (cluster.isWorker) workOn(process, process.env.NODE_DIR, JSON.parse(process.env.NODE_OPTIONS_OF))
      else {
        const start = async (name, options) => {
          const worker = cluster.fork({ NODE_DIR: dataDir + '-' + name, NODE_OPTIONS_OF: JSON.stringify(options) })
          await ready(worker)
          return { worker, said: await tell(worker, 'start') }
        }
        const port = Number(args[0])
        const first = await start('first', { port })
        const samePort = await start('other', { port })
        const sameDirectory = await start('first', {})
        const second = await start('second', { bootstrap: ['127.0.0.1:' + port] })
        const { answer: ref } = await tell(second.worker, 'put', 'from a worker')
        const read = await tell(first.worker, 'get', ref)

        const workers = Object.values(cluster.workers)
        const codes = Promise.all(workers.map(gone))
        cluster.disconnect()
        say({ samePort: samePort.said, sameDirectory: sameDirectory.said, read, codes: await codes,
          areGone: workers.every(({ process: { pid } }) => isGone(pid)) })
      }
    `,
      [String(port)],
    )

    expectDone(ending)
    expect(only(ending)).toEqual({
      samePort: { code: 'INVALID_ARGUMENT' },
      sameDirectory: { code: 'STORAGE_BUSY' },
      read: { answer: 'from a worker' },
      codes: [0, 0, 0, 0],
      areGone: true,
    })
    await expectPortFree(port)
  }, 120_000)
})

describe('processes that stand still for longer than their peers wait', () => {
  let network: DemoNetwork
  let client: EspalierNode

  beforeAll(async () => {
    const { DemoNetwork } = await loadDemoNetwork()
    network = await DemoNetwork.create({ size: 3 })
    await network.start({ signal: new AbortController().signal, onStarted: () => undefined })
    const { createNode } = await loadIndex()
    client = createNode({
      dataDir: join(directory, 'client'),
      mode: 'clientOnly',
      hosts: ['127.0.0.1'],
      allowPrivate: true,
      bootstrap: [network.nodes[0]!.peer],
    })
    await client.start()
  }, 120_000)

  afterAll(async () => {
    await client.stop()
    await network.end()
  })

  test('a holder is missed, then found again; a client goes on where it stood, or says why not', async () => {
    const holder = network.nodes[2]!
    const bytes = randomBytes(300_000)
    const { ref, holders } = await client.objects.put(bytes)
    expect(holders.map(({ nodeId }) => nodeId)).toContain(holder.id)
    const put = new LiveCommand(['put', '-', '-b', network.nodes[0]!.peer, ...ofClient('standing')], {
      timeoutMs: 180_000,
    })
    await put.feed(randomBytes(24 * MIB))

    expect(isConnectedTo(holder.id)()).toBe(true)
    put.kill('SIGSTOP')
    process.kill(holder.pid!, 'SIGSTOP')
    const missed = Promise.all([
      expect.poll(isConnectedTo(holder.id), { timeout: STOPPED_MS + 20_000, interval: 200 }).toBe(false),
      new Promise((resolve) => setTimeout(resolve, STOPPED_MS)),
    ])
    // Two of three shards are enough to read.
    expect(sha256(await client.objects.getBytes(ref))).toBe(sha256(bytes))
    const during = await codeOf(client.objects.put(randomBytes(300_000)))
    await missed
    process.kill(holder.pid!, 'SIGCONT')
    put.kill('SIGCONT')

    expect(during === undefined || isErrorCode(during), during).toBe(true)
    await put.feed(randomBytes(4 * MIB))
    put.endInput()
    const ending = await put.ended
    const code = ending.facts.find((fact) => fact['event'] === 'error')?.['code']
    expect(ending.signal).toBeNull()
    expect(ending.code === 0 || isErrorCode(String(code)), ending.stderr).toBe(true)
    await expect.poll(() => holdersOfNext(), { timeout: 60_000, interval: 500 }).toContain(holder.id)
    expect(sha256(await client.objects.getBytes(ref))).toBe(sha256(bytes))
    expect(network.nodes.map((node) => node.alive)).toEqual([true, true, true])
    const next = new LiveCommand(['put', '-', '-b', holder.peer, ...ofClient('standing')])
    await next.feed(randomBytes(MIB))
    next.endInput()
    expect(await next.ended).toMatchObject({ code: 0, signal: null })
  }, 300_000)

  function isConnectedTo(id: string): () => boolean {
    return () => client.connections().some(({ peer }) => peer === id)
  }

  /** Where an object goes that is stored now; nowhere while it can't be. */
  async function holdersOfNext(): Promise<readonly string[]> {
    const stored = await client.objects.put(randomBytes(1000)).catch(() => undefined)
    return stored?.holders.map(({ nodeId }) => nodeId) ?? []
  }
})

function run(body: string, args: readonly string[] = []): ReturnType<typeof runOn> {
  count += 1
  return runOn(join(directory, String(count)), body, args)
}

function ofClient(name: string): string[] {
  return ['--allow-private', '--data', join(directory, name)]
}

/** The code that an attempt fails by, and for what is no error of ours its text. */
async function codeOf(attempt: Promise<unknown>): Promise<string | undefined> {
  return attempt.then(
    () => undefined,
    (error: unknown) => (error instanceof Error && 'code' in error ? String(error.code) : String(error)),
  )
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
