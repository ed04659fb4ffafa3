import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import type { Addon } from '../../ts/native/addon.ts'

const addonPath = fileURLToPath(new URL('../../build/Release/espalier.node', import.meta.url))

/** What makes an array over memory of ours; Electron and other builds with V8's sandbox refuse it. */
const EXTERNAL = /napi_create_external_(arraybuffer|buffer)|node_api_create_external_\w+/g

test('the addon cannot hand memory of its own to JavaScript: it links nothing that does', () => {
  // The names of what it takes from Node stand in the file as they are, on every platform.
  const text = readFileSync(addonPath, 'latin1')

  expect(text).toContain('napi_create_arraybuffer')
  expect(text.match(EXTERNAL) ?? []).toEqual([])
})

test('bytes that the addon returns lie in memory of the engine: they are moved and resized as any', () => {
  const addon = createRequire(import.meta.url)(addonPath) as Addon
  const data = new Uint8Array(100_000).map((_, index) => index)
  const [root, nodes] = [new Uint8Array(32), new Uint8Array(64 * 6)]
  addon.outboard(data, root, nodes)
  const slice = addon.extractSlice(data, nodes, 5000, 40_000)
  const proved = addon.verifySlice(root, data.length, 5000, 40_000, slice)

  for (const returned of [slice, proved]) {
    const before = [...returned]
    const moved = structuredClone(returned, { transfer: [returned.buffer as ArrayBuffer] })
    expect(returned.byteLength).toBe(0)
    expect([...moved]).toEqual(before)
  }
  expect(() => addon.verifySlice(root, data.length, 5000, 40_000, slice)).toThrow('INVALID_ARGUMENT')
})
