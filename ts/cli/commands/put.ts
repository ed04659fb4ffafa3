import { performance } from 'node:perf_hooks'
import { CLIENT_FLAGS, withClient } from '../client.ts'
import type { Command } from '../command.ts'
import { formatBytes, formatMs, formatRate } from '../output.ts'

/** `espalier put`: store a file on the network. */
export const putCommand: Command = {
  name: 'put',
  summary: 'store a file on the network',
  usage: 'FILE|- --bootstrap PEER',
  details: [
    'Encrypts the file, cuts it into erasure-coded shards and places them on other nodes. Prints the',
    'reference that reads it again. Whoever has the whole reference can read the object; without the part',
    'after the last colon it can only be checked. `-` reads standard input.',
  ].join('\n'),
  flags: CLIENT_FLAGS,
  positionals: { min: 1, max: 1 },
  examples: [
    'espalier put photo.jpg --bootstrap 192.0.2.1:4840',
    'tar c docs | espalier put - -b 192.0.2.1:4840',
  ],
  run(args, context) {
    const { output, signal } = context
    return withClient(args, context, async (node) => {
      const path = args.positionals[0] ?? '-'
      const startedAtMs = performance.now()
      const options = {
        signal,
        onProgress: (progress: { readonly doneBytes: number; readonly totalBytes?: number }) => {
          const total = progress.totalBytes === undefined ? '' : ` of ${formatBytes(progress.totalBytes)}`
          output.progress(`stored ${formatBytes(progress.doneBytes)}${total}`)
        },
      }
      const result =
        path === '-'
          ? await node.objects.put(process.stdin, options)
          : await node.objects.putFile(path, options)
      const tookMs = performance.now() - startedAtMs

      output.fact({ event: 'stored', tookMs, ...result })
      output.line(
        `${formatBytes(result.sizeBytes)} stored in ${formatMs(tookMs)} (${formatRate(result.sizeBytes, tookMs)})`,
      )
      output.line(
        `${result.layout.dataShards} + ${result.layout.parityShards} shards on ${result.holders.length === 1 ? 'one node' : `${result.holders.length} nodes`}`,
      )
      if (result.reduced !== undefined) output.line(`smaller than the full profile: ${result.reduced}`)
      output.line()
      output.line(result.ref)
      return 0
    })
  },
}
