import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { isErrorCode } from '../../ts/base/error.ts'
import { runChild } from './child.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'espalier-panics-'))
const LIBRARY: Readonly<Record<string, string>> = {
  darwin: 'libespalier_binding.dylib',
  win32: 'espalier_binding.dll',
}

/** An addon that can be told to panic: in the profile whose dependencies the Rust tests have compiled. */
const addonPath = join(folder, 'espalier.node')

beforeAll(() => {
  execFileSync(
    'cargo',
    ['build', '--locked', '--quiet', '-p', 'espalier-binding', '--features', 'test-hooks'],
    {
      cwd: root,
      stdio: 'inherit',
      env: { ...process.env, AWS_LC_SYS_NO_JITTER_ENTROPY: '1' },
    },
  )
  const target = process.env['CARGO_TARGET_DIR'] ?? join(root, 'target')
  copyFileSync(join(target, 'debug', LIBRARY[process.platform] ?? 'libespalier_binding.so'), addonPath)
}, 600_000)

afterAll(() => rmSync(folder, { recursive: true, force: true }))

test('a panic in any native code path becomes a coded error, and the next call works', async () => {
  const files = join(folder, 'files')
  mkdirSync(files)
  const words = [join(root, 'test', 'bridge', 'panic-child.mjs'), join(root, 'dist'), files]

  const ended = await runChild(words, { env: { ESPALIER_NATIVE_PATH: addonPath, RUST_BACKTRACE: '0' } })

  expect(ended, ended.stderr).toMatchObject({ code: 0, signal: null })
  const found = JSON.parse(ended.stdout) as Readonly<Record<string, readonly (string | number)[]>>
  expect(found).toMatchObject({
    call: ['INVALID_STATE', 'done'],
    drop: ['INVALID_STATE', 'done'],
    compute: ['INVALID_STATE', 'done'],
    slow: ['INVALID_STATE', 'done'],
    disk: ['INVALID_STATE', 'done'],
    wake: ['done', 'done'],
    conversion: ['INVALID_STATE', 'done'],
    sink: ['INVALID_STATE', 'done'],
    driver: ['CLOSED', 'done'],
    'stream under the driver': ['CLOSED'],
    worker: [0, 'done'],
  })
  // The peer's task is gone; this side hears it in one way or another, and everything can be closed.
  for (const name of ['request', 'streamOpened', 'streamReadable']) {
    expect(isErrorCode(String(found[name]?.[0])), `${name}: ${String(found[name]?.[0])}`).toBe(true)
  }
  // Whichever side is first has the fault: the dial fails, or the accepting side knows nothing of it.
  expect(['INVALID_STATE', 'done']).toContain(found['linkUp']?.[0])
  for (const name of ['linkUp', 'request', 'datagram', 'streamOpened', 'streamReadable']) {
    expect(found[name]?.[1]).toBe('done')
    expect(found[`close after ${name}`]).toEqual(['done', 'done'])
  }
  // Every fault was had: a hook that is never passed would show nothing.
  expect(ended.stderr.match(/on purpose/g)?.length).toBeGreaterThanOrEqual(14)
})
