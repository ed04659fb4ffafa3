import { Histogram, INSTRUMENTS, type CounterName, type HistogramName, type Sample } from '../base/metrics.ts'
import type { Moment } from './source.ts'

/** What one metric shows at one moment. */
export type Read<Value> = (moment: Moment, labels: readonly string[]) => readonly Sample<Value>[]

/** Most connections whose round-trip time one scrape looks at. */
const MAX_ROUND_TRIPS = 1_024
const ROUND_TRIP_BOUNDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6]

/** Round-trip times by the node that saw them: they are added up over scrapes. Forgotten with the node. */
const roundTripsSeen = new WeakMap<object, Histogram>()

/** Figures of native code: those of `family`, with what follows in their names as labels. */
export function native(family: string): Read<number> {
  return ({ figures }, labels) => familyOf(figures, { family, labels })
}

export function counted(name: CounterName): Read<number> {
  return ({ source }) =>
    source.metrics.counters(name).map(({ labels, value }) => ({ labels, value: value.value }))
}

export function observed(name: HistogramName): Read<Histogram> {
  return ({ source }) => source.metrics.histograms(name)
}

/** Several readings under one name. */
export function all(...reads: readonly Read<number>[]): Read<number> {
  return (moment, labels) => reads.flatMap((read) => read(moment, labels))
}

/** One number without labels. */
export function single(read: (moment: Moment) => number | undefined): Read<number> {
  return (moment) => {
    const value = read(moment)
    return value === undefined ? [] : [{ labels: {}, value }]
  }
}

/** One number for each value of one label. */
export function byLabel(read: (moment: Moment) => Readonly<Record<string, number>>): Read<number> {
  return (moment, [label = '']) =>
    Object.entries(read(moment)).map(([name, value]) => ({ labels: { [label]: name }, value }))
}

/** Looks at every live connection, once for each scrape. */
export const roundTrips: Read<Histogram> = ({ source }) => {
  const seen = roundTripsSeen.get(source) ?? new Histogram(ROUND_TRIP_BOUNDS)
  roundTripsSeen.set(source, seen)
  for (const seconds of source.transport.roundTrips(MAX_ROUND_TRIPS)) seen.observe(seconds)
  return [{ labels: {}, value: seen }]
}

/** Native figures whose names begin with `family`; the rest of a name are the values of `labels`. */
export function familyOf(
  figures: ReadonlyMap<string, number>,
  { family, labels }: { readonly family: string; readonly labels: readonly string[] },
): Sample<number>[] {
  const samples: Sample<number>[] = []
  for (const [name, value] of figures) {
    if (name !== family && !name.startsWith(`${family}.`)) continue
    const parts = name === family ? [] : name.slice(family.length + 1).split('.')
    if (parts.length !== labels.length) continue
    samples.push({ labels: Object.fromEntries(labels.map((label, at) => [label, parts[at] ?? ''])), value })
  }
  return samples
}

/** The labels of an instrument, which are those of its metric. */
export function labelsOf(name: CounterName | HistogramName): readonly string[] {
  return INSTRUMENTS[name].labels
}
