import { join } from 'node:path'
import { readFile } from 'node:fs/promises'
import { EspalierError } from '../../base/error.ts'
import { nearestName } from '../../base/nearest.ts'
import { Identity } from '../../native/key-file.ts'
import type { Arguments } from '../args.ts'
import { readPassphrase } from '../client.ts'
import type { Command } from '../command.ts'
import type { Output } from '../output.ts'

type Action = (args: Arguments, output: Output) => Promise<void>

const ACTIONS: Readonly<Record<string, Action>> = {
  show: showKey,
  create: createKey,
  export: exportKey,
  import: importKey,
  passphrase: changePassphrase,
}

/** `espalier key`: the identity file. */
export const keyCommand: Command = {
  name: 'key',
  summary: 'show, create, export, import or protect an identity',
  usage: `${Object.keys(ACTIONS).join('|')} --data DIR`,
  details: [
    'An identity is one ML-DSA-65 key in DIR/identity.key. `export` prints its seed as 24 words: whoever has',
    'them is this node. `import` reads words from a file (or - for standard input) and never overwrites.',
    'Passphrases are read from files, so that they stay out of the shell history and the list of processes.',
  ].join('\n'),
  flags: {
    data: { kind: 'text', value: 'DIR', help: 'The data directory (default ./espalier-data)' },
    words: { kind: 'text', value: 'FILE', help: 'import: a file with the 24 words, - for standard input' },
    'passphrase-file': { kind: 'text', value: 'FILE', help: 'Unlocks the identity, or protects a new one' },
    'new-passphrase-file': {
      kind: 'text',
      value: 'FILE',
      help: 'passphrase: the new one; without it protection is removed',
    },
  },
  positionals: { min: 1, max: 1 },
  examples: [
    'espalier key show',
    'espalier key export --data /srv/espalier',
    'espalier key import --words words.txt',
  ],
  async run(args, { output }) {
    const name = args.positionals[0] ?? ''
    const action = Object.hasOwn(ACTIONS, name) ? ACTIONS[name] : undefined
    if (action === undefined) {
      const nearest = nearestName(name, Object.keys(ACTIONS)) ?? Object.keys(ACTIONS).join(', ')
      throw new EspalierError(
        'INVALID_ARGUMENT',
        `espalier key can't ${JSON.stringify(name)}; it knows ${nearest}`,
      )
    }
    await action(args, output)
    return 0
  },
}

async function showKey(args: Arguments, output: Output): Promise<void> {
  using identity = await openIdentity(args)
  output.fact({ event: 'identity', id: identity.id, path: keyPath(args), protected: identity.isProtected })
  output.line(identity.id)
  if (!identity.isProtected)
    output.line('protected by the file mode only; add a passphrase with: espalier key passphrase')
}

async function createKey(args: Arguments, output: Output): Promise<void> {
  const passphrase = await readPassphrase(args.text('passphrase-file'))
  using identity = await Identity.create({
    path: keyPath(args),
    ...(passphrase === undefined ? {} : { passphrase }),
  })
  output.fact({ event: 'created', id: identity.id, path: keyPath(args) })
  output.line(identity.id)
}

async function exportKey(args: Arguments, output: Output): Promise<void> {
  using identity = await openIdentity(args)
  const words = identity.exportWords()
  output.fact({ event: 'exported', id: identity.id, words })
  output.line(words)
}

async function importKey(args: Arguments, output: Output): Promise<void> {
  const source = args.text('words')
  if (source === undefined)
    throw new EspalierError('INVALID_ARGUMENT', 'name a file with the words: --words FILE')
  const words = source === '-' ? await readStandardInput() : await readFile(source, 'utf8')
  const passphrase = await readPassphrase(args.text('passphrase-file'))
  using identity = await Identity.import({
    path: keyPath(args),
    words,
    ...(passphrase === undefined ? {} : { passphrase }),
  })
  output.fact({ event: 'imported', id: identity.id, path: keyPath(args) })
  output.line(identity.id)
}

async function changePassphrase(args: Arguments, output: Output): Promise<void> {
  using identity = await openIdentity(args)
  const next = await readPassphrase(args.text('new-passphrase-file'))
  await identity.changePassphrase(next)
  output.fact({ event: 'passphrase', id: identity.id, protected: next !== undefined })
  output.line(next === undefined ? 'the passphrase was removed' : 'the passphrase was changed')
}

async function openIdentity(args: Arguments): Promise<Identity> {
  const passphrase = await readPassphrase(args.text('passphrase-file'))
  return Identity.open({ path: keyPath(args), ...(passphrase === undefined ? {} : { passphrase }) })
}

function keyPath(args: Arguments): string {
  return join(args.text('data') ?? 'espalier-data', 'identity.key')
}

async function readStandardInput(): Promise<string> {
  const pieces: Buffer[] = []
  for await (const piece of process.stdin) pieces.push(piece as Buffer)
  return Buffer.concat(pieces).toString('utf8')
}
