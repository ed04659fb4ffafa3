/** Seconds, for what takes from a fraction of a millisecond to half a minute. */
const SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]
/** Seconds, for what takes from milliseconds to an hour. */
const LONG_SECONDS = [0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3600]

/**
 * Everything that services count, with the labels of each. Label values are few and fixed, or the names of
 * message types and error codes: never a peer, an address or anything else that a peer chooses.
 */
export const INSTRUMENTS = {
  requests: { kind: 'counter', labels: ['protocol', 'direction', 'outcome'] },
  requestSeconds: { kind: 'histogram', labels: ['protocol', 'direction'], bounds: SECONDS },
  streams: { kind: 'counter', labels: ['protocol', 'direction', 'outcome'] },
  dials: { kind: 'counter', labels: ['outcome'] },
  connectSeconds: { kind: 'histogram', labels: [], bounds: SECONDS },
  refusals: { kind: 'counter', labels: ['reason'] },
  contactsRefused: { kind: 'counter', labels: ['network'] },
  neighbourhoods: { kind: 'counter', labels: ['verdict'] },
  lookups: { kind: 'counter', labels: ['purpose', 'outcome'] },
  lookupSeconds: { kind: 'histogram', labels: ['purpose'], bounds: SECONDS },
  lookupRequests: { kind: 'histogram', labels: ['purpose'], bounds: [0, 1, 2, 4, 8, 16, 32, 64, 128] },
  announcements: { kind: 'counter', labels: ['outcome'] },
  receipts: { kind: 'counter', labels: ['outcome'] },
  summaries: { kind: 'counter', labels: ['outcome'] },
  leaseRequests: { kind: 'counter', labels: ['outcome'] },
  registerPushes: { kind: 'counter', labels: ['direction', 'outcome'] },
  equivocations: { kind: 'counter', labels: ['where'] },
  transfers: { kind: 'counter', labels: ['operation', 'outcome'] },
  transferBytes: { kind: 'counter', labels: ['operation'] },
  transferSeconds: { kind: 'histogram', labels: ['operation'], bounds: LONG_SECONDS },
} as const satisfies Readonly<Record<string, Instrument>>

interface Instrument {
  readonly kind: 'counter' | 'histogram'
  readonly labels: readonly string[]
  /** Upper bounds of the buckets, ascending. */
  readonly bounds?: readonly number[]
}

type InstrumentName = keyof typeof INSTRUMENTS
type NameOf<Kind> = {
  [Name in InstrumentName]: (typeof INSTRUMENTS)[Name]['kind'] extends Kind ? Name : never
}[InstrumentName]
/**
 * The instruments that count.
 *
 * @category Environment
 */
export type CounterName = NameOf<'counter'>
/**
 * The instruments that observe.
 *
 * @category Environment
 */
export type HistogramName = NameOf<'histogram'>
/** Exactly the labels that an instrument has. */
type LabelsOf<Name extends InstrumentName> = Readonly<
  Record<(typeof INSTRUMENTS)[Name]['labels'][number], string>
>

/**
 * A sum that only grows.
 *
 * @category Environment
 */
export class Counter {
  value = 0

  /** Adds to the sum. */
  add(amount = 1): void {
    this.value += amount
  }
}

/**
 * How often values fell between bounds.
 *
 * @category Environment
 */
export class Histogram {
  readonly bounds: readonly number[]
  /** One for each bound, for values up to it and over the one before; the last for what is over all. */
  readonly counts: number[]
  sum = 0

  constructor(bounds: readonly number[]) {
    this.bounds = bounds
    this.counts = new Array<number>(bounds.length + 1).fill(0)
  }

  /** Takes one value. */
  observe(value: number): void {
    const { bounds, counts } = this
    let at = 0
    while (at < bounds.length && value > (bounds[at] ?? Infinity)) at += 1
    counts[at] = (counts[at] ?? 0) + 1
    this.sum += value
  }
}

/**
 * One instrument with one set of label values.
 *
 * @category Environment
 */
export interface Sample<Value> {
  readonly labels: Readonly<Record<string, string>>
  readonly value: Value
}

/**
 * Plain arithmetic that services do as they go and that somebody may read. Ask for an instrument once and keep it:
 * adding costs a nanosecond, finding it more.
 *
 * @category Environment
 */
export class Meter {
  /** Bounded by the instruments and their label values, which the code fixes. */
  readonly #counters = new Map<string, Map<string, Sample<Counter>>>()
  /** As `#counters`. */
  readonly #histograms = new Map<string, Map<string, Sample<Histogram>>>()

  /** The counter of these labels; the same one every time. */
  counter<Name extends CounterName>(name: Name, labels: LabelsOf<Name>): Counter {
    return find(this.#counters, { name, labels, make: () => new Counter() })
  }

  /** The histogram of these labels; the same one every time. */
  histogram<Name extends HistogramName>(name: Name, labels: LabelsOf<Name>): Histogram {
    return find(this.#histograms, { name, labels, make: () => new Histogram(INSTRUMENTS[name].bounds) })
  }

  /** Everything that an instrument has counted so far. */
  counters(name: CounterName): readonly Sample<Counter>[] {
    return [...(this.#counters.get(name)?.values() ?? [])]
  }

  /** Everything that an instrument has seen so far. */
  histograms(name: HistogramName): readonly Sample<Histogram>[] {
    return [...(this.#histograms.get(name)?.values() ?? [])]
  }
}

function find<Value>(
  all: Map<string, Map<string, Sample<Value>>>,
  wanted: {
    readonly name: InstrumentName
    readonly labels: Readonly<Record<string, string>>
    readonly make: () => Value
  },
): Value {
  const { name, labels, make } = wanted
  const key = INSTRUMENTS[name].labels.map((label) => labels[label] ?? '').join(' ')
  let samples = all.get(name)
  if (samples === undefined) all.set(name, (samples = new Map<string, Sample<Value>>()))
  let sample = samples.get(key)
  if (sample === undefined) samples.set(key, (sample = { labels: { ...labels }, value: make() }))
  return sample.value
}
