import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { ERROR_CODES, EspalierError } from '../../../ts/base/error.ts'
import { fromEventText, fromNative } from '../../../ts/native/error.ts'

const crates = fileURLToPath(new URL('../../../crates', import.meta.url))

test('every code that Rust names is a code of the closed list', () => {
  const used = new Set(rustFiles(crates).flatMap((file) => codesIn(readFileSync(file, 'utf8'))))

  expect([...used].filter((code) => !(ERROR_CODES as readonly string[]).includes(code))).toEqual([])
  // Proof that the search finds something: these come from both crates.
  for (const code of ['INVALID_ARGUMENT', 'KEY_INVALID', 'SHARDS_MISSING', 'STORAGE_BUSY', 'CLOSED']) {
    expect([...used]).toContain(code)
  }
})

test('a native failure becomes an error with its code, message and details', () => {
  expect(fromNative(new Error('KEY_INVALID: the file is damaged: size'))).toMatchObject({
    code: 'KEY_INVALID',
    message: 'the file is damaged: size',
  })
  expect(fromNative(new Error('SHARDS_MISSING: 7 of 8 shards were given')).details).toEqual({
    found: 7,
    needed: 8,
  })
  expect(fromNative(new Error('INVALID_ARGUMENT: key: 3 bytes were given')).details).toEqual({
    argument: 'key',
  })
})

test('what has no known code is a fault of this library, never lost', () => {
  for (const text of ['panicked at somewhere', 'NO_SUCH_CODE: x', '', 'lower: x']) {
    expect(fromNative(new Error(text)).code).toBe('INVALID_STATE')
  }
  expect(fromNative('a string').code).toBe('INVALID_STATE')
  const own = new EspalierError('TIMEOUT', 'late')
  expect(fromNative(own)).toBe(own)
})

test('what an event told has its code and no frames, and other errors have theirs as before', () => {
  const told = fromEventText('STREAM_RESET: the peer reset the stream with code 7')
  const unknown = fromEventText('NO_SUCH_CODE: x', 'PEER_REFUSED')

  expect(told).toMatchObject({ code: 'STREAM_RESET', details: { resetCode: 7 } })
  expect(unknown.code).toBe('PEER_REFUSED')
  expect(told.stack?.split('\n')).toHaveLength(1)
  expect(new Error('another').stack?.split('\n').length).toBeGreaterThan(1)
})

/** Codes are the only upper-case words with an underscore, or `CLOSED` and the like, in quotes. */
function codesIn(source: string): string[] {
  const code = /code\(|Failure::new\(|=> "|\("[A-Z_]+", /.test(source)
  if (!code) return []
  return [...source.matchAll(/(?:=>\s*|Failure::new\(\s*)"([A-Z]+(?:_[A-Z]+)*)"/g)].map(
    ([, name]) => name ?? '',
  )
}

function rustFiles(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) return entry.name === 'target' ? [] : rustFiles(path)
    return entry.name.endsWith('.rs') ? [path] : []
  })
}
