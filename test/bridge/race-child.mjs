// Calls everything that takes bytes, and meanwhile changes, shrinks, moves or frees the memory of each of them in turn.
// What comes out must be what the bytes at the call give, or a coded refusal. Argument: a JSON file with what to call.
import { readFileSync } from 'node:fs'
import { isDeepStrictEqual } from 'node:util'
import { CallLog } from './call-log.mjs'
import { Memory } from './race-memory.mjs'

const [planFile, logFile] = process.argv.slice(2)
const plan = JSON.parse(readFileSync(planFile, 'utf8'))
const log = new CallLog(logFile)
const memory = new Memory()
const faults = []
/** How often each place was disturbed, by export and place. */
const raced = {}
/** After these the view is as good as before. */
const CHANGES = new Set(['overwrite', 'grow'])
let calls = 0

process.on('uncaughtException', (error) => fault('uncaught', error))
process.on('unhandledRejection', (error) => fault('unhandled rejection', error))

// Each has the completion queue of the process for itself.
const source =
  plan.part === 'addon'
    ? await (await import('./race-addon-cases.mjs')).addonCases(plan)
    : await (await import('./race-door-cases.mjs')).doorCases(plan)
for (let round = 0; round < plan.rounds; round += 1) {
  for (const each of source.cases) await race(each)
}
await source.close()
await memory.close()
process.stdout.write(JSON.stringify({ calls, raced, faults: faults.slice(0, 30) }) + '\n', () =>
  process.exit(0),
)

async function race(given) {
  const expected = await given.run(given.args(), () => undefined)
  if (given.holds?.(expected, given.args()) === false) fault(given.name, new Error('it fails undisturbed'))
  for (const place of placesOf(given.args(), given.parameters)) {
    for (const [kind, { make, disturbances }] of Object.entries(memory.kinds)) {
      for (const how of disturbances) {
        await afterCall(given, { expected, place, kind, make, how })
        for (const trap of trapsOf(given.args(), place)) {
          await whileRead(given, { expected, place, kind, make, how, trap })
        }
      }
    }
    for (const [kind, make] of Object.entries(memory.sharedKinds)) {
      await refused(given, { place, kind, make })
    }
  }
}

/** The memory is disturbed as soon as the call has returned, before anything else runs. */
async function afterCall(given, { expected, place, kind, make, how }) {
  const args = given.args()
  const view = make(place.get(args))
  place.set(args, view)
  const about = begin(given, `${place.name} in ${kind}, then ${how}`)
  try {
    const found = await given.run(args, () => {
      memory.disturb(how, view)
      if (calls % 16 === 0) globalThis.gc()
    })
    const holds = given.holds?.(found, given.args()) ?? isDeepStrictEqual(found, expected)
    if (!holds) fault(about, new Error(`the outcome is not that of the bytes at the call`))
    count(given, place)
  } catch (error) {
    if (given.isWaiting && isRefusal(error)) count(given, place)
    else fault(about, error)
  }
}

/** The memory is disturbed by a getter, in the midst of the call's own reading of its arguments. */
async function whileRead(given, { expected, place, kind, make, how, trap }) {
  const args = given.args()
  const view = make(place.get(args))
  place.set(args, view)
  const value = trap.owner(args)[trap.key]
  let isDone = false
  const get = () => {
    if (!isDone) memory.disturb(how, view)
    isDone = true
    return value
  }
  Object.defineProperty(trap.owner(args), trap.key, { get, enumerable: true, configurable: true })
  const about = begin(given, `${place.name} in ${kind}, ${how} when ${trap.key} is read`)
  try {
    const found = await given.run(args, () => undefined)
    // Which bytes are those of the call is open when they are changed during it; that they are there is not.
    if (!isDone || CHANGES.has(how) || (kind === 'a resizable buffer' && how === 'shrink')) return
    if (source.readsEmpty) return
    const holds = given.holds?.(found, given.args()) ?? isDeepStrictEqual(found, expected)
    if (!holds) fault(about, new Error('the outcome is not that of the bytes at the call'))
  } catch (error) {
    if (!isRefusal(error)) fault(about, error)
  }
}

async function refused(given, { place, kind, make }) {
  const args = given.args()
  place.set(args, make(place.get(args)))
  const about = begin(given, `${place.name} in ${kind}`)
  try {
    await given.run(args, () => undefined)
    fault(about, new Error('memory that another thread writes was taken'))
  } catch (error) {
    if (source.codeOf(error) !== 'INVALID_ARGUMENT') fault(about, error)
  }
}

function begin({ name }, what) {
  calls += 1
  const about = `${name}: ${what}`
  log.write(`call ${calls}: ${about}`)
  return about
}

function isRefusal(error) {
  return plan.codes.includes(source.codeOf(error)) && !/panicked|native code failed/.test(error.message)
}

/** Where bytes stand in the arguments: the first and the last of each list. */
function placesOf(args, parameters) {
  const places = []
  const walk = (value, name, owner, key) => {
    if (ArrayBuffer.isView(value)) {
      const set = (to, view) => (owner(to)[key] = view)
      places.push({ name, key, owner, get: (from) => owner(from)[key], set })
    } else if (Array.isArray(value)) {
      for (const index of new Set([0, value.length - 1])) {
        walk(value[index], `${name}[]`, (from) => owner(from)[key], index)
      }
    } else if (
      typeof value === 'object' &&
      value !== null &&
      Object.getPrototypeOf(value) === Object.prototype
    ) {
      for (const field of Object.keys(value)) {
        walk(value[field], `${name}.${field}`, (from) => owner(from)[key], field)
      }
    }
  }
  args.forEach((value, index) => walk(value, parameters[index], (from) => from, index))
  return places
}

/** Everything in lists and objects of the arguments but the place itself: where reading may run the caller's code. */
function trapsOf(args, place) {
  const traps = []
  const walk = (value, owner, key, isInside) => {
    if (isInside && !(owner(args) === place.owner(args) && key === place.key)) traps.push({ owner, key })
    if (ArrayBuffer.isView(value) || typeof value !== 'object' || value === null) return
    if (!Array.isArray(value) && Object.getPrototypeOf(value) !== Object.prototype) return
    for (const inner of Object.keys(value)) walk(value[inner], (from) => owner(from)[key], inner, true)
  }
  args.forEach((value, index) => walk(value, (from) => from, index, false))
  // First and last are enough of a long list.
  return traps.length > 6 ? [...traps.slice(0, 3), ...traps.slice(-3)] : traps
}

function count({ name }, place) {
  const key = `${name}(${place.name})`
  raced[key] = (raced[key] ?? 0) + 1
}

function fault(about, error) {
  const text = error instanceof Error ? `${error.name} ${error.code}: ${error.message}` : String(error)
  if (faults.length < 1000) faults.push(`${about}: ${text}`)
}
