import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { EspalierError } from '../../base/error.ts'
import type { Command } from '../command.ts'

/** `espalier bench`: the figures of docs/BENCHMARKS.md on this machine. */
export const benchCommand: Command = {
  name: 'bench',
  summary: 'measure this machine beside plain native programs and other libraries',
  usage: '[crypto] [erasure] [transport] [storage] [objects] [dht]',
  details: [
    'Runs the benchmark groups that are named, or all. Each figure is taken beside a plain Rust program and',
    'the other libraries in the same run, because machines vary from hour to hour.',
  ].join('\n'),
  flags: { quick: { kind: 'switch', help: 'Short rounds: for a look, not for a record' } },
  positionals: { min: 0, max: 8 },
  examples: ['espalier bench crypto', 'espalier bench transport objects --json'],
  async run(args, { output, signal }) {
    const program = fileURLToPath(new URL('../../../bench/main.mjs', import.meta.url))
    if (!existsSync(program)) {
      throw new EspalierError(
        'UNSUPPORTED',
        'the benchmarks are part of the source repository, not of the package',
      )
    }
    const words = [
      ...args.positionals,
      ...(args.has('quick') ? ['--quick'] : []),
      ...(output.json ? ['--json'] : []),
    ]
    const child = spawn(process.execPath, [program, ...words], { stdio: 'inherit' })
    signal.addEventListener('abort', () => child.kill())
    return new Promise((resolve) => child.on('exit', (code) => resolve(code ?? 1)))
  },
}
