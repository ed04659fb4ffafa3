// Results as a table for terminals and as Markdown for docs/BENCHMARKS.md.
import { formatNumber } from './stats.mjs'

const HEADINGS = ['what', 'Espalier', 'plain native', 'others', '× native', 'goal', '']

/** Rows of cells; a cell is a list of lines. */
function cellsOf(result) {
  const of = (kind) => result.contestants.filter((each) => each.kind === kind)
  const native = of('native')[0]
  const ratio = native === undefined ? undefined : result.ratios[native.id]
  const cpuRatio = native === undefined ? undefined : result.cpuRatios[native.id]
  return [
    [result.what, `[${result.unit}]`],
    of('ours').flatMap(figuresOf),
    of('native').flatMap((native) => named(native)),
    of('peer').flatMap((peer) => named(peer, result.ratios[peer.id])),
    [
      ratio === undefined ? '–' : formatNumber(ratio),
      ...(cpuRatio === undefined ? [] : [`CPU ${formatNumber(cpuRatio)}`]),
    ],
    result.goals.map((goal) => goal.text),
    result.goals.map((goal) => goal.verdict),
  ]
}

/** `12.3 (11.9–12.8)`, and the time of the processor below. */
function figuresOf(contestant) {
  if (contestant.notRun !== undefined) return [`not run: ${contestant.notRun}`]
  const { median, min, max, cpu, p99Micros } = contestant
  return [
    `${formatNumber(median)} (${formatNumber(min)}–${formatNumber(max)})`,
    ...(cpu === undefined ? [] : [`CPU ${formatNumber(cpu.median)} ${cpu.unit}`]),
    ...(p99Micros === undefined ? [] : [`p99 ${formatNumber(p99Micros / 1000)} ms`]),
  ]
}

/** `quinn: 3.2 (3.1–3.4), we 0.98 ×`; the plain native program needs no name. */
function named(peer, ratio) {
  if (peer.name === 'native') return figuresOf(peer)
  const [first, ...rest] = figuresOf(peer)
  const compared = ratio === undefined ? '' : `, we ${formatNumber(ratio)} ×`
  return [`${peer.name}: ${first}${compared}`, ...rest.map((line) => `  ${line}`)]
}

/** A table with lines as wide as they need to be, long ones folded. */
export function textTable(results) {
  const limits = [30, 24, 24, 54, 12, 30, 10]
  const rows = [HEADINGS.map((heading) => [heading]), ...results.map(cellsOf)].map((cells) =>
    cells.map((lines, column) => lines.flatMap((line) => folded(line, limits[column]))),
  )
  const widths = HEADINGS.map((_, column) =>
    Math.max(...rows.flatMap((cells) => cells[column].map((line) => line.length)), 0),
  )
  const rule = widths.map((width) => '─'.repeat(width)).join('  ')
  return rows
    .map((cells) => {
      const height = Math.max(...cells.map((lines) => lines.length))
      return Array.from({ length: height }, (_, index) =>
        cells
          .map((lines, column) => (lines[index] ?? '').padEnd(widths[column]))
          .join('  ')
          .trimEnd(),
      ).join('\n')
    })
    .join(`\n${rule}\n`)
}

export function markdownTable(results) {
  const line = (cells) => `| ${cells.join(' | ')} |`
  const cell = (lines) => lines.map((each) => each.trim().replaceAll('|', '\\|')).join('<br>')
  return [
    line(HEADINGS),
    line(HEADINGS.map(() => '---')),
    ...results.map((result) => line(cellsOf(result).map(cell))),
  ].join('\n')
}

/** Lines below a table that say what a figure means. */
export function notesOf(results) {
  return results.filter(({ note }) => note !== undefined).map(({ what, note }) => `- ${what}: ${note}`)
}

function folded(line, limit) {
  const words = line.split(' ')
  const lines = []
  let current = words.shift() ?? ''
  for (const word of words) {
    if (`${current} ${word}`.length > limit) {
      lines.push(current)
      current = `  ${word}`
    } else {
      current = `${current} ${word}`
    }
  }
  return [...lines, current]
}
