import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const addonPath = fileURLToPath(new URL('../../../build/Release/espalier.node', import.meta.url))
const isLong = process.env['ESPALIER_LONG'] === '1'

/** Uses the bare addon, because a worker thread of Node 20 runs no TypeScript. */
const PRELUDE = `
  const { Worker, isMainThread } = require('node:worker_threads')
  const addon = require(${JSON.stringify(addonPath)})
  const key = new Uint8Array(32), plaintext = new Uint8Array(1 << 20)
  let job = 0
  const start = () => addon.encodeSegment(++job, key, job, plaintext, 8, 4)
  function busy(onDone) {
    const records = new Uint8Array(16 * 64)
    addon.queueAttach(() => {
      for (let count; (count = addon.queueDrain(records)) > 0; ) {
        for (let at = 0; at < count; at += 1) {
          const [, id, size] = new Uint32Array(records.buffer, at * 16, 3)
          addon.queueTake(id, new Uint8Array(size))
          onDone()
        }
      }
    })
    addon.queueHold(true)
    for (let index = 0; index < 32; index += 1) start()
  }`

test('a worker that is terminated with jobs in flight never takes the process down', async () => {
  const rounds = isLong ? 200 : 25
  const ended = await run(`${PRELUDE}
    const source = ${JSON.stringify(`${PRELUDE}; busy(start); addon.signingKeyGenerate(new Uint8Array(1952))`)}
    ;(async () => {
      for (let round = 0; round < ${rounds}; round += 1) {
        const workers = [new Worker(source, { eval: true }), new Worker(source, { eval: true })]
        await new Promise((resolve) => setTimeout(resolve, round % 5 * 10))
        await Promise.all(workers.map((worker) => worker.terminate()))
      }
      console.log('done')
    })()`)

  expect(ended).toEqual({ code: 0, signal: null, output: 'done\n' })
}, 600_000)

test('process.exit with jobs in flight ends with its code', async () => {
  for (let round = 0; round < (isLong ? 50 : 5); round += 1) {
    const ended = await run(`${PRELUDE}; busy(start); setTimeout(() => process.exit(7), ${round * 5})`)
    expect(ended).toEqual({ code: 7, signal: null, output: '' })
  }
}, 600_000)

test('a process waits for its jobs, and ends by itself when they are done', async () => {
  const ended = await run(`${PRELUDE}
    let done = 0
    busy(() => { if (++done === 32) { addon.queueHold(false); console.log('all done') } })`)

  expect(ended).toEqual({ code: 0, signal: null, output: 'all done\n' })
})

test('a process that only loaded the addon ends at once', async () => {
  expect(await run(`${PRELUDE}; addon.queueAttach(() => {})`)).toEqual({ code: 0, signal: null, output: '' })
})

async function run(program: string): Promise<{ code: number | null; signal: string | null; output: string }> {
  const child = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text))
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null]
  return { code, signal, output }
}
