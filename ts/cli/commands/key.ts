import { join } from 'node:path'
import { readFile } from 'node:fs/promises'
import { EspalierError, toEspalierError } from '../../base/error.ts'
import { nearestName } from '../../base/nearest.ts'
import { Identity } from '../../native/key-file.ts'
import { DataDirectory } from '../../storage/data-directory.ts'
import type { Arguments } from '../args.ts'
import { readPassphrase } from '../client.ts'
import type { Command } from '../command.ts'
import type { Output } from '../output.ts'

// Far more than 24 words; the rest of an endless input is left alone.
const MAX_WORDS_CHARACTERS = 4096

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
  await inDirectory(args, async (path) => {
    using identity = await Identity.create({ path, ...(passphrase === undefined ? {} : { passphrase }) })
    output.fact({ event: 'created', id: identity.id, path })
    output.line(identity.id)
  })
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
  const words = source === '-' ? await readStandardInput() : await readWords(source)
  const passphrase = await readPassphrase(args.text('passphrase-file'))
  await inDirectory(args, async (path) => {
    using identity = await Identity.import({
      path,
      words,
      ...(passphrase === undefined ? {} : { passphrase }),
    })
    output.fact({ event: 'imported', id: identity.id, path })
    output.line(identity.id)
  })
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
  return join(dataDir(args), 'identity.key')
}

function dataDir(args: Arguments): string {
  return args.text('data') ?? 'espalier-data'
}

/** Makes the directory where it is missing, and keeps a node out of it while `use` runs. */
async function inDirectory(args: Arguments, use: (keyPath: string) => Promise<void>): Promise<void> {
  const directory = await DataDirectory.open(dataDir(args))
  try {
    await use(directory.identityPath)
  } finally {
    directory.release()
  }
}

async function readWords(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    throw toEspalierError(error, 'INVALID_ARGUMENT', 'the file with the words could not be read')
  }
}

async function readStandardInput(): Promise<string> {
  let text = ''
  for await (const piece of process.stdin) {
    text += String(piece)
    if (text.length > MAX_WORDS_CHARACTERS) break
  }
  return text
}
