import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { runProgram } from './support/child.ts'
import { runtime, RUNTIMES, type Runtime } from './support/runtime.ts'

const LONG = process.env['ESPALIER_LONG'] === '1'
/** Of each kind on each Node. */
const ROUNDS = LONG ? 200 : 25
/** Workers that one process starts and terminates, one after another; a round is one worker. */
const WORKERS = 5
/** Programs that exit at the same time: mostly they wait for their own random moment. */
const TOGETHER = 5

// Two nodes that keep handshakes, requests, streams, hashes and disk writes under way.
const BUSY = `
import { createNode } from 'espalier'
const busy = async (directory) => {
  const node = (name, options = {}) =>
    createNode({ dataDir: directory + '/' + name, hosts: ['127.0.0.1'], allowPrivate: true, ...options })
  const first = node('first')
  await first.start()
  const second = node('second', { bootstrap: ['127.0.0.1:' + first.addresses[0].port] })
  await second.start()
  const write = async () => {
    for (;;) {
      const { ref } = await second.objects.put(new Uint8Array(200_000).fill(Math.random() * 256))
      await first.objects.getBytes(ref)
      await second.put('name', new Uint8Array(32))
    }
  }
  for (let loop = 0; loop < 4; loop += 1) void write()
}
`

const WORKER_PROGRAM = `
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads'
${BUSY}
const [directory, rounds] = process.argv.slice(2)
if (isMainThread) {
  for (let round = 0; round < Number(rounds); round += 1) {
    const worker = new Worker(new URL(import.meta.url), { workerData: directory + '/' + round })
    // A third of the rounds end while the nodes start, the others in the midst of their work.
    if (round % 3 > 0) await new Promise((resolve) => worker.once('message', resolve))
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 250))
    await worker.terminate()
  }
  process.stdout.write('{"done":true}\\n')
} else {
  await busy(workerData)
  parentPort.postMessage('busy')
}
`

const EXIT_PROGRAM = `
${BUSY}
const [directory, mode] = process.argv.slice(2)
const leave = () => {
  process.stdout.write('{"leaving":true}\\n')
  process.exit(7)
}
if (mode === 'early') setTimeout(leave, Math.random() * 150)
await busy(directory)
if (mode !== 'early') setTimeout(leave, Math.random() * 250)
`

let directory = ''

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'espalier-endings-'))
})

afterAll(() => {
  rmSync(directory, { recursive: true, force: true })
})

describe.each(RUNTIMES)('on %s', (which) => {
  let using: Runtime

  beforeAll(() => {
    using = runtime(which)
  }, 300_000)

  test(
    `terminating a worker that holds busy nodes, ${ROUNDS} times, never ends in a signal`,
    async () => {
      for (let round = 0; round < ROUNDS; round += WORKERS) {
        const place = join(directory, `${which}-workers-${round}`)
        const ending = await runProgram(WORKER_PROGRAM, {
          args: [place, String(WORKERS)],
          ...using,
          timeoutMs: 120_000,
        })

        expect(ending, ending.stderr).toMatchObject({ code: 0, signal: null, facts: [{ done: true }] })
        expect(ending.sinceLastLineMs).toBeLessThan(2000)
        rmSync(place, { recursive: true, force: true })
      }
    },
    ROUNDS * 10_000,
  )

  test(
    `process.exit() in mid-flight, ${ROUNDS} times, ends with its code and never in a signal`,
    async () => {
      const exit = async (round: number): Promise<void> => {
        const place = join(directory, `${which}-exit-${round}`)
        const ending = await runProgram(EXIT_PROGRAM, {
          args: [place, round % 3 === 0 ? 'early' : 'busy'],
          ...using,
        })

        expect(ending, ending.stderr).toMatchObject({ code: 7, signal: null, facts: [{ leaving: true }] })
        expect(ending.sinceLastLineMs).toBeLessThan(2000)
        rmSync(place, { recursive: true, force: true })
      }
      for (let round = 0; round < ROUNDS; round += TOGETHER) {
        await Promise.all(Array.from({ length: TOGETHER }, (_, index) => exit(round + index)))
      }
    },
    ROUNDS * 10_000,
  )
})
