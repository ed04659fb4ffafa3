// The inside of a contestant written in JavaScript: one JSON command a line on standard input, one JSON
// answer a line on standard output, exactly as the plain native program in bench/native does it.
import { performance } from 'node:perf_hooks'
import { createInterface } from 'node:readline'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** A contestant that does not end by itself is left behind. */
const END_TIMEOUT_MS = 8000
/** Share of the measured time that runs before it, so that the compiler of JavaScript has done its work. */
const WARM_UP_RATIO = 0.15

/**
 * Loads the library under test, greets with what `load` says, and answers commands until standard input
 * ends. `load` answers `{ greeting?, operations, end? }`; whatever it throws becomes the reason why the
 * contestant did not run.
 */
export async function serve(load) {
  let contestant
  try {
    contestant = await load()
  } catch (error) {
    say({ error: reasonOf(error) })
    process.exit(1)
  }
  say({ ready: true, ...contestant.greeting })
  for await (const line of createInterface({ input: process.stdin })) {
    say(await answer(contestant.operations, JSON.parse(line)))
  }
  await Promise.race([contestant.end?.(), later(END_TIMEOUT_MS)])
  process.exit(0)
}

async function answer(operations, command) {
  if (command.op === 'cpu') return { cpuSeconds: cpuSeconds() }
  if (command.op === 'memory' && operations.memory === undefined) return { rssBytes: residentBytes() }
  const operation = Object.hasOwn(operations, command.op) ? operations[command.op] : undefined
  if (operation === undefined) return { error: `it has no ${command.op}` }
  try {
    return await operation(command)
  } catch (error) {
    return { error: reasonOf(error) }
  }
}

/** Calls synchronous `work` in growing batches until `seconds` have passed. One call does `perCall` operations. */
export function repeat(seconds, work, perCall = 1) {
  timed(seconds * WARM_UP_RATIO, work)
  const { calls, ...took } = timed(seconds, work)
  return { count: calls * perCall, ...took }
}

function timed(seconds, work) {
  const startedAtMs = performance.now()
  const cpuBefore = cpuSeconds()
  let calls = 0
  let batch = 1
  for (;;) {
    for (let index = 0; index < batch; index += 1) work()
    calls += batch
    const elapsed = (performance.now() - startedAtMs) / 1000
    if (elapsed >= seconds) return { calls, seconds: elapsed, cpuSeconds: cpuSeconds() - cpuBefore }
    // About 100 looks at the clock in all, so that it costs nothing.
    if (elapsed < seconds / 100) batch *= 2
  }
}

/** Keeps `inFlight` calls of asynchronous `work` going for `seconds`, with the percentiles of one call. */
export async function repeatTogether({ seconds, inFlight }, work) {
  const startedAtMs = performance.now()
  const cpuBefore = cpuSeconds()
  const endsAtMs = startedAtMs + seconds * 1000
  const tookMs = []
  const caller = async (index) => {
    for (let now = performance.now(); now < endsAtMs;) {
      await work(index)
      const after = performance.now()
      tookMs.push(after - now)
      now = after
    }
  }
  await Promise.all(Array.from({ length: inFlight }, (_, index) => caller(index)))
  const elapsed = (performance.now() - startedAtMs) / 1000
  const cpu = cpuSeconds() - cpuBefore
  tookMs.sort((a, b) => a - b)
  const at = (ratio) => 1000 * (tookMs[Math.min(tookMs.length - 1, Math.floor(tookMs.length * ratio))] ?? 0)
  return {
    count: tookMs.length,
    seconds: elapsed,
    cpuSeconds: cpu,
    p50Micros: at(0.5),
    p99Micros: at(0.99),
  }
}

/** Writes chunks for `seconds`, lets `finish` wait until the far end counted them, and answers that count. */
export async function pour(seconds, { write, finish }) {
  const startedAtMs = performance.now()
  const cpuBefore = cpuSeconds()
  while (performance.now() - startedAtMs < seconds * 1000) await write()
  const count = await finish()
  return {
    count,
    seconds: (performance.now() - startedAtMs) / 1000,
    cpuSeconds: cpuSeconds() - cpuBefore,
  }
}

/** User and system time of this process, all threads. */
export function cpuSeconds() {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1e6
}

/** Memory in use: garbage is collected first, so that only what is kept counts. */
function residentBytes() {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc')
  collect()
  collect()
  return process.memoryUsage().rss
}

/** Opens `connections` one after the other by `dial`, which uses each once, and keeps them open. */
export async function hold({ connections }, dial) {
  const startedAtMs = performance.now()
  for (let index = 0; index < connections; index += 1) held.push(await dial(held.length))
  return { count: connections, seconds: (performance.now() - startedAtMs) / 1000, cpuSeconds: 0 }
}

/** Connections that stay open until this process ends. Bounded by the commands of one run. */
const held = []

/** What `count` things take that `make` makes and keeps, in memory. */
export async function growthOf(count, make) {
  const before = residentBytes()
  const startedAtMs = performance.now()
  await make()
  const seconds = (performance.now() - startedAtMs) / 1000
  return { count, seconds, cpuSeconds: 0, growthBytes: residentBytes() - before }
}

/** Adds one to a little-endian counter at the start of `bytes`: every round gets another message. */
export function countUp(bytes) {
  for (let index = 0; index < 8; index += 1) {
    bytes[index] = (bytes[index] + 1) & 255
    if (bytes[index] !== 0) return
  }
}

/** Bytes that differ, the same ones in every contestant. */
export function pattern(length, seed = 0) {
  return Uint8Array.from({ length }, (_, index) => (seed * 31 + index * 7) % 251)
}

/** Throws when a contestant did not do what it is measured for. */
export function check(right, what) {
  if (!right) throw new Error(`wrong result: ${what}`)
}

function later(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

function reasonOf(error) {
  const text = error instanceof Error ? error.message : String(error)
  return text.replace(/\s+/g, ' ').slice(0, 300)
}

function say(value) {
  process.stdout.write(`${JSON.stringify(value)}\n`)
}
