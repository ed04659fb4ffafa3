import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { performance } from 'node:perf_hooks'
import { distUrl, MAIN } from './dist.ts'

/** How a child process ended. */
export interface Ending {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
  /** One parsed value for each line of standard output that is JSON. */
  readonly facts: readonly Readonly<Record<string, unknown>>[]
  /** From the last line on standard output to the end of the process. */
  readonly sinceLastLineMs: number
}

export interface ChildOptions {
  readonly args?: readonly string[]
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
  /** Text for standard input, which then ends. */
  readonly input?: string
  /** The child is killed then; default 60 s. */
  readonly timeoutMs?: number
  /** Another Node than the one that runs the tests. */
  readonly node?: string
  /** Another copy of the compiled package than the repository's: the folder that `dist` is in. */
  readonly home?: string
  /** Run as this user, where the tests run as root. */
  readonly uid?: number
}

/**
 * Runs an ES module in a process of its own. Imports of `espalier`, `espalier/crypto` and
 * `espalier/testing` get the compiled package.
 */
export async function runProgram(source: string, options: ChildOptions = {}): Promise<Ending> {
  const directory = mkdtempSync(join(tmpdir(), 'espalier-program-'))
  const file = join(directory, 'program.mjs')
  writeFileSync(file, resolveImports(source, options.home))
  try {
    return await runNode([file, ...(options.args ?? [])], options)
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

/** `espalier …` as a user types it. */
export function runCli(words: readonly string[], options: ChildOptions = {}): Promise<Ending> {
  return runNode([MAIN, ...words], options)
}

/** The text of a program whose imports of the package lead to dist. */
function resolveImports(source: string, home: string | undefined): string {
  const url = (name: string): string =>
    home === undefined ? distUrl(name) : pathToFileURL(join(home, 'dist', name)).href
  return source
    .replaceAll(/from 'espalier'/g, `from '${url('index.js')}'`)
    .replaceAll(/from 'espalier\/(crypto|testing)'/g, (_, name: string) => `from '${url(`${name}.js`)}'`)
}

function runNode(words: readonly string[], options: ChildOptions): Promise<Ending> {
  return new Promise((resolve, reject) => {
    const child = spawn(options.node ?? process.execPath, words, {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, ...options.env },
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      ...(options.uid === undefined ? {} : { uid: options.uid }),
    })
    let stdout = ''
    let stderr = ''
    let lastLineAtMs = performance.now()
    let endedAtMs = lastLineAtMs
    child.stdout.on('data', (chunk: Buffer) => {
      stdout += chunk.toString()
      lastLineAtMs = performance.now()
    })
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
    // A child that ended before it read its input is no failure of the test.
    child.stdin.on('error', () => undefined)
    child.stdin.end(options.input ?? '')
    const timer = setTimeout(() => child.kill('SIGKILL'), options.timeoutMs ?? 60_000)
    child.on('error', reject)
    child.on('exit', () => (endedAtMs = performance.now()))
    child.on('close', (code, signal) => {
      clearTimeout(timer)
      const sinceLastLineMs = endedAtMs - lastLineAtMs
      resolve({ code, signal, stdout, stderr, facts: factsIn(stdout), sinceLastLineMs })
    })
  })
}

function factsIn(stdout: string): Readonly<Record<string, unknown>>[] {
  return stdout
    .split('\n')
    .filter((line) => line.startsWith('{"') && line.endsWith('}'))
    .map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>)
}
