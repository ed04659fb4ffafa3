import { execFile, spawn } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))

type Fact = Readonly<Record<string, unknown>> & { readonly event: string }

let directory = ''

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'espalier-demo-test-'))
})

afterAll(() => {
  rmSync(directory, { recursive: true, force: true })
})

describe('espalier demo', () => {
  test.each([0, 1, 9_000_001])(
    'a file of %i bytes survives four kills, is refused after five, and comes back',
    async (size) => {
      const file = join(directory, `file-${size}`)
      writeFileSync(
        file,
        Uint8Array.from({ length: size }, (_, index) => (index * 2_654_435_761) >>> 24),
      )

      const run = await demo([file])

      expect(run.code, run.stderr).toBe(0)
      const stored = only(run.facts, 'stored')
      expect(stored).toMatchObject({ sizeBytes: size, layout: { dataShards: 8, parityShards: 4 } })
      expect(new Set((stored['holders'] as { nodeId: string }[]).map((holder) => holder.nodeId)).size).toBe(
        12,
      )
      expect(only(run.facts, 'handshakes')['kinds']).toMatchObject([
        { keyExchange: 'MLKEM768', signature: 'mldsa65' },
      ])
      expect(only(run.facts, 'refused')).toMatchObject({
        code: 'SHARDS_MISSING',
        details: { found: 7, needed: 8 },
      })
      const reads = run.facts.filter((fact) => fact.event === 'read')
      expect(reads.map((fact) => fact['fileHash'])).toEqual([stored['fileHash'], stored['fileHash']])
      await expectNothingLeft(run)
    },
    240_000,
  )

  test('Ctrl-C in the middle leaves no process, port or directory', async () => {
    const file = join(directory, 'interrupted')
    writeFileSync(file, new Uint8Array(20_000_000))

    const run = await demo([file], { interruptAfter: 'network' })

    expect(run.code).toBe(130)
    await expectNothingLeft(run)
  }, 120_000)

  test('a file that is not there is wrong use, and nothing is started', async () => {
    const run = await demo([join(directory, 'nowhere')])

    expect(run.code).toBe(2)
    expect(run.facts).toMatchObject([{ event: 'error', code: 'INVALID_ARGUMENT' }])
  })
})

interface Run {
  readonly code: number | null
  readonly facts: readonly Fact[]
  readonly stderr: string
  /** A temporary directory of this run alone. */
  readonly temporary: string
}

function demo(words: readonly string[], options: { readonly interruptAfter?: string } = {}): Promise<Run> {
  const temporary = mkdtempSync(join(directory, 'tmp-'))
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [MAIN, 'demo', '--json', ...words], {
      env: { ...process.env, TMPDIR: temporary },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let stdout = ''
    let stderr = ''
    let interrupted = false
    child.stdout.on('data', (chunk: Buffer) => {
      stdout += chunk.toString()
      if (
        options.interruptAfter !== undefined &&
        !interrupted &&
        stdout.includes(`"event":"${options.interruptAfter}"`)
      ) {
        interrupted = true
        child.kill('SIGINT')
      }
    })
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
    child.on('error', reject)
    child.on('close', (code) => {
      const facts = stdout
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as Fact)
      resolve({ code, facts, stderr, temporary })
    })
  })
}

function only(facts: readonly Fact[], event: string): Fact {
  const found = facts.filter((fact) => fact.event === event)
  expect(found.length, `facts named ${event}`).toBe(1)
  return found[0]!
}

async function expectNothingLeft(run: Run): Promise<void> {
  const nodes = only(run.facts, 'network')['nodes'] as { pid: number; port: number }[]
  expect(nodes.length).toBe(14)
  expect(readdirSync(run.temporary)).toEqual([])
  for (const { port } of nodes) await expectPortFree(port)
  expect(await processesNaming(run.temporary)).toEqual([])
}

function expectPortFree(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = createSocket('udp4')
    socket.once('error', reject)
    socket.bind(port, '127.0.0.1', () => socket.close(() => resolve()))
  })
}

/** Processes whose command line names `path`. */
function processesNaming(path: string): Promise<string[]> {
  if (existsSync('/proc/self/cmdline')) {
    return new Promise((resolve, reject) => {
      execFile('ps', ['-eo', 'args'], { maxBuffer: 1 << 24 }, (error, out) => {
        if (error !== null) reject(new Error('ps failed', { cause: error }))
        else resolve(out.split('\n').filter((line) => line.includes(path)))
      })
    })
  }
  return Promise.resolve([])
}
