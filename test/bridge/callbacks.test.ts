import { expect, test } from 'vitest'
import { fileURLToPath } from 'node:url'
import { runChild } from './child.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))

// Every function that a user hands over throws; the calls of others, and later ones, go on.
const PROGRAM = `
import { localNetwork } from '${root}dist/testing.js'
import { createNode, EspalierError } from '${root}dist/index.js'
const complaints = []
process.on('uncaughtException', (error) => complaints.push('uncaught: ' + error))
process.on('unhandledRejection', (error) => complaints.push('unhandled: ' + error))
const fail = (why) => () => { throw new RangeError(why) }
const log = { debug: fail('log'), info: fail('log'), warn: fail('log'), error: fail('log') }
const found = {}
const outcome = async (name, attempt) => {
  try { await attempt(); found[name] = 'done' }
  catch (error) { found[name] = error instanceof EspalierError ? error.code : error.message }
}
const network = await localNetwork(3, { node: { log } })
const [first, second] = network.nodes
const { ref } = await first.objects.put(new Uint8Array(300_000))
await outcome('progress of a put', () => first.objects.put(new Uint8Array(10), { onProgress: fail('progress') }))
await outcome('progress of a read', () => second.objects.getBytes(ref, { onProgress: fail('progress') }))
await outcome('a source', () => first.objects.put((async function* () { yield new Uint8Array(1); throw new RangeError('source') })()))
await outcome('an iterator', () => first.objects.put({ [Symbol.asyncIterator]: fail('iterator') }))
await outcome('a next', () => first.objects.put({ [Symbol.asyncIterator]: () => ({ next: fail('next') }) }))
await outcome('a return', () => first.objects.put({ [Symbol.asyncIterator]: () => ({ next: async () => ({ value: 'text' }), return: fail('return') }) }))
await outcome('an option', () => first.objects.put(new Uint8Array(1), { get timeoutMs() { throw new RangeError('getter') } }))
await outcome('the options of a node', () => createNode({ get dataDir() { throw new RangeError('getter') } }))
const controller = new AbortController()
const held = outcome('an aborted put', () => first.objects.put((async function* () { await new Promise(() => setTimeout(() => undefined, 1e6).unref()) })(), { signal: controller.signal }))
controller.abort(new RangeError('reason'))
await held
await outcome('the next put', () => first.objects.put(new Uint8Array(10)))
await outcome('the next read', () => second.objects.getBytes(ref))
await outcome('the next value', () => second.put('name', new Uint8Array(3)))
await outcome('the end', () => network.stop())
process.stdout.write(JSON.stringify({ found, complaints }))
`

test('what a callback of the user throws reaches that user, and nobody else', async () => {
  const ended = await runChild(['--input-type=module', '-e', PROGRAM])

  expect(ended, ended.stderr).toMatchObject({ code: 0, signal: null, stderr: '' })
  expect(JSON.parse(ended.stdout)).toEqual({
    complaints: [],
    found: {
      'progress of a put': 'progress',
      'progress of a read': 'progress',
      'a source': 'source',
      'an iterator': 'iterator',
      'a next': 'next',
      'a return': 'INVALID_ARGUMENT',
      'an option': 'INVALID_ARGUMENT',
      'the options of a node': 'INVALID_ARGUMENT',
      'an aborted put': 'ABORTED',
      'the next put': 'done',
      'the next read': 'done',
      'the next value': 'done',
      'the end': 'done',
    },
  })
})
