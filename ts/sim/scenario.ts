/** One run of a {@link Scenario}. */
export interface PlayOptions {
  /** Decides about everything that is drawn. */
  readonly seed: string
  readonly nodes: number
  /** Tells how far it is, for whoever watches. */
  readonly progress: (text: string) => void
}

/** What one run came to. */
export interface Played {
  /** By name, in the order in which they are to be read. */
  readonly figures: Readonly<Record<string, number>>
  /** Promises of the product that did not hold, in plain words; empty for a good run. */
  readonly broken: readonly string[]
  /** Equal for equal runs. */
  readonly traceHash: string
}

/** What all runs came to together. */
export interface Report {
  readonly text: string
  /** Drawings by the path where they belong in the repository. */
  readonly drawings: Readonly<Record<string, string>>
}

/** Something that happens to a simulated network: what `npm run sim -- NAME` plays. */
export interface Scenario {
  /** One line. */
  readonly about: string
  /** Nodes of a run that names no number. */
  readonly nodes: number
  play(options: PlayOptions): Promise<Played>
  /** For scenarios whose runs make sense together only. */
  report?(runs: readonly Played[]): Report
}
