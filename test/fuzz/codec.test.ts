import { performance } from 'node:perf_hooks'
import { expect, test } from 'vitest'
import { CborReader, MAX_DEPTH } from '../../ts/base/codec.ts'
import { fuzz, isCanonical, FUZZ_FACTOR, FUZZ_SEED, FUZZ_TIMEOUT_MS, type FuzzCase } from './campaign.ts'
import { encodeTree, type CborNode } from './cbor-tree.ts'

const MAX_BYTES = 65_536
const MUTATIONS = 100_000

test(
  'what the reader skips as an extension map is what another strict decoder takes for a map',
  () => {
    const outcome = fuzz(EXTENSIONS, { mutations: MUTATIONS * FUZZ_FACTOR })

    console.log(`extensions: seed ${FUZZ_SEED}, ${outcome.accepted} accepted, ${outcome.refused} refused`)
    expect(outcome.accepted).toBeGreaterThan(MUTATIONS / 100)
    expect(outcome.refused).toBeGreaterThan(MUTATIONS / 10)
  },
  FUZZ_TIMEOUT_MS,
)

test.each([
  ['arrays nested to the end', new Uint8Array(MAX_BYTES).fill(0x81)],
  ['maps nested to the end', new Uint8Array(MAX_BYTES).fill(0xa1)],
  [
    'maps as keys of maps, nested to the end',
    Uint8Array.from({ length: MAX_BYTES }, (_, at) => (at % 2 ? 0x80 : 0xa1)),
  ],
  ['an array that claims more than there is', Uint8Array.from([0xa1, 0, 0x9a, 0xff, 0xff, 0xff, 0xff])],
  [
    'a string that claims more than there is',
    Uint8Array.from([0xa1, 0, 0x5b, 0, 0x1f, 255, 255, 255, 255, 255, 255]),
  ],
])('%s: refused', (_, bytes) => {
  expect(() => skip(bytes)).toThrow(expect.objectContaining({ code: 'PROTOCOL_VIOLATION' }) as Error)
})

test.each(heavy())('%s: 64 KiB take no more than a few times what four pieces of 16 KiB take', (_, make) => {
  const small = encodeTree(make(MAX_BYTES / 4))
  const large = encodeTree(make(MAX_BYTES))
  expect(large.byteLength).toBeGreaterThan(MAX_BYTES / 2)
  expect(large.byteLength).toBeLessThanOrEqual(MAX_BYTES)
  skip(large)

  const quarter = fastest(() => skip(small))
  const whole = fastest(() => skip(large))

  // Linear is 4, quadratic is 16; a machine under load moves both.
  expect(whole / quarter).toBeLessThan(10)
})

const EXTENSIONS: FuzzCase<undefined> = {
  name: 'extensions',
  corpus: [
    encodeTree({ major: 5, items: [] }),
    encodeTree(mapOf(3, (at) => ({ major: 0, value: BigInt(at) }))),
    encodeTree(mapOf(30, (at) => ({ major: 3, bytes: Uint8Array.of(0xc3, 0xbc, 0x30 + at) }))),
    encodeTree(
      mapOf(2, () =>
        mapOf(2, () => ({
          major: 4,
          items: [
            { major: 1, value: 5n },
            { major: 7, simple: 20 },
          ],
        })),
      ),
    ),
  ],
  decode: skip,
  codes: ['PROTOCOL_VIOLATION'],
  check: (_, bytes) => {
    if ((bytes[0] ?? 0) >> 5 !== 5 || !isCanonical(bytes)) throw new Error('not the one spelling of a map')
  },
}

/** Inputs that make a careless reader slow: name, tree of about so many bytes. */
function heavy(): readonly (readonly [string, (bytes: number) => CborNode])[] {
  const key = (at: number, width: number): CborNode => {
    const bytes = new Uint8Array(width)
    new DataView(bytes.buffer).setUint32(width - 4, at)
    return { major: 2, bytes }
  }
  return [
    [
      'many small entries',
      (bytes) => ({ major: 5, items: entries(Math.floor(bytes / 7), (at) => key(at, 4)) }),
    ],
    [
      'few long keys with the same start',
      (bytes) => ({ major: 5, items: entries(Math.floor(bytes / 260), (at) => key(at, 256)) }),
    ],
    [
      'one long array',
      (bytes) =>
        mapOf(1, () => ({
          major: 4,
          items: Array.from({ length: bytes - 16 }, () => ({ major: 0, value: 1n })),
        })),
    ],
    [
      'keys that are maps of maps',
      (bytes) => {
        // Every level compares the bytes of all levels below.
        let nested: CborNode = { major: 2, bytes: new Uint8Array(bytes - 128) }
        for (let depth = 2; depth < MAX_DEPTH; depth += 1)
          nested = { major: 5, items: [nested, { major: 7, simple: 20 }] }
        return { major: 5, items: [nested, { major: 7, simple: 20 }] }
      },
    ],
  ]
}

function entries(count: number, key: (at: number) => CborNode): CborNode[] {
  return Array.from({ length: count }, (_, at): CborNode[] => [key(at), { major: 7, simple: 20 }]).flat()
}

function mapOf(count: number, value: (at: number) => CborNode): CborNode {
  return {
    major: 5,
    items: Array.from({ length: count }, (_, at): CborNode[] => [
      { major: 0, value: BigInt(at) },
      value(at),
    ]).flat(),
  }
}

function skip(bytes: Uint8Array): undefined {
  const reader = new CborReader(bytes, { maxBytes: MAX_BYTES, what: 'extensions' })
  reader.extensions()
  reader.end()
  return undefined
}

function fastest(run: () => unknown): number {
  let best = Infinity
  for (let round = 0; round < 15; round += 1) {
    const start = performance.now()
    run()
    best = Math.min(best, performance.now() - start)
  }
  return best
}
