import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { runCli } from '../e2e/support/child.ts'
import { MAIN } from '../e2e/support/dist.ts'

let directory = ''
const daemons: ChildProcess[] = []

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'espalier-guide-'))
  writeFileSync(join(directory, 'notes.txt'), 'an apple tree\n')
})

afterAll(async () => {
  await Promise.all(daemons.map(end))
  rmSync(directory, { recursive: true, force: true })
})

test('the network that the guide builds keeps a file and gives it back', async () => {
  // The clients of the guide live in the home directory; here that is a temporary one.
  const env = { HOME: directory }
  let ref = ''

  for (const line of commands()) {
    const words = line.split(' ').slice(1)
    if (words[0] === 'node') {
      daemons.push(await startDaemon(words))
      continue
    }
    const ending = await runCli(
      words.map((word) => (word === 'espalier:…' ? ref : word)),
      { cwd: directory, env },
    )
    expect(ending, `${line}\n${ending.stderr}`).toMatchObject({ code: 0 })
    ref = /^espalier:\S+$/m.exec(ending.stdout)?.[0] ?? ref
  }

  expect(daemons).toHaveLength(2)
  expect(readFileSync(join(directory, 'copy.txt'), 'utf8')).toBe('an apple tree\n')
})

/** The lines of the guide's only shell block. */
function commands(): string[] {
  const text = readFileSync(new URL('../../docs/guide/cli.md', import.meta.url), 'utf8')
  const block = /^```sh\n([\s\S]*?)^```$/m.exec(text)?.[1] ?? ''
  return block.split('\n').filter((line) => line.startsWith('espalier '))
}

/** Starts a node in the background and waits until it says how to join it. */
async function startDaemon(words: readonly string[]): Promise<ChildProcess> {
  const child = spawn(process.execPath, [MAIN, ...words], {
    cwd: directory,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let said = ''
  await new Promise<void>((resolve, reject) => {
    child.stdout.on('data', (chunk: Buffer) => {
      said += chunk.toString()
      if (said.includes('--bootstrap')) resolve()
    })
    child.once('exit', () => reject(new Error(`the daemon ended: ${said}`)))
  })
  return child
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return
  const gone = once(child, 'exit')
  child.kill('SIGTERM')
  await gone
}
