import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { runCli } from './support/child.ts'
import { MAIN } from './support/dist.ts'

let directory = ''
const daemons: ChildProcess[] = []

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'espalier-daemon-'))
})

afterEach(async () => {
  for (const daemon of daemons.splice(0)) {
    const ended = once(daemon, 'exit')
    daemon.kill('SIGTERM')
    await ended
  }
  rmSync(directory, { recursive: true })
})

describe('espalier node', () => {
  test('serves metrics, health and readiness on loopback without being asked', async () => {
    const { metrics = '' } = await start([])

    expect(metrics).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/metrics$/)
    expect(await (await fetch(metrics)).text()).toContain('\nespalier_stored_records 0\n')
    expect((await fetch(metrics.replace('metrics', 'health'))).status).toBe(200)
    expect((await fetch(metrics.replace('metrics', 'ready'))).status).toBe(200)
  })

  test('a second one takes another port', async () => {
    const [first, second] = [await start([]), await start([])]

    expect(first.metrics).toBeDefined()
    expect(second.metrics).toBeDefined()
    expect(second.metrics).not.toBe(first.metrics)
  })

  test('insists on a port that it is told, and serves none when it is told so', async () => {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    const port = typeof address === 'object' && address !== null ? address.port : 0

    const words = ['node', '--data', join(directory, 'taken'), '--port', '0', '--host', '127.0.0.1']
    const ending = await runCli([...words, '--metrics-port', String(port)])
    server.close()

    expect(ending).toMatchObject({ code: 2 })
    expect(ending.stderr).toContain(`port ${port}`)
    expect((await start(['--no-metrics'])).metrics).toBeUndefined()
    expect(await runCli([...words, '--no-metrics', '--metrics-port', '0'])).toMatchObject({ code: 2 })
  })
})

/** What a daemon says when it listens. */
async function start(flags: readonly string[]): Promise<{ readonly metrics?: string }> {
  const data = join(directory, String(daemons.length))
  const words = ['node', '--json', '--data', data, '--port', '0', '--host', '127.0.0.1', ...flags]
  const daemon = spawn(process.execPath, [MAIN, ...words], { stdio: ['ignore', 'pipe', 'inherit'] })
  daemons.push(daemon)
  for await (const line of createInterface({ input: daemon.stdout })) {
    const fact = JSON.parse(line) as { readonly event: string; readonly metrics?: string }
    if (fact.event === 'listening') {
      daemon.stdout.resume()
      return fact
    }
  }
  throw new Error('the daemon ended')
}
