import { expect, test } from 'vitest'
import { storageError } from '../../../ts/storage/sqlite-error.ts'

test.each([
  ['ERR_DLOPEN_FAILED', 'NATIVE_UNAVAILABLE'],
  ['MODULE_NOT_FOUND', 'NATIVE_UNAVAILABLE'],
  ['SQLITE_CORRUPT', 'STORAGE_CORRUPT'],
  ['SQLITE_NOTADB', 'STORAGE_CORRUPT'],
  ['SQLITE_IOERR_READ', 'STORAGE_CORRUPT'],
  ['SQLITE_FULL', 'STORAGE_FULL'],
  ['SQLITE_IOERR_FSYNC', 'STORAGE_FULL'],
  ['SQLITE_BUSY', 'STORAGE_BUSY'],
  ['SQLITE_CANTOPEN', 'INVALID_ARGUMENT'],
])('%s of the library becomes %s', (given, code) => {
  const thrown = Object.assign(new Error('a reason'), { code: given })

  expect(storageError(thrown, 'opening')).toMatchObject({ code, cause: thrown })
})

test('a missing binding is told apart from a missing folder', () => {
  const binding = new Error('Could not locate the bindings file. Tried:\n → …')
  const folder = new TypeError('Cannot open database because the directory does not exist')

  expect(storageError(binding, 'opening').code).toBe('NATIVE_UNAVAILABLE')
  expect(storageError(folder, 'opening').code).toBe('INVALID_ARGUMENT')
})
