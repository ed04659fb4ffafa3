// Calls every function, class and method of the public doors with hostile and with good arguments; says what it
// found as JSON. Arguments: a JSON file with the doors, a seed and how many calls; the file of the call log.
import { readFileSync } from 'node:fs'
import { CallLog } from './call-log.mjs'
import { instancesFor } from './door-instances.mjs'
import { Dice, HOSTILE, setReentry, Thrown } from './hostile-values.mjs'

const [planFile, logFile] = process.argv.slice(2)
const plan = JSON.parse(readFileSync(planFile, 'utf8'))
const log = new CallLog(logFile)
const dice = new Dice(plan.seed)
const outcomes = {}
const faults = []
const doors = {}
for (const name of Object.keys(plan.doors)) doors[name] = await import(`${plan.dist}/${name}.js`)
const { EspalierError } = doors.index
/** What the language itself says of a method without its object and a class without `new`. */
const OF_THE_LANGUAGE =
  /private member|private (field|method)|without 'new'|Receiver must be|not a constructor|incompatible receiver/

process.on('uncaughtException', (error) => {
  if (!(error instanceof Thrown)) fault('uncaught', error)
})
process.on('unhandledRejection', (error) => {
  if (!(error instanceof Thrown)) fault('unhandled rejection', error)
})

const instances = await instancesFor(doors, plan)
const targets = Object.entries(plan.doors).flatMap(([name, door]) => targetsOf(name, door))
/** Promises that have not settled. Bounded by MAX_PENDING. */
const pending = new Set()
const MAX_PENDING = 64
let attempts = 0
let depth = 0

setReentry(() => {
  if (depth > 2) return undefined
  return attempt(dice.pick(targets))
})

for (const target of targets) await callPairs(target)
while (attempts < plan.calls) {
  const target = dice.pick(targets)
  if (target.isRare && dice.below(50) > 0) continue
  attempt(target)
  await pause()
}
const unsettled = await settleAll()
await instances.close()
for (const described of unsettled) fault(described, new Error('the promise did not settle'))
// Networks and nodes that calls have made are still running.
process.stdout.write(JSON.stringify({ attempts, outcomes, faults: faults.slice(0, 20) }) + '\n', () => {
  process.exit(0)
})

/** Everything of a door that can be called, each with a way to the object that it is called on. */
function targetsOf(name, door) {
  const module = doors[name]
  const target = (label, callable, receiver) => ({
    label: `${name}.${label}`,
    parameters: callable.parameters,
    receiver,
    member: callable.name,
    isRare: instances.isRare(label),
  })
  const onModule = (callable) => target(callable.name, callable, () => module)
  const classes = door.classes.flatMap(({ name: type, statics }) => [
    ...statics
      .filter(() => module[type] !== undefined)
      .map((callable) => target(`${type}.${callable.name}`, callable, () => module[type])),
    // Some are exported as types only.
    ...(module[type] === undefined || instances.isExempt(type)
      ? []
      : [{ ...target(`new ${type}`, { name: type, parameters: [] }, () => module), isClass: true }]),
  ])
  const methods = door.members.flatMap(({ name: type, methods: callables, getters }) => {
    const on = (member) => {
      const makers = instances.of(type, member)
      if (makers === undefined) fault(type, new Error('no object of this type is called'))
      return makers ?? []
    }
    return [
      ...callables.flatMap((callable) =>
        on(callable.name).map((make) => target(`${type}.${callable.name}`, callable, make)),
      ),
      ...getters.flatMap((getter) =>
        on(getter).map((make) => ({
          ...target(`${type}.${getter}`, { name: getter, parameters: [] }, make),
          isGetter: true,
        })),
      ),
    ]
  })
  const functions = door.functions.filter(({ name: own }) => !instances.isExempt(own))
  return [...functions.map(onModule), ...classes, ...methods]
}

async function callPairs(target) {
  const share = target.isRare ? 0.01 : plan.pairs
  for (const first of HOSTILE) {
    if (target.isRare && dice.below(10) > 0) continue
    attempt(target, [first])
    for (const second of target.parameters.length > 1 ? HOSTILE : []) {
      if (dice.below(10_000) < share * 10_000) attempt(target, [first, second])
    }
    await pause()
  }
}

