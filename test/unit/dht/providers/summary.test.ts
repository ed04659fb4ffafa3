import { describe, expect, test } from 'vitest'
import { nodeIdFromBytes } from '../../../../ts/base/identity.ts'
import {
  DEFAULT_PARAMETER,
  INDEX_ENTRY_BYTES,
  MAX_PARAMETER,
  MAX_SEGMENT_BYTES,
  MAX_SUMMARY_IDS,
  MIN_PARAMETER,
  SEGMENT_IDS,
  decodeSegment,
  encodeSummary,
  firstValueOf,
  isShape,
  summaryKey,
  valueOf,
  type SummaryName,
} from '../../../../ts/dht/provider-summary.ts'
import { SummaryView, type Answer } from '../../../../ts/dht/provider-view.ts'
import { decodeRun, encodeRun } from '../../../../ts/dht/rice.ts'
import { deriveKey, hash } from '../../../../ts/native/hash.ts'
import { SeededRng } from '../../../../ts/sim/rng.ts'

const crypto = { hash, deriveKey: (context: string, material: Uint8Array) => deriveKey(context, material) }
const name: SummaryName = {
  root: new Uint8Array(32).fill(1),
  provider: nodeIdFromBytes(new Uint8Array(32).fill(2)),
  epoch: 1_790_000_000_000,
}

describe('a summary of 10,000 ids', () => {
  const ids = idsOf('ten thousand', 10_000)
  const summary = encodeSummary(crypto, ids, name)
  const view = viewOf(summary)

  test('takes at most 12.6 bits an id, heads and padding included', () => {
    const bytes = summary.segments.reduce((sum, { byteLength }) => sum + byteLength, 0)

    expect((bytes * 8) / ids.length).toBeLessThanOrEqual(12.6)
    // No code of a set with this rate of false positives can have less than log2(e · 2^11) bits.
    expect((bytes * 8) / ids.length).toBeGreaterThan(12.44)
  })

  test('never denies what is in it: 10⁶ questions', () => {
    let denied = 0
    for (let round = 0; round < 100; round += 1) {
      for (const id of ids) if (view.has(id).kind !== 'yes') denied += 1
    }

    expect(denied).toBe(0)
  })

  test('claims what is not in it within a tenth of once in 2,048: 10⁶ questions', () => {
    const random = new SeededRng('strangers')
    let claimed = 0
    for (let asked = 0; asked < 1_000_000; asked += 1) {
      if (view.has(random.bytes(32)).kind === 'yes') claimed += 1
    }
    const ratio = claimed / (1_000_000 / 2 ** DEFAULT_PARAMETER)

    expect(ratio).toBeGreaterThan(0.9)
    expect(ratio).toBeLessThan(1.1)
  }, 60_000)

  test('is the same for the same ids in any order, and another for another root, epoch or provider', () => {
    const reversed = encodeSummary(crypto, ids.toReversed(), name)
    const others: SummaryName[] = [
      { ...name, root: new Uint8Array(32).fill(9) },
      { ...name, epoch: name.epoch + 1 },
      { ...name, provider: nodeIdFromBytes(new Uint8Array(32).fill(9)) },
    ]

    expect(reversed.hash).toEqual(summary.hash)
    for (const other of others) expect(encodeSummary(crypto, ids, other).hash).not.toEqual(summary.hash)
  })

  test('one provider’s false positives are not another’s', () => {
    const random = new SeededRng('collisions')
    const other = { ...name, provider: nodeIdFromBytes(new Uint8Array(32).fill(9)) }
    const second = viewOf(encodeSummary(crypto, ids, other), other)
    let both = 0
    let first = 0
    for (let asked = 0; asked < 400_000; asked += 1) {
      const id = random.bytes(32)
      if (view.has(id).kind !== 'yes') continue
      first += 1
      if (second.has(id).kind === 'yes') both += 1
    }

    expect(first).toBeGreaterThan(100)
    // By chance one in 2,048 of the first: none or one.
    expect(both).toBeLessThan(3)
  })
})

describe.each([1, 2, SEGMENT_IDS - 1, SEGMENT_IDS, SEGMENT_IDS + 1, 2 * SEGMENT_IDS])(
  'a summary of %i ids',
  (count) => {
    const ids = idsOf(`count ${count}`, count)

    test.each([MIN_PARAMETER, DEFAULT_PARAMETER, MAX_PARAMETER])(
      'finds every one, parameter %i',
      (parameter) => {
        const summary = encodeSummary(crypto, ids, { ...name, parameter })
        const view = viewOf(summary)

        expect(summary.segments).toHaveLength(Math.ceil(count / SEGMENT_IDS))
        expect(ids.every((id) => view.has(id).kind === 'yes')).toBe(true)
      },
    )

    test('holds the values of its ids, each as often as it comes', () => {
      const summary = encodeSummary(crypto, ids, name)
      const key = summaryKey(crypto, name)
      const expected = ids.map((id) => valueOf(id, key, summary.shape)).sort((a, b) => a - b)
      const decoded = summary.segments.flatMap((bytes, at) => [...decodeSegment(bytes, summary.shape, at)])

      expect(decoded).toEqual(expected)
      expect(expected.at(-1)).toBeLessThan(count * 2 ** DEFAULT_PARAMETER)
    })
  },
)

