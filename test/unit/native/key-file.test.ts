import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { nodeCrypto } from '../../../ts/native/crypto.ts'
import { nodeIdFromBytes } from '../../../ts/base/identity.ts'
import { deriveKey, verify } from '../../../ts/crypto.ts'
import { Identity } from '../../../ts/native/key-file.ts'
import { codeOf, flipped, pattern, rejectedCode } from './support.ts'

let folder: string
let count = 0

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'espalier-key-'))
})

afterAll(() => {
  rmSync(folder, { recursive: true })
})

test('a created identity is found again, with the id of its key', async () => {
  const path = freshPath()
  const created = await Identity.create({ path })
  const opened = await Identity.open({ path })

  expect(opened.id).toBe(created.id)
  expect(opened.publicKey).toEqual(created.publicKey)
  expect(opened.isProtected).toBe(false)
  expect(created.id).toBe(nodeIdFromBytes(deriveKey('espalier 2026-11 node id v1', created.publicKey)))
  expect(verify(created.publicKey, pattern(9), opened.sign(pattern(9)))).toBe(true)
})

test('the file has mode 0600 and nothing else is left in its folder', async () => {
  const home = mkdtempSync(join(folder, 'home-'))
  const path = join(home, 'identity.key')
  const identity = await Identity.create({ path })
  await identity.changePassphrase('leaf', { hardness: 'fast' })

  expect(statSync(path).mode & 0o777).toBe(0o600)
  expect(readdirSync(home)).toEqual(['identity.key'])
})

test('a passphrase is needed, right, and not kept in the file', async () => {
  const path = freshPath()
  const created = await Identity.create({ path, passphrase: 'an apple a day', hardness: 'fast' })

  expect(created.isProtected).toBe(true)
  expect((await Identity.open({ path, passphrase: 'an apple a day' })).id).toBe(created.id)
  expect(await rejectedCode(Identity.open({ path, passphrase: 'an apple a Day' }))).toBe('KEY_INVALID')
  expect(await rejectedCode(Identity.open({ path }))).toBe('KEY_INVALID')
  expect(readFileSync(path).includes('apple')).toBe(false)
})

test('an existing file is never overwritten', async () => {
  const path = freshPath()
  const { id } = await Identity.create({ path })
  const before = readFileSync(path)
  const words = (await Identity.create({ path: freshPath() })).exportWords()

  expect(await rejectedCode(Identity.create({ path }))).toBe('INVALID_STATE')
  expect(await rejectedCode(Identity.import({ path, words }))).toBe('INVALID_STATE')
  expect(readFileSync(path)).toEqual(before)
  expect((await Identity.openOrCreate({ path })).id).toBe(id)
})

test('of many that create one file at once, one succeeds and its file stays', async () => {
  const path = freshPath()

  const results = await Promise.allSettled(Array.from({ length: 8 }, () => Identity.create({ path })))

  const created = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value.id] : []))
  expect(created).toHaveLength(1)
  expect((await Identity.open({ path })).id).toBe(created[0])
})

test('openOrCreate creates once', async () => {
  const path = freshPath()
  const first = await Identity.openOrCreate({ path, passphrase: 'x', hardness: 'fast' })
  const second = await Identity.openOrCreate({ path, passphrase: 'x' })

  expect(second.id).toBe(first.id)
  expect(await rejectedCode(Identity.openOrCreate({ path, passphrase: 'y' }))).toBe('KEY_INVALID')
})

test('a damaged, foreign or newer file is refused and left alone', async () => {
  const path = freshPath()
  await Identity.create({ path })
  const good = readFileSync(path)
  const bad: readonly Uint8Array[] = [
    ...[0, 8, 9, 10, 11, 30, 70, 111].map((at) => flipped(good, at)),
    good.subarray(0, 111),
    Buffer.concat([good, Buffer.from([0])]),
    new Uint8Array(0),
    pattern(112),
    new Uint8Array(1_000_000),
  ]

  for (const [index, bytes] of bad.entries()) {
    writeFileSync(path, bytes)
    expect(await rejectedCode(Identity.open({ path })), `file ${index}`).toBe('KEY_INVALID')
    expect(await rejectedCode(Identity.openOrCreate({ path })), `file ${index}`).toBe('KEY_INVALID')
    expect(readFileSync(path).equals(bytes)).toBe(true)
  }
})

test('what cannot be read or written gives a typed error', async () => {
  const file = freshPath()
  writeFileSync(file, 'x')

  expect(await rejectedCode(Identity.open({ path: freshPath() }))).toBe('NOT_FOUND')
  expect(await rejectedCode(Identity.open({ path: folder }))).toBe('KEY_INVALID')
  expect(await rejectedCode(Identity.open({ path: join(file, 'identity.key') }))).toBe('KEY_INVALID')
  expect(await rejectedCode(Identity.open({ path: '/dev/zero' }))).toBe('KEY_INVALID')
  expect(await rejectedCode(Identity.create({ path: join(file, 'identity.key') }))).toBe('INVALID_ARGUMENT')
  expect(await rejectedCode(Identity.create({ path: join(folder, 'absent', 'identity.key') }))).toBe(
    'INVALID_ARGUMENT',
  )
  expect(await rejectedCode(Identity.create({ path: '' }))).toBe('INVALID_ARGUMENT')
  expect(await rejectedCode(Identity.create({ path: 'a\0b' }))).toBe('INVALID_ARGUMENT')
  expect(await rejectedCode(Identity.create({ path: 7 } as never))).toBe('INVALID_ARGUMENT')
})

