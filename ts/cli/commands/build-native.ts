import { spawn } from 'node:child_process'
import { accessSync, constants, existsSync, mkdirSync, rmSync, statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { EspalierError } from '../../base/error.ts'
import { buildPath, packageVersion, userBuildPath } from '../../native/addon-file.ts'
import type { Command } from '../command.ts'
import { formatBytes, formatMs } from '../output.ts'

const root = fileURLToPath(new URL('../../../', import.meta.url))
const builder = join(root, 'scripts', 'build-native.mjs')

/** `espalier build-native`: the addon from the Rust sources that every package carries. */
export const buildNativeCommand: Command = {
  name: 'build-native',
  summary: 'build the native addon here, from the sources in this package',
  usage: '[--out FILE] [--offline]',
  details: [
    'For platforms without a package of their own, and for people who run only what they built. It needs Rust 1.95',
    'or newer, a C compiler, half a GiB of disk while it runs and a few minutes; it says what is missing. The addon goes',
    'into this package, or into your cache folder when the package can not be written: Espalier finds it in both.',
    '',
    'Without a network: run `cargo vendor` in this package where there is one, copy the folder `vendor`, put what the',
    'command printed into .cargo/config.toml beside it, and build with --offline.',
  ].join('\n'),
  flags: {
    out: { kind: 'text', value: 'FILE', help: 'Where the addon goes; then name it in ESPALIER_NATIVE_PATH' },
    'target-dir': {
      kind: 'text',
      value: 'DIR',
      help: "Where cargo works, and what it leaves for the next build (default: beside the addon's place, removed)",
    },
    offline: { kind: 'switch', help: 'Keep cargo from the network' },
  },
  positionals: { min: 0, max: 0 },
  examples: ['npx espalier build-native', 'espalier build-native --out /opt/espalier.node --offline'],
  async run(args, { output, signal }) {
    if (!existsSync(builder)) throw new EspalierError('UNSUPPORTED', `the Rust sources are not in ${root}`)
    const out = resolve(
      args.text('out') ?? (takesFiles(dirname(buildPath())) ? buildPath() : userBuildPath()),
    )
    if (!takesFiles(dirname(out))) {
      throw new EspalierError('INVALID_ARGUMENT', `files can not be made in ${dirname(out)}`)
    }
    const kept = args.text('target-dir')
    const targetDir = kept === undefined ? `${out}.cargo` : resolve(kept)
    const startedMs = performance.now()
    const code = await build(
      [`--out=${out}`, `--target-dir=${targetDir}`, ...(args.has('offline') ? ['--offline'] : [])],
      signal,
    )
    // After a failure the work done so far stays, so that the next attempt is short.
    if (code !== 0)
      throw new EspalierError('NATIVE_UNAVAILABLE', `the addon was not built (${code}); see above`)
    if (kept === undefined) rmSync(targetDir, { recursive: true, force: true })
    await check(out, signal)
    const sizeBytes = statSync(out).size
    output.fact({ event: 'built', path: out, sizeBytes, version: packageVersion() })
    output.line(`${out}: ${formatBytes(sizeBytes)}, built in ${formatMs(performance.now() - startedMs)}`)
    if (args.text('out') !== undefined) output.line(`use it with ESPALIER_NATIVE_PATH=${out}`)
    return 0
  },
}

/** Runs the build. What cargo says goes to standard error, so that `--json` stays readable. */
async function build(words: readonly string[], signal: AbortSignal): Promise<number> {
  return runNode([builder, ...words], signal)
}

/** Loads the addon in a process of its own: a broken one must not end this one. */
async function check(path: string, signal: AbortSignal): Promise<void> {
  const program = 'if (require(process.argv[1]).version() !== process.argv[2]) process.exit(3)'
  const code = await runNode(['-e', program, path, packageVersion()], signal)
  if (code !== 0)
    throw new EspalierError('NATIVE_UNAVAILABLE', `the addon was built, but does not load (${code})`)
}

function runNode(words: readonly string[], signal: AbortSignal): Promise<number> {
  const child = spawn(process.execPath, words, { stdio: ['ignore', 2, 2] })
  const stop = (): void => void child.kill()
  signal.addEventListener('abort', stop)
  return new Promise((done, failed) => {
    child.on('error', failed)
    child.on('exit', (code) => {
      signal.removeEventListener('abort', stop)
      if (signal.aborted) failed(new EspalierError('ABORTED', 'the build was stopped'))
      else done(code ?? 1)
    })
  })
}

/** Whether files can be made in `folder`; makes it when it is not there. */
function takesFiles(folder: string): boolean {
  try {
    // Not for others to write, whatever the umask: the loader takes nothing that others may have put there.
    mkdirSync(folder, { recursive: true, mode: 0o755 })
    accessSync(folder, constants.W_OK)
    return true
  } catch {
    return false
  }
}