describe('single segments', () => {
  const ids = idsOf('segments', 5 * SEGMENT_IDS)
  const summary = encodeSummary(crypto, ids, name)

  test('are asked for by position, one for each id, and answer alike', () => {
    const view = new SummaryView(crypto, { name, shape: summary.shape, hash: summary.hash })
    expect(view.has(ids[0]!)).toEqual({ kind: 'unknown', position: 0 })
    view.setIndex(summary.index)
    const asked = new Set<number>()
    for (const id of ids) expect(settled(view, id, asked).kind).toBe('yes')

    expect([...asked].sort()).toEqual([0, 1, 2, 3, 4])
    // With the memory of what it was asked for.
    expect(view.bytes).toBe(ids.length * 4 + 5 * INDEX_ENTRY_BYTES + 65_536)
  })

  test('an id below the first value of all is denied without any segment', () => {
    const view = new SummaryView(crypto, { name, shape: summary.shape, hash: summary.hash })
    view.setIndex(summary.index)
    const key = summaryKey(crypto, name)
    const random = new SeededRng('low')
    let id = random.bytes(32)
    while (valueOf(id, key, summary.shape) >= firstValueOf(summary.index, 0)) id = random.bytes(32)

    expect(view.has(id)).toEqual({ kind: 'no' })
  })

  test('of another place, cut, changed or too many are refused, and change nothing', () => {
    const view = new SummaryView(crypto, { name, shape: summary.shape, hash: summary.hash })
    expect(codeOf(() => view.setSegment(0, summary.segments[0]!))).toBe('PROTOCOL_VIOLATION')
    expect(codeOf(() => view.setIndex(summary.index.subarray(36)))).toBe('PROTOCOL_VIOLATION')
    expect(codeOf(() => view.setIndex(flipped(summary.index, 40)))).toBe('PROTOCOL_VIOLATION')
    view.setIndex(summary.index)
    for (const [position, bytes] of [
      [1, summary.segments[0]!],
      [0, summary.segments[0]!.subarray(0, -1)],
      [0, flipped(summary.segments[0]!, 100)],
      [5, summary.segments[4]!],
      [-1, summary.segments[0]!],
    ] as const) {
      expect(codeOf(() => view.setSegment(position, bytes))).toBe('PROTOCOL_VIOLATION')
    }
    expect(codeOf(() => view.setAll(summary.segments.slice(1)))).toBe('PROTOCOL_VIOLATION')
    expect(view.has(ids[0]!).kind).toBe('unknown')
  })

  test('that overlap the next one are refused, although the provider hashed them so', () => {
    const swapped = [summary.segments[1]!, summary.segments[0]!, ...summary.segments.slice(2)]
    const overlapping = encodeRun(
      Uint32Array.from({ length: SEGMENT_IDS }, (_, at) => at * 3_000),
      {
        start: 0,
        end: SEGMENT_IDS,
        lowBits: DEFAULT_PARAMETER - 1,
      },
    )
    for (const segments of [swapped, [overlapping, ...summary.segments.slice(1)]]) {
      const { index, hash: stated } = indexed(segments)
      const view = new SummaryView(crypto, { name, shape: summary.shape, hash: stated })
      expect(codeOf(() => view.setAll(segments))).toBe('PROTOCOL_VIOLATION')
      const code = codeOf(() => {
        view.setIndex(index)
        for (const [position, bytes] of segments.entries()) view.setSegment(position, bytes)
      })
      expect(code).toBe('PROTOCOL_VIOLATION')
    }
  })
})

describe('added ids', () => {
  test('are found exactly, in order, and no more than 64 of them', () => {
    const view = viewOf(encodeSummary(crypto, idsOf('few', 3), name))
    const added = idsOf('added', 65)
    view.addDelta(0, added.slice(0, 60))
    expect(codeOf(() => view.addDelta(0, added.slice(60)))).toBe('PROTOCOL_VIOLATION')
    expect(codeOf(() => view.addDelta(60, added.slice(60)))).toBe('PROTOCOL_VIOLATION')
    expect(view.has(added[60]!).kind).toBe('no')
    view.addDelta(60, added.slice(60, 64))

    expect(added.slice(0, 64).every((id) => isExact(view.has(id)))).toBe(true)
    expect(view.has(added[64]!).kind).toBe('no')
  })
})

