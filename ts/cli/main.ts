#!/usr/bin/env node
import { readFileSync } from 'node:fs'
import { EspalierError, toEspalierError } from '../base/error.ts'
import { nearestName } from '../base/nearest.ts'
import { readArguments } from './args.ts'
import { COMMON_FLAGS, helpOf, type Command } from './command.ts'
import { benchCommand } from './commands/bench.ts'
import { buildNativeCommand } from './commands/build-native.ts'
import { demoCommand } from './commands/demo.ts'
import { getCommand } from './commands/get.ts'
import { keyCommand } from './commands/key.ts'
import { nodeCommand } from './commands/node.ts'
import { peersCommand } from './commands/peers.ts'
import { putCommand } from './commands/put.ts'
import { Output } from './output.ts'

const COMMANDS: readonly Command[] = [
  nodeCommand,
  putCommand,
  getCommand,
  peersCommand,
  keyCommand,
  demoCommand,
  benchCommand,
  buildNativeCommand,
]

/** Exit codes; docs/guide/cli.md lists them for scripts. */
const EXIT = { done: 0, failed: 1, usage: 2, interrupted: 130 } as const

process.exitCode = await main(process.argv.slice(2))

async function main(words: readonly string[]): Promise<number> {
  const [name, ...rest] = words
  const output = new Output({ json: rest.includes('--json') })
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') return overview(rest[0])
  if (name === '--version') {
    process.stdout.write(`${packageVersion()}\n`)
    return EXIT.done
  }
  const command = COMMANDS.find((candidate) => candidate.name === name)
  if (command === undefined) {
    const nearest = nearestName(
      name,
      COMMANDS.map((candidate) => candidate.name),
    )
    const hint = nearest === undefined ? 'see espalier --help' : `did you mean espalier ${nearest}?`
    output.error(
      new EspalierError(
        'INVALID_ARGUMENT',
        `there is no command ${JSON.stringify(name.slice(0, 64))}; ${hint}`,
      ),
    )
    return EXIT.usage
  }
  if (rest.includes('--help') || rest.includes('-h')) {
    process.stdout.write(`${helpOf(command)}\n`)
    return EXIT.done
  }
  return run(command, rest, output)
}

async function run(command: Command, words: readonly string[], output: Output): Promise<number> {
  let args
  try {
    args = readArguments(words, { ...command.flags, ...COMMON_FLAGS })
    const given = args.positionals.length
    if (given < command.positionals.min || given > command.positionals.max) {
      throw new EspalierError('INVALID_ARGUMENT', `usage: espalier ${command.name} ${command.usage}`)
    }
  } catch (error) {
    output.error(toEspalierError(error, 'INVALID_ARGUMENT', 'the command line could not be read'))
    return EXIT.usage
  }

  const interrupt = new AbortController()
  const onSignal = (signal: NodeJS.Signals): void => {
    // A second Ctrl-C ends the process at once, whatever still runs.
    if (interrupt.signal.aborted) process.exit(EXIT.interrupted)
    interrupt.abort(new EspalierError('ABORTED', `stopped by ${signal}`))
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, onSignal)
  // A closed pipe (`espalier get … | head`) is the reader's way to say enough.
  process.stdout.on('error', () =>
    interrupt.abort(new EspalierError('ABORTED', 'standard output was closed')),
  )
  try {
    return await command.run(args, { output, signal: interrupt.signal })
  } catch (error) {
    const failure = toEspalierError(error, 'INVALID_STATE', `espalier ${command.name} failed`)
    output.error(failure)
    if (interrupt.signal.aborted) return EXIT.interrupted
    return failure.code === 'INVALID_ARGUMENT' ? EXIT.usage : EXIT.failed
  }
}

function overview(topic: string | undefined): number {
  const command = COMMANDS.find((candidate) => candidate.name === topic)
  if (command !== undefined) {
    process.stdout.write(`${helpOf(command)}\n`)
    return EXIT.done
  }
  const width = Math.max(...COMMANDS.map((candidate) => candidate.name.length)) + 2
  const lines = [
    'espalier: post-quantum peer-to-peer network and storage',
    '',
    'Usage: espalier COMMAND [flags]      espalier COMMAND --help',
    '',
    ...COMMANDS.map((candidate) => `  ${candidate.name.padEnd(width)}${candidate.summary}`),
    '',
    'First steps: `espalier demo` shows the whole thing on this machine; `espalier node` joins a network.',
    'Exit codes: 0 done, 1 failed, 2 wrong use, 130 interrupted.',
  ]
  process.stdout.write(`${lines.join('\n')}\n`)
  return EXIT.done
}

function packageVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  const parsed: unknown = JSON.parse(text)
  return typeof parsed === 'object' && parsed !== null && 'version' in parsed
    ? String(parsed.version)
    : 'unknown'
}