function attempt(target, fixed) {
  const values = target.parameters.map((parameter, index) => argument(parameter, fixed?.[index]))
  // More than there are parameters, and fewer.
  const extra = dice.below(20) === 0 ? [dice.pick(HOSTILE)] : []
  const given = [...values.map(({ value }) => value), ...extra.map(({ make }) => make())]
  if (dice.below(40) === 0) given.pop()
  if (target.isClass) given.push(...(fixed ?? [dice.pick(HOSTILE)]).map(({ make }) => make()))
  const names = [...values, ...extra].map(({ name }) => name)
  const described = `${target.label}(${names.join(', ')})`
  attempts += 1
  log.write(`call ${attempts} of seed ${plan.seed}: ${described}`)
  depth += 1
  try {
    const owner = target.receiver()
    const result = call(target, owner, given)
    if (typeof result?.then === 'function' && result instanceof Promise) follow(target, described, result)
    else count(target.label, 'returned')
    return result
  } catch (error) {
    judge(target, described, error)
    return undefined
  } finally {
    depth -= 1
  }
}

function call(target, owner, given) {
  if (target.isGetter) return owner[target.member]
  const member = target.member.startsWith('@@') ? Symbol[target.member.slice(2)] : target.member
  const callee = owner[member]
  if (target.isClass) return dice.below(4) === 0 ? callee(...given) : new callee(...given)
  const choice = dice.below(100)
  // A wrong `this`, and a constructor that is none.
  if (choice === 0) return onlyTypeErrors(() => Reflect.apply(callee, dice.pick(HOSTILE).make(), given))
  if (choice === 1) return onlyTypeErrors(() => Reflect.construct(callee, given))
  return Reflect.apply(callee, owner, given)
}

/** What a method says of an object that is not its own is the language's word. */
function onlyTypeErrors(attempt) {
  const tolerate = (error) => {
    if (!(error instanceof TypeError)) throw error
  }
  try {
    const result = attempt()
    return result instanceof Promise ? result.catch(tolerate) : undefined
  } catch (error) {
    return tolerate(error)
  }
}

function follow(target, described, promise) {
  const started = { described, done: undefined }
  started.done = promise
    .then(
      () => count(target.label, 'resolved'),
      (error) => judge(target, described, error),
    )
    .finally(() => pending.delete(started))
  pending.add(started)
}

function judge(target, described, error) {
  if (error instanceof Thrown) return count(target.label, 'thrown by the value')
  if (error instanceof EspalierError) {
    count(target.label, error.code)
    // What native code did not expect is a fault of ours, whoever provoked it.
    if (/native code (failed|panicked)/.test(error.message)) fault(described, error)
    return undefined
  }
  if (error instanceof TypeError && OF_THE_LANGUAGE.test(error.message)) {
    return count(target.label, 'refused by the language')
  }
  count(target.label, 'fault')
  return fault(described, error)
}

async function pause() {
  if (attempts % 50 === 0) await timer(0)
  for (let wait = 0; pending.size >= MAX_PENDING; wait += 1) {
    if (wait === 2000) throw new Error(`calls that never settle: ${[...pending][0].described}`)
    await timer(5)
  }
}

/** Answers what has not settled in a minute. */
async function settleAll() {
  for (let wait = 0; pending.size > 0 && wait < 6000; wait += 1) await timer(10)
  return [...pending].map(({ described }) => described)
}

function timer(delayMs) {
  return new Promise((resolve) => setTimeout(resolve, delayMs))
}

function argument(parameter, hostile) {
  if (hostile !== undefined) return { name: hostile.name, value: hostile.make() }
  if (dice.below(4) === 0) {
    const value = dice.pick(HOSTILE)
    return { name: value.name, value: value.make() }
  }
  return { name: `a ${parameter.shape.kind}`, value: good(parameter.name, parameter.shape) }
}

/** A value of the shape; in one of eight places deeper inside a hostile one. */
function good(name, shape, inner = false) {
  if (inner && dice.below(8) === 0) return dice.pick(HOSTILE).make()
  switch (shape.kind) {
    case 'any of':
      return good(name, dice.pick(shape.shapes))
    case 'literal':
      return shape.value
    case 'list':
      return Array.from({ length: dice.pick([0, 1, 2, 3, 6]) }, () => good(name, shape.item, true))
    case 'object':
      return fields(shape)
    default:
      return instances.good(name, shape.kind, dice)
  }
}

function fields(shape) {
  const object = {}
  for (const [name, inner] of Object.entries(shape.fields)) {
    const value = good(name, inner, true)
    if (value !== undefined) object[name] = value
  }
  return object
}

function count(name, outcome) {
  const counts = (outcomes[name] ??= {})
  counts[outcome] = (counts[outcome] ?? 0) + 1
}

function fault(described, error) {
  const text = error instanceof Error ? `${error.name} ${error.code}: ${error.message}` : String(error)
  const at =
    error instanceof Error ? (error.stack?.split('\n').find((line) => line.includes('/dist/')) ?? '') : ''
  if (faults.length < 1000) faults.push(`${described}: ${text} ${at.trim()}`)
}
