import { once } from 'node:events'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { expect, test } from 'vitest'
import type { Addon } from '../../../ts/native/addon.ts'
import { EspalierError } from '../../../ts/base/error.ts'
import { native } from '../../../ts/native/error.ts'

const path = fileURLToPath(new URL('../../../build/Release/espalier.node', import.meta.url))
const addon = createRequire(import.meta.url)(path) as Addon

/** A thread that enters a gate, is busy there and leaves; it notes 1 before, 2 inside and 3 after it. */
function passer(gate: number, busyMs: number): { readonly worker: Worker; readonly notes: Int32Array } {
  const notes = new Int32Array(new SharedArrayBuffer(4))
  const program = `
    const { workerData } = require('node:worker_threads')
    const addon = require(${JSON.stringify(path)})
    Atomics.store(workerData, 0, 1)
    // V8 ends a thread at the start of a function, not in a short loop.
    const enter = () => addon.gateEnter(${gate}, 50)
    while (!enter());
    Atomics.store(workerData, 0, 2)
    const until = Date.now() + ${busyMs}
    while (Date.now() < until);
    Atomics.store(workerData, 0, 3)
    addon.gateLeave(${gate})`
  return { worker: new Worker(program, { eval: true, workerData: notes }), notes }
}

async function until(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await new Promise((resolve) => setTimeout(resolve, 5))
}

test('a thread passes a gate only while another keeps watch, which lasts until it has left', async () => {
  const { worker, notes } = passer(71, 200)
  const ended = once(worker, 'exit')
  await until(() => notes[0] === 1)
  await new Promise((resolve) => setTimeout(resolve, 120))
  expect(notes[0]).toBe(1)

  expect(addon.gateWatch(71, 2_000)).toBe(true)
  expect(Atomics.load(notes, 0)).toBe(3)
  await ended
})

test('a watcher that waits can be given up: a thread that nobody watches ends when it is told to', async () => {
  const { worker, notes } = passer(72, 0)
  await until(() => notes[0] === 1)

  await worker.terminate()
  expect(notes[0]).toBe(1)
  expect(addon.gateWatch(72, 20)).toBe(false)
})

test('the worker below a worker that is terminated has left the gate before it ends', async () => {
  const notes = new Int32Array(new SharedArrayBuffer(4))
  const below = `
    const { workerData } = require('node:worker_threads')
    const addon = require(${JSON.stringify(path)})
    const enter = () => addon.gateEnter(73, 50)
    while (!enter());
    Atomics.store(workerData, 0, 2)
    const until = Date.now() + 400
    while (Date.now() < until);
    Atomics.store(workerData, 0, 3)
    addon.gateLeave(73)`
  const owner = new Worker(
    `const { Worker, workerData } = require('node:worker_threads')
     const addon = require(${JSON.stringify(path)})
     new Worker(${JSON.stringify(below)}, { eval: true, workerData })
     setInterval(() => addon.gateWatch(73, 2000), 1)`,
    { eval: true, workerData: notes },
  )
  await until(() => Atomics.load(notes, 0) === 2)

  await owner.terminate()
  expect(Atomics.load(notes, 0)).toBe(3)
})

test('nobody enters a gate that is not watched, and leaving it does nothing', () => {
  expect(addon.gateEnter(74, 0)).toBe(false)
  expect(addon.gateWatch(74, 0)).toBe(false)
  expect(() => {
    addon.gateLeave(74)
  }).not.toThrow()
  expect(addon.gateEnter(74, 0)).toBe(false)
})

test.each([
  ['no number of a gate', () => addon.gateWatch(-1, 0)],
  ['a wait of more than two seconds', () => addon.gateEnter(1, 2_001)],
  ['no time', () => addon.gateWatch(1, Number.NaN)],
])('%s is refused', (_, call) => {
  expect(() => native(call)).toThrow(EspalierError)
  expect(() => native(call)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }))
})
