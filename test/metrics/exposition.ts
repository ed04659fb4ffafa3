/** One line of the text format: a name, labels and a value. */
export interface Series {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

/** A metric with everything that was said of it. */
export interface Family {
  readonly name: string
  readonly type: string
  readonly help: string
  readonly series: Series[]
}

/** What the checker finds, beside what it read. */
export interface Exposition {
  readonly families: ReadonlyMap<string, Family>
  /** Empty for a text that Prometheus takes without a word. */
  readonly problems: readonly string[]
}

const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/
const SERIES = /^([^{\s]+)(?:\{(.*)\})? (\S+)$/
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\n"])*)"(?:,|$)/y
const NUMBER = /^(?:[+-]?Inf|NaN|[+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?)$/
const SUFFIXES = ['_bucket', '_sum', '_count']
/** Prometheus has metrics in base units, written out. */
const WRONG_UNITS =
  /_(ms|milliseconds|us|microseconds|ns|nanoseconds|minutes|kb|kilobytes|mb|megabytes|percent)(_|$)/

/**
 * Reads the text format of Prometheus (version 0.0.4) strictly, and checks what `promtool check metrics`
 * would: names, units, help, types, buckets. It shares no code with either.
 */
export function readExposition(text: string): Exposition {
  const families = new Map<string, Family>()
  const problems: string[] = []
  let current: { name: string; type: string; help: string; series: Series[] } | undefined
  if (!text.endsWith('\n')) problems.push('the last line has no end')
  for (const line of text.split('\n')) {
    if (line === '') continue
    const help = /^# HELP (\S+) (.*)$/.exec(line)
    if (help !== null) {
      current = { name: help[1] ?? '', help: help[2] ?? '', type: '', series: [] }
      if (families.has(current.name)) problems.push(`${current.name} comes twice`)
      families.set(current.name, current)
      continue
    }
    const type = /^# TYPE (\S+) (counter|gauge|histogram|summary)$/.exec(line)
    if (type !== null && current?.name === type[1] && current?.type === '') {
      current.type = type[2] ?? ''
      continue
    }
    const series = readSeries(line)
    if (
      series === undefined ||
      current === undefined ||
      familyName(series.name, current.type) !== current.name
    ) {
      problems.push(`cannot be read here: ${line}`)
      continue
    }
    current.series.push(series)
  }
  for (const family of families.values()) problems.push(...problemsOf(family))
  return { families, problems }
}

function readSeries(line: string): Series | undefined {
  const match = SERIES.exec(line)
  const value = match?.[3] ?? ''
  if (match === null || !NUMBER.test(value)) return undefined
  const labels: Record<string, string> = {}
  const text = match[2] ?? ''
  LABEL.lastIndex = 0
  while (LABEL.lastIndex < text.length) {
    const label = LABEL.exec(text)
    if (label === null || label[1] === undefined || label[1] in labels) return undefined
    labels[label[1]] = label[2] ?? ''
  }
  return { name: match[1] ?? '', labels, value: Number(value.replace('Inf', 'Infinity')) }
}

function familyName(series: string, type: string): string {
  const suffix = type === 'histogram' ? SUFFIXES.find((end) => series.endsWith(end)) : undefined
  return suffix === undefined ? series : series.slice(0, -suffix.length)
}

function problemsOf(family: Family): string[] {
  const { name, type, help, series } = family
  const problems: string[] = []
  const complain = (what: string): void => void problems.push(`${name}: ${what}`)
  if (!NAME.test(name)) complain('is no name')
  if (/[A-Z]/.test(name)) complain('is not in snake case')
  if (type === '') complain('has no type')
  if (help.trim() === '') complain('has no help')
  if ((type === 'counter') !== name.endsWith('_total'))
    complain('counters, and nothing else, end with _total')
  if (WRONG_UNITS.test(name)) complain('is not in a base unit')
  if (/(^|_)(counter|gauge|histogram|summary)(_|$)/.test(name)) complain('names its type')
  if (SUFFIXES.some((end) => name.endsWith(end))) complain('ends like a part of a histogram')
  const seen = new Set<string>()
  for (const one of series) {
    const key = `${one.name} ${JSON.stringify(Object.entries(one.labels).sort())}`
    if (seen.has(key)) complain(`has ${key} twice`)
    seen.add(key)
    for (const label of Object.keys(one.labels)) {
      if (label.startsWith('__')) complain(`the label ${label} is reserved`)
      if (label === 'quantile') complain('only a summary has quantiles')
      if (label === 'le' && !one.name.endsWith('_bucket')) complain('only buckets have le')
      if (/[A-Z]/.test(label)) complain(`the label ${label} is not in snake case`)
    }
    if (type === 'counter' && !(one.value >= 0)) complain(`a counter is ${one.value}`)
  }
  if (type === 'histogram') problems.push(...bucketProblems(family))
  return problems
}

function bucketProblems({ name, series }: Family): string[] {
  const problems: string[] = []
  const byLabels = new Map<string, { buckets: Series[]; count?: number; sum?: number }>()
  for (const one of series) {
    const rest = Object.entries(one.labels).filter(([label]) => label !== 'le')
    const key = JSON.stringify(rest.sort())
    const group = byLabels.get(key) ?? { buckets: [] }
    byLabels.set(key, group)
    if (one.name === `${name}_bucket`) group.buckets.push(one)
    else if (one.name === `${name}_count`) group.count = one.value
    else if (one.name === `${name}_sum`) group.sum = one.value
    else problems.push(`${name}: ${one.name} is no part of a histogram`)
  }
  for (const [key, { buckets, count, sum }] of byLabels) {
    const bounds = buckets.map(({ labels }) => (labels['le'] === '+Inf' ? Infinity : Number(labels['le'])))
    const isAscending = bounds.every((bound, at) => at === 0 || bound > (bounds[at - 1] ?? NaN))
    const isCumulative = buckets.every(
      ({ value }, at) => at === 0 || value >= (buckets[at - 1]?.value ?? NaN),
    )
    if (!isAscending || bounds.at(-1) !== Infinity) problems.push(`${name}${key}: bounds ${bounds.join(' ')}`)
    if (!isCumulative) problems.push(`${name}${key}: buckets are not cumulative`)
    if (count === undefined || buckets.at(-1)?.value !== count) problems.push(`${name}${key}: count is wrong`)
    if (sum === undefined) problems.push(`${name}${key}: has no sum`)
  }
  return problems
}

/** The sum of a metric over all labels that match: of a histogram how often it was observed. */
export function total(
  exposition: Exposition,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): number {
  const family = exposition.families.get(name)
  if (family === undefined) throw new Error(`there is no metric ${name}`)
  const counted = family.type === 'histogram' ? `${name}_count` : name
  return family.series
    .filter((one) => one.name === counted)
    .filter((one) => Object.entries(labels).every(([label, value]) => one.labels[label] === value))
    .reduce((sum, { value }) => sum + value, 0)
}
