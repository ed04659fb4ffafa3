import { performance } from 'node:perf_hooks'
import { pipeline } from 'node:stream/promises'
import { CLIENT_FLAGS, withClient } from '../client.ts'
import type { Command } from '../command.ts'
import { formatBytes, formatMs, formatRate } from '../output.ts'

/** `espalier get`: read an object back. */
export const getCommand: Command = {
  name: 'get',
  summary: 'read an object back',
  usage: 'REFERENCE --output FILE|- --bootstrap PEER',
  details: [
    'Finds the shards, checks every one by its hash and writes the object. A file appears under its name only',
    'when it is whole; an existing file is replaced then. With fewer shards than needed nothing is written and',
    'the error is SHARDS_MISSING.',
  ].join('\n'),
  flags: {
    ...CLIENT_FLAGS,
    output: {
      kind: 'text',
      short: 'o',
      value: 'FILE',
      help: 'Where to write; - is standard output (default)',
    },
  },
  positionals: { min: 1, max: 1 },
  examples: ['espalier get espalier:… -o photo.jpg --bootstrap 192.0.2.1:4840'],
  run(args, context) {
    const { output, signal } = context
    return withClient(args, context, async (node) => {
      const ref = args.positionals[0] ?? ''
      const target = args.text('output') ?? '-'
      const startedAtMs = performance.now()
      let sizeBytes = 0
      const onProgress = (progress: { readonly doneBytes: number; readonly totalBytes?: number }): void => {
        sizeBytes = progress.doneBytes
        output.progress(`read ${formatBytes(progress.doneBytes)} of ${formatBytes(progress.totalBytes ?? 0)}`)
      }
      if (target === '-') {
        const reader = await node.objects.get(ref, { signal, onProgress })
        await pipeline(reader, process.stdout, { end: false, signal })
        return 0
      }
      await node.objects.getToFile(ref, target, { signal, onProgress })
      const tookMs = performance.now() - startedAtMs
      output.fact({ event: 'read', sizeBytes, tookMs, path: target })
      output.line(`${formatBytes(sizeBytes)} read in ${formatMs(tookMs)} (${formatRate(sizeBytes, tookMs)})`)
      return 0
    })
  },
}
