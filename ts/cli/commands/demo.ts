import { existsSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { EspalierError } from '../../base/error.ts'
import { addonFiles } from '../../native/addon-file.ts'
import type { Command } from '../command.ts'
import { DemoNetwork } from '../demo/demo-network.ts'
import { runStory } from '../demo/story.ts'

const DEFAULT_NODES = 14
// 8 + 4 shards need twelve holders, and the fifth kill has to be one of them.
const MIN_NODES = 12
const MAX_NODES = 64

/** `espalier demo`: the whole line on one machine. */
export const demoCommand: Command = {
  name: 'demo',
  summary: 'run a network of processes on this machine, kill some, read a file back',
  usage: '[FILE]',
  details: [
    'Starts nodes as processes of their own, each with its own directory, identity and UDP port. Stores a file',
    'as 8 + 4 erasure-coded shards, kills four holders and reads the file back, kills a fifth and shows the',
    'refusal, starts that one again on its directory and reads once more. Without FILE it stores the native',
    'addon. Afterwards nothing is left: no process, no port, no directory.',
  ].join('\n'),
  flags: {
    nodes: {
      kind: 'count',
      value: 'N',
      min: MIN_NODES,
      max: MAX_NODES,
      help: `Processes (default ${DEFAULT_NODES})`,
    },
  },
  positionals: { min: 0, max: 1 },
  examples: ['espalier demo', 'espalier demo ~/film.mp4', 'npm start --silent -- --json'],
  async run(args, { output, signal }) {
    const path = resolve(args.positionals[0] ?? nativeAddon())
    const file = await stat(path).catch((cause: unknown) => {
      throw new EspalierError('INVALID_ARGUMENT', `the file ${path} can't be read`, { cause })
    })
    if (!file.isFile()) throw new EspalierError('INVALID_ARGUMENT', `${path} is not a file`)

    const network = await DemoNetwork.create({ size: args.count('nodes') ?? DEFAULT_NODES })
    try {
      await runStory({ network, path, sizeBytes: file.size }, { output, signal })
    } finally {
      await network.end()
    }
    output.fact({ event: 'done' })
    output.line('every process has ended and the temporary directory is gone')
    return 0
  },
}

/** A real file of several megabytes that every installation has, wherever its addon lies. */
function nativeAddon(): string {
  const addon = addonFiles().find(({ path }) => path !== undefined && existsSync(path))?.path
  if (addon === undefined)
    throw new EspalierError('INVALID_ARGUMENT', 'name a file to store: espalier demo FILE')
  return addon
}
