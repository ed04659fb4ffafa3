// Interleaved rounds: machines vary from hour to hour, so contestants take turns inside every round and
// are compared within the round.
import { judge, ratioOf } from './goals.mjs'
import { spread } from './stats.mjs'

/**
 * Runs every figure of a group and answers one result after the other. A contestant that cannot start or
 * fails in a figure stays in the result with its reason.
 *
 * group: { name, contestants: [{ id, name, kind: 'ours' | 'native' | 'peer', start() }], figures }
 * figure: { what, unit, better: 'higher' | 'lower', command, ops?: { id: op }, by: [id], of(measurement),
 *           cpu?: { unit, of }, goals, note? }
 */
export async function* runGroup(group, { seconds, rounds, onProgress }) {
  const running = new Map()
  try {
    for (const figure of group.figures) {
      const contestants = await enter(group, figure, { running, onProgress })
      await play(figure, contestants, { seconds: seconds * (figure.secondsFactor ?? 1), rounds, onProgress })
      yield conclude(group, figure, contestants)
    }
  } finally {
    for (const { session } of running.values()) await session?.close()
  }
}

/** The contestants of one figure, started where they do not run yet. */
async function enter(group, figure, { running, onProgress }) {
  const entered = []
  for (const id of figure.by) {
    const { name, kind, start } = group.contestants.find((each) => each.id === id)
    let state = running.get(id)
    // A program that died in an earlier figure gets another chance; one that never started does not.
    if (state === undefined || (state.session !== undefined && !state.session.alive)) {
      onProgress(`${group.name}: starting ${name}`)
      state = await startOf(start)
      running.set(id, state)
    }
    entered.push({ id, name, kind, ...state, measurements: [] })
  }
  return entered
}

async function startOf(start) {
  try {
    return { session: await start() }
  } catch (error) {
    return { notRun: error.message }
  }
}

async function play(figure, contestants, { seconds, rounds, onProgress }) {
  // Round 0 warms up caches, connections and compilers; it is not counted.
  for (let round = 0; round <= rounds; round += 1) {
    const roundSeconds = round === 0 ? seconds / 4 : seconds
    for (let turn = 0; turn < contestants.length; turn += 1) {
      // Another one begins each round, so that no one always follows the same neighbour.
      const contestant = contestants[(turn + round) % contestants.length]
      if (contestant.notRun !== undefined) continue
      onProgress(`${figure.what}: ${contestant.name}, round ${round} of ${rounds}`)
      try {
        const op = figure.ops?.[contestant.id] ?? figure.command.op
        const command = { ...figure.command, op, seconds: roundSeconds }
        const measurement = await contestant.session.measure(command)
        if (!(measurement.count > 0)) throw new Error('it finished nothing in the time of a round')
        if (round > 0) contestant.measurements.push(measurement)
      } catch (error) {
        contestant.notRun = error.message
      }
    }
  }
}

function conclude(group, figure, contestants) {
  const results = contestants.map(({ id, name, kind, notRun, measurements }) => {
    if (notRun !== undefined) return { id, name, kind, notRun }
    const values = measurements.map((measurement) => figure.of(measurement))
    const cpu = figure.cpu === undefined ? undefined : measurements.map((each) => figure.cpu.of(each))
    return {
      ...{ id, name, kind, values, ...spread(values) },
      ...(cpu === undefined ? {} : { cpu: { unit: figure.cpu.unit, values: cpu, ...spread(cpu) } }),
      ...percentilesOf(measurements),
    }
  })
  const ours = results.find((result) => result.kind === 'ours')
  const ratios = ratiosOf({ ours, results, better: figure.better }, (result) => result.values)
  const cpuRatios = ratiosOf({ ours, results, better: 'lower' }, (result) => result.cpu?.values)
  const goals = judge(figure.goals ?? [], { results, ratios, figure })
  return {
    ...{ group: group.name, what: figure.what, unit: figure.unit, better: figure.better },
    ...{ contestants: results, ratios, cpuRatios, goals },
    ...(figure.note === undefined ? {} : { note: figure.note }),
  }
}

/** By contestant, how many times as good ours is. */
function ratiosOf({ ours, results, better }, valuesOf) {
  const entries = results
    .filter((result) => result !== ours)
    .map((theirs) => [theirs.id, ratioOf({ ours: valuesOf(ours), theirs: valuesOf(theirs), better })])
  return Object.fromEntries(entries.filter(([, ratio]) => ratio !== undefined))
}

function percentilesOf(measurements) {
  if (measurements.some((each) => each.p99Micros === undefined)) return {}
  const median = (name) => spread(measurements.map((each) => each[name])).median
  return { p50Micros: median('p50Micros'), p99Micros: median('p99Micros') }
}
