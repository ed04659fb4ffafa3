import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { DataDirectory } from '../../../ts/storage/data-directory.ts'
import { codeOf } from '../../contract/store.ts'

let folder: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'espalier-directory-'))
})

afterEach(() => rmSync(folder, { recursive: true }))

describe('a data directory', () => {
  test('is made with its parents, for this user alone, and names what it holds', async () => {
    const directory = await DataDirectory.open(join(folder, 'a', 'b'))

    expect(statSync(directory.path).mode & 0o777).toBe(0o700)
    expect(directory.identityPath).toBe(join(folder, 'a', 'b', 'identity.key'))
    expect(directory.databasePath.startsWith(directory.path)).toBe(true)
    expect(directory.shardsPath.startsWith(directory.path)).toBe(true)
    directory.release()
  })

  test('that was open to others is closed to them, its content kept', async () => {
    const path = join(folder, 'open')
    mkdirSync(path)
    chmodSync(path, 0o755)
    writeFileSync(join(path, 'kept'), 'x')

    const directory = await DataDirectory.open(path)
    directory.release()

    expect(statSync(path).mode & 0o777).toBe(0o700)
    expect(readdirSync(path)).toContain('kept')
  })

  test('is STORAGE_BUSY while it is held, also by another name, and free after release', async () => {
    const path = join(folder, 'held')
    symlinkSync(path, join(folder, 'link'))
    const first = await DataDirectory.open(path)

    expect(await codeOf(DataDirectory.open(path))).toBe('STORAGE_BUSY')
    expect(await codeOf(DataDirectory.open(join(folder, 'link')))).toBe('STORAGE_BUSY')

    first.release()
    first.release()
    const second = await DataDirectory.open(path)
    expect(await codeOf(DataDirectory.open(path))).toBe('STORAGE_BUSY')
    second.release()
  })

  test('that cannot be one is INVALID_ARGUMENT with the reason, and nothing is changed', async () => {
    const file = join(folder, 'file')
    writeFileSync(file, 'of the user')

    for (const path of [
      '',
      'a\0b',
      file,
      join(file, 'below'),
      '/proc/espalier',
      `${folder}/${'x'.repeat(300)}`,
    ]) {
      expect(await codeOf(DataDirectory.open(path)), path).toBe('INVALID_ARGUMENT')
    }

    await expect(DataDirectory.open(join(file, 'below'))).rejects.toMatchObject({
      cause: { code: 'ENOTDIR' },
      details: { errno: 'ENOTDIR' },
    })
    expect(readdirSync(folder)).toEqual(['file'])
  })
})
