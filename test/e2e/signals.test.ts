import { randomBytes } from 'node:crypto'
import type { Socket } from 'node:dgram'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { DemoNetwork } from '../../ts/cli/demo/demo-network.ts'
import { isErrorCode } from '../../ts/base/error.ts'
import { loadDemoNetwork } from './support/dist.ts'
import { LiveCommand, type LiveEnding } from './support/live.ts'
import { freePort } from './support/program.ts'
import { expectPortFree, holdPort } from './support/udp.ts'

/** What ends `espalier` in an orderly way: Ctrl-C, a service manager, a terminal that closes. */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
const MIB = 1_048_576

let directory = ''
let count = 0

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'espalier-signals-'))
})

afterAll(() => {
  rmSync(directory, { recursive: true, force: true })
})

describe('in the midst of a handshake', () => {
  test.each(SIGNALS)('%s ends both sides, and their ports and directories are free', async (signal) => {
    const called = { data: place(), port: await freePort() }
    const calling = { data: place(), port: await freePort() }
    const between = await holdPort(0)
    const server = new LiveCommand(nodeOn(called))
    await server.fact('listening')
    const answered = halfWay(between, called.port)
    const client = new LiveCommand(nodeOn(calling, [`127.0.0.1:${between.address().port}`]))

    // The server has sent its flight, the client will never see it.
    await answered
    client.kill(signal)
    server.kill(signal)

    const [gaveUp, stopped] = await Promise.all([client.ended, server.ended])
    between.close()
    expect(gaveUp, gaveUp.stderr).toMatchObject({ code: 130, signal: null })
    expect(codeOf(gaveUp)).toBe('ABORTED')
    expect(stopped, stopped.stderr).toMatchObject({ code: 0, signal: null })
    expect(stopped.facts.at(-1)).toEqual({ event: 'stopped' })
    for (const each of [called, calling]) await expectReusable(each)
  })
})

describe('in the midst of a transfer', () => {
  let network: DemoNetwork

  beforeAll(async () => {
    const { DemoNetwork } = await loadDemoNetwork()
    network = await DemoNetwork.create({ size: 3 })
    await network.start({ signal: new AbortController().signal, onStarted: () => undefined })
  })

  afterAll(() => network.end())

  test.each(SIGNALS)('%s ends a put by ABORTED, and the next one works', async (signal) => {
    const data = place()
    const put = await transferUnderWay(data)

    put.kill(signal)

    const ending = await put.ended
    expect(ending, ending.stderr).toMatchObject({ code: 130, signal: null })
    expect(codeOf(ending)).toBe('ABORTED')
    expect(network.nodes.map((node) => node.alive)).toEqual([true, true, true])
    const next = new LiveCommand(putOn(data))
    await next.feed(randomBytes(MIB))
    next.endInput()
    expect(await next.ended).toMatchObject({ code: 0, signal: null })
  })

  test.each(SIGNALS)('a holder leaves by %s, and the put ends well or by a code', async (signal) => {
    const holder = network.nodes[2]!
    const put = await transferUnderWay(place())

    process.kill(holder.pid!, signal)
    await expect.poll(() => holder.alive, { timeout: 20_000 }).toBe(false)
    await put.feed(randomBytes(4 * MIB))
    put.endInput()

    const ending = await put.ended
    expect(ending.signal).toBeNull()
    if (ending.code !== 0) expect(isErrorCode(String(codeOf(ending))), String(codeOf(ending))).toBe(true)
    // On its port and its directory.
    await holder.start({ bootstrap: [network.anyAlive()!.peer] })
  })

  /** A put that has taken more than it keeps in memory, and waits for more. */
  async function transferUnderWay(data: string): Promise<LiveCommand> {
    const put = new LiveCommand(putOn(data))
    await put.feed(randomBytes(24 * MIB))
    return put
  }

  function putOn(data: string): string[] {
    return ['put', '-', '-b', network.nodes[0]!.peer, '--allow-private', '--data', data]
  }
})

interface Place {
  readonly data: string
  readonly port: number
}

function place(): string {
  count += 1
  return join(directory, String(count))
}

function nodeOn({ data, port }: Place, bootstrap: readonly string[] = []): string[] {
  return [
    ...['node', '--no-metrics', '--allow-private', '--host', '127.0.0.1'],
    ...['--port', String(port), '--data', data],
    ...bootstrap.flatMap((peer) => ['--bootstrap', peer]),
  ]
}

/** Takes what a client sends on to the server, and keeps what the server answers; resolves with the first answer. */
function halfWay(between: Socket, serverPort: number): Promise<void> {
  return new Promise((resolve) => {
    between.on('message', (packet, { port }) => {
      if (port === serverPort) resolve()
      else between.send(packet, serverPort, '127.0.0.1')
    })
  })
}

/** A lock or a port that somebody still has would keep the node from starting. */
async function expectReusable(where: Place): Promise<void> {
  await expectPortFree(where.port)
  const again = new LiveCommand(nodeOn(where))
  await again.fact('listening')
  again.kill('SIGTERM')
  expect(await again.ended).toMatchObject({ code: 0, signal: null })
}

function codeOf({ facts }: LiveEnding): unknown {
  return facts.find((fact) => fact['event'] === 'error')?.['code']
}
