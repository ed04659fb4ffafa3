import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { lockFile } from '../../../ts/native/lock.ts'
import { codeOf } from './support.ts'

const addonPath = fileURLToPath(new URL('../../../build/Release/espalier.node', import.meta.url))
let folder: string

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'espalier-lock-'))
})

afterAll(() => {
  rmSync(folder, { recursive: true })
})

test('a lock excludes a second one until it is released', () => {
  const path = join(folder, 'one')
  const lock = lockFile(path)

  expect(codeOf(() => lockFile(path))).toBe('STORAGE_BUSY')
  lock.release()
  lock.release()
  expect(codeOf(() => lockFile(path).release())).toBe('none')
})

test('the file is private and keeps what it holds', () => {
  const path = join(folder, 'kept')
  lockFile(path).release()
  expect(statSync(path).mode & 0o777).toBe(0o600)
  writeFileSync(path, 'pid 1')

  lockFile(path).release()

  expect(readFileSync(path, 'utf8')).toBe('pid 1')
})

test('a lock of another process holds until that is killed', async () => {
  const path = join(folder, 'other')
  const program = `
    const addon = require(${JSON.stringify(addonPath)})
    addon.lockFile(${JSON.stringify(path)})
    console.log('locked')
    setInterval(() => {}, 1000)`
  const child = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(child.stdout, 'data')

  expect(codeOf(() => lockFile(path))).toBe('STORAGE_BUSY')
  child.kill('SIGKILL')
  await once(child, 'exit')
  expect(codeOf(() => lockFile(path).release())).toBe('none')
})

test('a lock of a worker thread ends with the worker', async () => {
  const path = join(folder, 'worker')
  const program = `
    const { parentPort } = require('node:worker_threads')
    require(${JSON.stringify(addonPath)}).lockFile(${JSON.stringify(path)})
    parentPort.postMessage('locked')
    setInterval(() => {}, 1000)`
  const worker = new Worker(program, { eval: true })
  await once(worker, 'message')

  expect(codeOf(() => lockFile(path))).toBe('STORAGE_BUSY')
  await worker.terminate()
  expect(codeOf(() => lockFile(path).release())).toBe('none')
})

test('a path that cannot be opened is refused', () => {
  expect(codeOf(() => lockFile(folder))).toBe('INVALID_ARGUMENT')
  expect(codeOf(() => lockFile(join(folder, 'absent', 'lock')))).toBe('INVALID_ARGUMENT')
  expect(codeOf(() => lockFile(''))).toBe('INVALID_ARGUMENT')
  expect(codeOf(() => lockFile(undefined as never))).toBe('INVALID_ARGUMENT')
})
