/** One curve of a plot. */
export interface Curve {
  readonly name: string
  /** From left to right. */
  readonly points: readonly (readonly [x: number, y: number])[]
  readonly style: 'plain' | 'dashed' | 'bold'
}

const WIDTH = 860
const HEIGHT = 480
const LEFT = 60
const TOP = 20
const PLOT_WIDTH = 520
const PLOT_HEIGHT = 400
/** Told apart also by those who do not see red or green: the palette of Okabe and Ito. */
const COLOURS = ['#000000', '#0072b2', '#d55e00', '#009e73', '#cc79a7', '#56b4e9', '#e69f00', '#7f7f7f']
const STROKES = { plain: '1.5', dashed: '1.5" stroke-dasharray="5 3', bold: '3' } as const

/** A plot of shares from 0 to 100 against shares from 0 to 100, as an SVG. */
export function drawPlot(curves: readonly Curve[], axes: { readonly x: string; readonly y: string }): string {
  const ticks = Array.from({ length: 11 }, (_, at) => at * 10)
  const bottom = TOP + PLOT_HEIGHT
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${HEIGHT}" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#ffffff"/>`,
    ...ticks.flatMap((tick) => [
      `<path d="M${LEFT} ${yOf(tick)}H${LEFT + PLOT_WIDTH}M${xOf(tick)} ${TOP}V${bottom}" stroke="#dddddd"/>`,
      `<text x="${LEFT - 6}" y="${yOf(tick) + 4}" text-anchor="end">${tick}</text>`,
      `<text x="${xOf(tick)}" y="${bottom + 16}" text-anchor="middle">${tick}</text>`,
    ]),
    `<text x="${LEFT + PLOT_WIDTH / 2}" y="${bottom + 40}" text-anchor="middle">${axes.x}</text>`,
    `<text transform="translate(18 ${TOP + PLOT_HEIGHT / 2}) rotate(-90)" text-anchor="middle">${axes.y}</text>`,
    ...curves.flatMap((curve, at) => drawCurve(curve, at)),
    '</svg>',
    '',
  ].join('\n')
}

function drawCurve({ name, points, style }: Curve, at: number): string[] {
  const stroke = `stroke="${COLOURS[at % COLOURS.length] ?? ''}" stroke-width="${STROKES[style]}"`
  const line = points.map(([x, y]) => `${xOf(x)},${yOf(y)}`).join(' ')
  const [legendX, legendY] = [LEFT + PLOT_WIDTH + 20, TOP + 12 + at * 20]
  return [
    `<polyline points="${line}" fill="none" ${stroke}/>`,
    `<path d="M${legendX} ${legendY}h28" ${stroke}/>`,
    `<text x="${legendX + 34}" y="${legendY + 4}">${name}</text>`,
  ]
}

function xOf(share: number): number {
  return round(LEFT + (PLOT_WIDTH * share) / 100)
}

function yOf(share: number): number {
  return round(TOP + PLOT_HEIGHT - (PLOT_HEIGHT * share) / 100)
}

function round(length: number): number {
  return Math.round(length * 10) / 10
}
