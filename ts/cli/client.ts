import { homedir } from 'node:os'
import { join } from 'node:path'
import { readFile } from 'node:fs/promises'
import { EspalierError, toEspalierError } from '../base/error.ts'
import { createNode, type EspalierNode } from '../node/node.ts'
import type { Arguments, Flag } from './args.ts'
import type { Output } from './output.ts'

/** Flags of every command that joins a network for a moment. */
export const CLIENT_FLAGS: Readonly<Record<string, Flag>> = {
  bootstrap: {
    kind: 'list',
    short: 'b',
    value: 'PEER',
    help: 'A node of the network: 192.0.2.1:4840, ID@192.0.2.1:4840 or host:4840',
  },
  data: {
    kind: 'text',
    value: 'DIR',
    help: 'Where this client keeps its identity (default ~/.espalier/client)',
  },
  'allow-private': { kind: 'switch', help: 'Also dial loopback and private addresses that peers name' },
  'passphrase-file': { kind: 'text', value: 'FILE', help: 'A file whose first line unlocks the identity' },
}

/** Starts a client-only node, joins, runs `use` and stops the node whatever happens. */
export async function withClient<Result>(
  args: Arguments,
  context: { readonly output: Output; readonly signal: AbortSignal },
  use: (node: EspalierNode) => Promise<Result>,
): Promise<Result> {
  const bootstrap = args.list('bootstrap')
  if (bootstrap.length === 0) {
    throw new EspalierError('INVALID_ARGUMENT', 'name a node of the network with --bootstrap 192.0.2.1:4840')
  }
  const passphrase = await readPassphrase(args.text('passphrase-file'))
  const node = createNode({
    dataDir: args.text('data') ?? join(homedir(), '.espalier', 'client'),
    mode: 'clientOnly',
    bootstrap,
    allowPrivate: args.has('allow-private'),
    ...(passphrase === undefined ? {} : { passphrase }),
  })
  context.output.progress('joining the network …')
  try {
    await node.start({ signal: context.signal })
    return await use(node)
  } finally {
    await node.stop()
  }
}

/** The first line of a passphrase file. Throws `INVALID_ARGUMENT` when it can't be read. */
export async function readPassphrase(path: string | undefined): Promise<string | undefined> {
  if (path === undefined) return undefined
  try {
    return (await readFile(path, 'utf8')).split(/\r?\n/, 1)[0] ?? ''
  } catch (error) {
    throw toEspalierError(error, 'INVALID_ARGUMENT', 'the passphrase file could not be read')
  }
}
