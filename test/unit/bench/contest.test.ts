import { expect, test } from 'vitest'

interface Measurement {
  readonly count: number
  readonly seconds: number
}

interface Session {
  readonly alive: boolean
  measure(command: { readonly op: string; readonly seconds: number }): Promise<Measurement>
  close(): Promise<void>
}

interface Result {
  readonly contestants: readonly { readonly id: string; readonly median?: number; readonly notRun?: string }[]
  readonly ratios: Readonly<Record<string, number>>
  readonly goals: readonly { readonly text: string; readonly verdict: string }[]
}

type RunGroup = (group: object, options: object) => AsyncIterable<Result>

// The benchmarks are plain JavaScript, which the compiler does not look into.
const contest: string = new URL('../../../bench/lib/contest.mjs', import.meta.url).href
const { runGroup } = (await import(contest)) as { readonly runGroup: RunGroup }

test('contestants take turns in every round, another one first each time, and the first round does not count', async () => {
  const turns: string[] = []
  const say = (id: string) => (seconds: number) => {
    turns.push(`${id}${seconds < 1 ? ' warms up' : ''}`)
    return turns.length < 3 ? 1000 : 10
  }

  const { contestants } = await only({ ours: say('ours'), native: say('native') }, { rounds: 2 })

  expect(turns).toEqual(['ours warms up', 'native warms up', 'native', 'ours', 'ours', 'native'])
  expect(contestants.map(({ median }) => median)).toEqual([10, 10])
})

test('a ratio is taken inside each round, and its median is shown', async () => {
  const { ratios } = await only(
    { ours: inTurn(1, 10, 200, 30), native: inTurn(1, 10, 100, 10) },
    { rounds: 3 },
  )

  expect(ratios['native']).toBe(2)
})

test('where less is better, a ratio above one still speaks for us', async () => {
  const { ratios } = await only({ ours: inTurn(5), native: inTurn(10) }, { better: 'lower' })

  expect(ratios['native']).toBe(2)
})

test.each([
  [{ versus: 'native', ratioAtLeast: 0.95 }, 95, 'met'],
  [{ versus: 'native', ratioAtLeast: 0.95 }, 94.9, 'missed'],
  [{ versus: 'native', atMostOver: 3 }, 97, 'met'],
  [{ versus: 'native', atMostOver: 3 }, 96.9, 'missed'],
  [{ atLeast: 60 }, 60, 'met'],
  [{ atLeast: 60 }, 59.9, 'missed'],
  [{ atMost: 60 }, 60, 'met'],
  [{ atMost: 60 }, 60.1, 'missed'],
])('the goal %o is judged at its border: %d is %s', async (goal, value, verdict) => {
  const { goals } = await only({ ours: inTurn(value), native: inTurn(100) }, { goals: [goal] })

  expect(goals.map((each) => each.verdict)).toEqual([verdict])
})

test('a contestant that cannot start or fails stays in the row with its reason, and nothing is judged on it', async () => {
  const broken = (): number => {
    throw new Error('it has no wings')
  }

  const { contestants, ratios, goals } = await only(
    { ours: inTurn(10), native: broken },
    { goals: [{ versus: 'native', ratioAtLeast: 1 }] },
  )

  expect(contestants[0]?.median).toBe(10)
  expect(contestants[1]).toMatchObject({ id: 'native', notRun: 'it has no wings' })
  expect(ratios).toEqual({})
  expect(goals.map((each) => each.verdict)).toEqual(['not judged'])
})

/** The values of one turn after the other; the last one stays. */
function inTurn(...values: number[]): () => number {
  let turn = 0
  return () => values[Math.min(turn++, values.length - 1)] ?? 0
}

/** Runs one figure whose value in each turn is what a contestant's function says. */
async function only(
  contestants: Readonly<Record<string, (seconds: number) => number>>,
  options: { readonly rounds?: number; readonly better?: string; readonly goals?: readonly object[] },
): Promise<Result> {
  const ids = Object.keys(contestants)
  const figure = {
    ...{
      what: 'speed',
      unit: '1/s',
      better: options.better ?? 'higher',
      by: ids,
      goals: options.goals ?? [],
    },
    command: { op: 'run' },
    of: ({ count }: Measurement) => count,
  }
  const group = {
    name: 'test',
    figures: [figure],
    contestants: ids.map((id) => ({
      ...{ id, name: id, kind: id === 'ours' ? 'ours' : 'native' },
      start: () => Promise.resolve(sessionOf(contestants[id] ?? (() => 0))),
    })),
  }
  for await (const result of runGroup(group, {
    seconds: 1,
    rounds: options.rounds ?? 1,
    onProgress: () => undefined,
  })) {
    return result
  }
  throw new Error('there was no result')
}

function sessionOf(value: (seconds: number) => number): Session {
  return {
    alive: true,
    // eslint-disable-next-line @typescript-eslint/require-await -- what it throws is a rejection
    measure: async ({ seconds }) => ({ count: value(seconds), seconds }),
    close: () => Promise.resolve(),
  }
}