test('words carry an identity to another file', async () => {
  const origin = await Identity.create({ path: freshPath() })
  const words = origin.exportWords()
  const path = freshPath()

  const copy = await Identity.import({
    path,
    words: `  ${words.toUpperCase().replace(/ /g, '\n')} `,
    passphrase: 'p',
    hardness: 'fast',
  })

  expect(words.split(' ')).toHaveLength(24)
  expect(copy.id).toBe(origin.id)
  expect((await Identity.open({ path, passphrase: 'p' })).exportWords()).toBe(words)
})

test('wrong words are refused, not repeated, and leave no file', async () => {
  const words = (await Identity.create({ path: freshPath() })).exportWords().split(' ')
  const swapped = words.toSpliced(0, 2, words[1] === words[0] ? 'zoo' : words[1]!, words[0]!)
  for (const bad of [
    '',
    'abandon',
    words.slice(1).join(' '),
    swapped.join(' '),
    words.toSpliced(3, 1, 'xylophones').join(' '),
  ]) {
    const path = freshPath()
    const failed = Identity.import({ path, words: bad })
    await expect(failed).rejects.toMatchObject({ code: 'KEY_INVALID' })
    await expect(failed).rejects.not.toThrow(/xylophones/)
    expect(existsSync(path)).toBe(false)
  }
})

test('changing the passphrase keeps the identity and lets the old one in no more', async () => {
  const path = freshPath()
  const identity = await Identity.create({ path })

  await identity.changePassphrase('first', { hardness: 'fast' })
  expect(identity.isProtected).toBe(true)
  expect(await rejectedCode(Identity.open({ path }))).toBe('KEY_INVALID')
  await identity.changePassphrase('second', { hardness: 'fast' })
  expect(await rejectedCode(Identity.open({ path, passphrase: 'first' }))).toBe('KEY_INVALID')
  expect((await Identity.open({ path, passphrase: 'second' })).id).toBe(identity.id)
  await identity.changePassphrase(undefined)
  expect((await Identity.open({ path })).isProtected).toBe(false)
})

test('passphrases have limits on both sides', async () => {
  const create = (passphrase: unknown) =>
    rejectedCode(Identity.create({ path: freshPath(), passphrase, hardness: 'fast' } as never))

  expect(await create('é'.repeat(512))).toBe('none')
  expect(await create('é'.repeat(512) + 'x')).toBe('INVALID_ARGUMENT')
  expect(await create('')).toBe('INVALID_ARGUMENT')
  expect(await create(5)).toBe('INVALID_ARGUMENT')
  expect(await create('\ud800')).toBe('INVALID_ARGUMENT')
  expect(await rejectedCode(Identity.create({ path: freshPath(), hardness: 'diamond' } as never))).toBe(
    'INVALID_ARGUMENT',
  )
  expect(await rejectedCode(Identity.create({ path: freshPath(), passprase: 'x' } as never))).toBe(
    'INVALID_ARGUMENT',
  )
})

test('the default and high hardness open again', async () => {
  for (const hardness of ['default', 'high'] as const) {
    const path = freshPath()
    const { id } = await Identity.create({ path, passphrase: 'x', hardness })
    expect((await Identity.open({ path, passphrase: 'x' })).id).toBe(id)
  }
})

test('a disposed identity is closed and shows no secret', async () => {
  const identity = await Identity.create({ path: freshPath() })
  const words = identity.exportWords().split(' ').slice(0, 3).join(' ')
  expect(JSON.stringify(identity)).not.toContain(words)

  identity[Symbol.dispose]()

  expect(codeOf(() => identity.sign(pattern(1)))).toBe('CLOSED')
  expect(codeOf(() => identity.exportWords())).toBe('CLOSED')
  expect(codeOf(() => identity.keyHandle)).toBe('CLOSED')
  expect(await rejectedCode(identity.changePassphrase('x'))).toBe('CLOSED')
})

test('the crypto of a node signs with its identity and takes any size from peers', async () => {
  const identity = await Identity.create({ path: freshPath() })
  const crypto = nodeCrypto(identity)
  const signature = crypto.sign(pattern(7))

  expect(crypto.publicKey).toEqual(identity.publicKey)
  expect(crypto.verify(crypto.publicKey, pattern(7), signature)).toBe(true)
  expect(crypto.verify(crypto.publicKey, pattern(8), signature)).toBe(false)
  expect(crypto.verify(crypto.publicKey, pattern(7), signature.subarray(1))).toBe(false)
  expect(crypto.verify(crypto.publicKey.subarray(1), pattern(7), signature)).toBe(false)
})

function freshPath(): string {
  count += 1
  return join(folder, `identity-${count}.key`)
}
