import { createHash, randomBytes } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { DemoNetwork } from '../../ts/cli/demo/demo-network.ts'
import { runCli, type Ending } from './support/child.ts'
import { loadDemoNetwork } from './support/dist.ts'

let directory = ''
let network: DemoNetwork

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'espalier-cli-'))
  const { DemoNetwork } = await loadDemoNetwork()
  network = await DemoNetwork.create({ size: 3 })
  await network.start({ signal: new AbortController().signal, onStarted: () => undefined })
})

afterAll(async () => {
  await network.end()
  rmSync(directory, { recursive: true, force: true })
})

describe('putting and getting', () => {
  test('a file that was put is got byte for byte', async () => {
    const bytes = randomBytes(1_000_001)
    const file = join(directory, 'file')
    const copy = join(directory, 'copy')
    writeFileSync(file, bytes)

    const put = await client('put', [file])
    const ref = String(fact(put, 'stored')['ref'])
    const get = await client('get', [ref, '-o', copy])

    expect(fact(put, 'stored')).toMatchObject({
      sizeBytes: 1_000_001,
      layout: { dataShards: 2, parityShards: 1 },
    })
    expect(get.code).toBe(0)
    expect(sha256(readFileSync(copy))).toBe(sha256(bytes))
  })

  test('what comes on standard input is stored, and small text comes out as it went in', async () => {
    const put = await client('put', ['-'], { input: 'an apple tree\n' })
    const ref = String(fact(put, 'stored')['ref'])

    const get = await runCli(['get', ref, ...flags('client')])

    expect(get, get.stderr).toMatchObject({ code: 0, stdout: 'an apple tree\n' })
  })

  test('a damaged reference is wrong use, and no file appears', async () => {
    const copy = join(directory, 'never')
    for (const ref of ['espalier:nonsense', '', 'x'.repeat(10_000)]) {
      const get = await client('get', [ref, '-o', copy])

      expect(get.code).toBe(2)
      expect(fact(get, 'error')).toMatchObject({ code: 'INVALID_ARGUMENT' })
    }
    expect(existsSync(copy)).toBe(false)
  })

  test('a network that does not answer is a failure with its code', async () => {
    const get = await runCli([
      'peers',
      '--json',
      '-b',
      '127.0.0.1:9',
      '--data',
      join(directory, 'lost'),
      '--allow-private',
    ])

    expect(get.code).toBe(1)
    expect(fact(get, 'error')).toMatchObject({ code: 'PEER_UNREACHABLE' })
  })
})

describe('looking around', () => {
  test('peers lists every node of the network', async () => {
    const peers = await client('peers', [])

    const ids = peers.facts.filter((each) => each['event'] === 'peer').map((each) => each['id'])
    expect(new Set(ids)).toEqual(new Set(network.nodes.map((node) => node.id)))
  })

  test('help is there for every command, and a mistyped one gets the nearest', async () => {
    const overview = await runCli(['--help'])
    for (const name of ['node', 'put', 'get', 'peers', 'key', 'demo', 'bench']) {
      expect(overview.stdout).toContain(name)
      const help = await runCli([name, '--help'])
      expect(help, name).toMatchObject({ code: 0, stderr: '' })
      expect(help.stdout).toContain('Examples:')
    }
    const mistyped = await runCli(['peer'])
    expect(mistyped.code).toBe(2)
    expect(mistyped.stderr).toContain('peers')
    const flag = await runCli(['put', 'x', '--bootstap', 'y'])
    expect(flag.code).toBe(2)
    expect(flag.stderr).toContain('--bootstrap')
  }, 60_000)
})

describe('keys', () => {
  test('a key is made once, exported as words, imported elsewhere, and protected', async () => {
    const [first, second] = [join(directory, 'key-1'), join(directory, 'key-2')]
    const secret = join(directory, 'passphrase')
    const wrong = join(directory, 'wrong-passphrase')
    const words = join(directory, 'words')
    writeFileSync(secret, 'correct horse\n')
    writeFileSync(wrong, 'battery staple\n')

    const id = String(fact(await key('create', first), 'created')['id'])
    const again = await key('create', first)
    const exported = fact(await key('export', first), 'exported')
    writeFileSync(words, String(exported['words']))
    const imported = await key('import', second, ['--words', words, '--passphrase-file', secret])
    const locked = await key('show', second)
    const misread = await key('show', second, ['--passphrase-file', wrong])
    const shown = await key('show', second, ['--passphrase-file', secret])
    const removed = await key('passphrase', second, ['--passphrase-file', secret])
    const open = await key('show', second)

    expect(again.code).not.toBe(0)
    expect(statSync(join(first, 'identity.key')).mode & 0o777).toBe(0o600)
    expect(String(exported['words']).split(' ')).toHaveLength(24)
    expect(fact(imported, 'imported')).toMatchObject({ id })
    for (const refused of [locked, misread])
      expect(fact(refused, 'error')).toMatchObject({ code: 'KEY_INVALID' })
    expect(fact(shown, 'identity')).toMatchObject({ id, protected: true })
    expect(removed.code, removed.stderr).toBe(0)
    expect(fact(open, 'identity')).toMatchObject({ id, protected: false })
  }, 60_000)
})

describe('a daemon', () => {
  test('stops by itself on SIGTERM, starts again on its directory, and has told its status', async () => {
    const node = network.nodes[2]!
    process.kill(node.pid!, 'SIGTERM')
    await expect.poll(() => node.alive, { timeout: 10_000 }).toBe(false)
    await node.start({ bootstrap: [network.anyAlive()!.peer] })

    expect(node.memoryPeakBytes).toBeGreaterThan(10_000_000)
  })
})

function flags(name: string): string[] {
  return ['-b', network.anyAlive()!.peer, '--allow-private', '--data', join(directory, name)]
}

function client(
  command: string,
  words: readonly string[],
  options: Parameters<typeof runCli>[1] = {},
): Promise<Ending> {
  return runCli([command, ...words, '--json', ...flags('client')], options)
}

function key(action: string, data: string, words: readonly string[] = []): Promise<Ending> {
  return runCli(['key', action, '--data', data, '--json', ...words])
}

function fact(ending: Ending, event: string): Readonly<Record<string, unknown>> {
  const found = ending.facts.filter((each) => each['event'] === event)
  expect(found, ending.stderr).toHaveLength(1)
  return found[0]!
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
