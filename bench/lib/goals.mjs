// Goals are data. Each is one of:
//   { versus: id, ratioAtLeast: 0.95 }      times as good as that contestant, in the same rounds
//   { versus: id, atMostOver: 3 }           at most so many units worse than that contestant
//   { atLeast: 60_000 } or { atMost: 0.3 }  an absolute figure
import { formatNumber, spread } from './stats.mjs'

/**
 * How many times as good ours is, by round: above 1 is better for us, whichever direction is better.
 * The median over rounds; `undefined` when one of the two did not run.
 */
export function ratioOf({ ours, theirs, better }) {
  if (ours === undefined || theirs === undefined) return undefined
  return spread(
    Array.from({ length: Math.min(ours.length, theirs.length) }, (_, round) => {
      const quotient = ours[round] / theirs[round]
      return better === 'higher' ? quotient : 1 / quotient
    }),
  ).median
}

/** Every goal with its text and `met`, `missed` or `not judged` (a side did not run). */
export function judge(goals, { results, ratios, figure }) {
  const ours = results.find((result) => result.kind === 'ours')
  return goals.map((goal) => {
    const other = results.find((result) => result.id === goal.versus)
    const met = isMet(goal, { ours, other, ratios, better: figure.better })
    return {
      text: textOf(goal, { other, unit: figure.unit }),
      verdict: met === undefined ? 'not judged' : met ? 'met' : 'missed',
    }
  })
}

function isMet(goal, { ours, other, ratios, better }) {
  if (ours?.values === undefined) return undefined
  if (goal.versus === undefined) {
    return goal.atLeast === undefined ? ours.median <= goal.atMost : ours.median >= goal.atLeast
  }
  if (other?.values === undefined) return undefined
  if (goal.ratioAtLeast !== undefined) return ratios[goal.versus] >= goal.ratioAtLeast
  const over = ours.values.map((value, round) => {
    return better === 'lower' ? value - other.values[round] : other.values[round] - value
  })
  return spread(over.filter(Number.isFinite)).median <= goal.atMostOver
}

function textOf(goal, { other, unit }) {
  if (goal.ratioAtLeast !== undefined) return `≥ ${goal.ratioAtLeast} × ${other?.name ?? goal.versus}`
  if (goal.atMostOver !== undefined) return `≤ ${other?.name ?? goal.versus} + ${goal.atMostOver} ${unit}`
  if (goal.atLeast !== undefined) return `≥ ${formatNumber(goal.atLeast)} ${unit}`
  return `≤ ${formatNumber(goal.atMost)} ${unit}`
}