describe('what cannot be', () => {
  test('a count of nothing, of one too many or no number, and a parameter outside its range', () => {
    const good = { count: 1, parameter: 11 }
    expect(isShape(good)).toBe(true)
    expect(isShape({ count: MAX_SUMMARY_IDS, parameter: MAX_PARAMETER })).toBe(true)
    for (const count of [0, -1, 1.5, Number.NaN, Infinity, MAX_SUMMARY_IDS + 1]) {
      expect(isShape({ ...good, count })).toBe(false)
    }
    for (const parameter of [MIN_PARAMETER - 1, MAX_PARAMETER + 1, 11.5]) {
      expect(isShape({ ...good, parameter })).toBe(false)
      expect(codeOf(() => encodeSummary(crypto, idsOf('x', 1), { ...name, parameter }))).toBe(
        'INVALID_ARGUMENT',
      )
    }
    expect(codeOf(() => encodeSummary(crypto, [], name))).toBe('INVALID_ARGUMENT')
    expect(codeOf(() => encodeSummary(crypto, [new Uint8Array(31)], name))).toBe('INVALID_ARGUMENT')
  })

  test('a count far beyond the bytes allocates nothing', () => {
    const bytes = encodeRun(Uint32Array.of(1, 2, 3), { start: 0, end: 3, lowBits: 10 })
    const before = process.memoryUsage().arrayBuffers
    for (let round = 0; round < 1_000; round += 1) {
      expect(codeOf(() => decodeRun(bytes, { count: 1_000_000, lowBits: 10, limit: 2 ** 31 }))).toBe(
        'PROTOCOL_VIOLATION',
      )
    }
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(4_000_000)
  })

  test('a run with a count that lies, bytes left over, padding that is not zero, a number beyond its range', () => {
    const shape = { count: 3, lowBits: 10, limit: 3 * 2 ** 11 }
    const bytes = encodeRun(Uint32Array.of(5, 1_100, 6_000), { start: 0, end: 3, lowBits: 10 })
    // 11 bits, and 15 with four ones: 26 bits, six of padding.
    expect(bytes).toHaveLength(8)
    expect([...decodeRun(bytes, shape)]).toEqual([5, 1_100, 6_000])
    const refused: [Uint8Array, Partial<typeof shape>][] = [
      [bytes, { count: 2 }],
      [bytes, { count: 4 }],
      [bytes, { limit: 6_000 }],
      [bytes, { limit: 5 }],
      [Uint8Array.of(...bytes, 0), {}],
      [bytes.subarray(0, -1), {}],
      [flipped(bytes, 7), {}],
      [new Uint8Array(0), {}],
      [new Uint8Array(8).fill(255), {}],
    ]
    for (const [given, change] of refused) {
      expect(codeOf(() => decodeRun(given, { ...shape, ...change }))).toBe('PROTOCOL_VIOLATION')
    }
    expect([...decodeRun(bytes, { ...shape, limit: 6_001 })]).toEqual([5, 1_100, 6_000])
  })

  test('an endless run of ones ends with the input', () => {
    const bytes = new Uint8Array(MAX_SEGMENT_BYTES).fill(255)
    bytes.fill(0, 0, 4)
    const shape = { count: 1_048_576, parameter: 12 }
    expect(codeOf(() => decodeSegment(bytes, shape, 0))).toBe('PROTOCOL_VIOLATION')
    expect(codeOf(() => decodeSegment(new Uint8Array(MAX_SEGMENT_BYTES + 1), shape, 0))).toBe(
      'PROTOCOL_VIOLATION',
    )
    expect(codeOf(() => decodeSegment(bytes, shape, 256))).toBe('PROTOCOL_VIOLATION')
  })
})

function idsOf(seed: string, count: number): Uint8Array[] {
  const random = new SeededRng(seed)
  return Array.from({ length: count }, () => random.bytes(32))
}

function viewOf(summary: ReturnType<typeof encodeSummary>, of = name): SummaryView {
  const view = new SummaryView(crypto, { name: of, shape: summary.shape, hash: summary.hash })
  view.setAll(summary.segments)
  return view
}

/** Fetches what the view asks for. */
function settled(view: SummaryView, id: Uint8Array, asked: Set<number>): Answer {
  const answer = view.has(id)
  if (answer.kind !== 'unknown') return answer
  asked.add(answer.position)
  const ids = idsOf('segments', 5 * SEGMENT_IDS)
  view.setSegment(answer.position, encodeSummary(crypto, ids, name).segments[answer.position]!)
  return view.has(id)
}

function indexed(segments: readonly Uint8Array[]) {
  const index = Uint8Array.from(segments.flatMap((bytes) => [...bytes.subarray(0, 4), ...hash(bytes)]))
  return { index, hash: deriveKey('espalier provider summary v1', index) }
}

function isExact(answer: Answer): boolean {
  return answer.kind === 'yes' && answer.isExact
}

function flipped(bytes: Uint8Array, at: number): Uint8Array {
  return bytes.map((byte, index) => (index === at ? byte ^ 1 : byte))
}

function codeOf(act: () => unknown): string | undefined {
  try {
    act()
    return undefined
  } catch (thrown) {
    return (thrown as { readonly code?: string }).code
  }
}
