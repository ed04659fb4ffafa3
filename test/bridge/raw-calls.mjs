// Calls every export of the addon with hostile and with good arguments, in every order; says what it found as JSON.
// Arguments: a JSON file with the addon's path, its interface, a seed and how many calls; the file of the call log.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { CallLog } from './call-log.mjs'
import { Dice, HOSTILE, setReentry, Thrown } from './hostile-values.mjs'
import { RawPeers } from './raw-peers.mjs'

const [planFile, logFile] = process.argv.slice(2)
const plan = JSON.parse(readFileSync(planFile, 'utf8'))
const addon = createRequire(import.meta.url)(plan.addon)
const log = new CallLog(logFile)
const dice = new Dice(plan.seed)
const codes = new Set(plan.codes)
const outcomes = {}
const faults = []
/** Functions that start threads, stretch keys or wait: called less often. */
const RARE =
  /^(transportOpen|transportForget|transportCloseAll|transportClose|keyFile|verifyMany|lockFile|gateWatch|gateEnter)/
/** What Node-API itself refuses before our code sees it. */
const REFUSED = /^(InvalidArg|.*Expected)$/

process.on('uncaughtException', (error) => {
  // A class that was given as a callback.
  if (error instanceof Thrown || /without 'new'/.test(error.message)) return
  fault('uncaught', error)
})
process.on('unhandledRejection', (error) => fault('unhandled rejection', error))

const peers = new RawPeers(addon)
let attempts = 0
let depth = 0

setReentry(() => {
  if (depth > 2) return undefined
  return attempt(dice.pick(plan.functions))
})

await peers.open()
// Every function with every hostile value and every pair of them in its first two places, the others good.
for (const callable of plan.functions) await callPairs(callable)
while (attempts < plan.calls) {
  const callable = dice.pick(plan.functions)
  if (RARE.test(callable.name) && dice.below(20) > 0) continue
  attempt(callable)
  await pause()
}
await peers.close()
process.stdout.write(JSON.stringify({ attempts, outcomes, faults: faults.slice(0, 20) }) + '\n')

async function callPairs(callable) {
  const places = Math.min(2, callable.parameters.length)
  // A part of the pairs in a short run, another one for each seed.
  const share = RARE.test(callable.name) ? 0.02 : plan.pairs
  for (const first of places > 0 ? HOSTILE : []) {
    attempt(callable, [first])
    for (const second of places > 1 ? HOSTILE : []) {
      if (dice.below(10_000) >= share * 10_000) continue
      attempt(callable, [first, second])
    }
    await pause()
  }
}

/** Now and then the event loop turns: results and events are taken, and what was ended is begun anew. */
async function pause() {
  if (attempts % 200 === 0) await peers.turn(attempts % 5000 === 0)
}

function attempt(callable, fixed) {
  const values = callable.parameters.map((parameter, index) => argument(parameter, fixed?.[index]))
  const call = addon[callable.name]
  const receiver = dice.below(20) === 0 ? dice.pick(HOSTILE) : undefined
  const construct = receiver === undefined && dice.below(200) === 0
  const described = `${callable.name}(${values.map(({ name }) => name).join(', ')})`
  attempts += 1
  log.write(`call ${attempts} of seed ${plan.seed}: ${described}`)
  const given = values.map(({ value }) => value)
  depth += 1
  try {
    const result = construct
      ? Reflect.construct(call, given)
      : Reflect.apply(call, receiver?.make() ?? addon, given)
    count(callable.name, 'returned')
    peers.learn(callable.name, result)
    return result
  } catch (error) {
    judge(described, callable.name, error)
    return undefined
  } finally {
    depth -= 1
  }
}

function judge(described, name, error) {
  if (error instanceof Thrown) return count(name, 'thrown by the value')
  const code = error instanceof Error ? (/^([A-Z_]+): /.exec(error.message)?.[1] ?? error.code) : undefined
  count(name, code)
  if (code !== undefined && (codes.has(code) || REFUSED.test(code)) && !/panicked/.test(error.message)) return
  fault(described, error)
}

function argument(parameter, hostile) {
  if (hostile !== undefined) return { name: hostile.name, value: hostile.make() }
  if (dice.below(4) === 0) {
    const value = dice.pick(HOSTILE)
    return { name: value.name, value: value.make() }
  }
  return peers.good(parameter, dice)
}

function count(name, outcome) {
  const counts = (outcomes[name] ??= {})
  counts[outcome] = (counts[outcome] ?? 0) + 1
}

function fault(described, error) {
  const text = error instanceof Error ? `${error.name} ${error.code}: ${error.message}` : String(error)
  if (faults.length < 1000) faults.push(`${described}: ${text}`)
}
