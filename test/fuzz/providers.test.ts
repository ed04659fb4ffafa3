import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { nodeIdFromBytes } from '../../ts/base/identity.ts'
import { decodeProvider, encodeProvider } from '../../ts/dht/provider-record.ts'
import {
  decodeSegment,
  encodeSummary,
  isShape,
  segmentsOf,
  type EncodedSummary,
} from '../../ts/dht/provider-summary.ts'
import { SummaryView } from '../../ts/dht/provider-view.ts'
import {
  getProviders,
  getSummary,
  giveReceipts,
  putProvider,
  removeProvider,
} from '../../ts/dht/provider-wire.ts'
import { encodeRun } from '../../ts/dht/rice.ts'
import type { MessageType } from '../../ts/net/message.ts'
import { StubSigner } from '../../ts/sim/crypto.ts'
import { SeededRng } from '../../ts/sim/rng.ts'
import { fuzz, FUZZ_FACTOR, FUZZ_SEED, FUZZ_TIMEOUT_MS, type FuzzCase, type Outcome } from './campaign.ts'
import { messageCases } from './message-cases.ts'

const frozen = JSON.parse(
  readFileSync(new URL('../vectors/providers/providers.json', import.meta.url), 'utf8'),
) as { readonly messages: Readonly<Record<string, string>>; readonly payload: string }
const rng = new SeededRng('fuzzed summaries')
const crypto = new StubSigner(rng)
const provider = nodeIdFromBytes(new Uint8Array(32).fill(5))
const name = { root: new Uint8Array(32), provider, epoch: 1 }

/** Mutations of each case in a normal run. */
const MUTATIONS = 20_000

const cases: readonly (readonly [name: string, run: () => Outcome])[] = [
  ...message(putProvider),
  ...message(getProviders),
  ...message(removeProvider),
  ...message(getSummary),
  ...message(giveReceipts),
  ...one({
    name: 'provider payload',
    corpus: [Uint8Array.from(Buffer.from(frozen.payload, 'hex'))],
    decode: (payload) => decodeProvider(bodyWith(payload)),
    encode: encodeProvider,
    codes: ['PROTOCOL_VIOLATION'],
    check: ({ shape }) => {
      if (!isShape(shape)) throw new Error('a shape that cannot be')
    },
  }),
  // Every count has a corpus of its own: a change of one byte must never be read as another set.
  ...[1, 7, 300].flatMap((count) => {
    const summary = summaryOf(count)
    return one({
      name: `segment of ${count}`,
      corpus: summary.segments,
      isCbor: false,
      decode: (bytes) => decodeSegment(bytes, summary.shape, 0),
      encode: (values) => encodeRun(values, { start: 0, end: values.length, lowBits: 10 }),
      codes: ['PROTOCOL_VIOLATION'],
      check: (values) => {
        if (values.length !== count) throw new Error('another count')
        if (values.some((value, at) => at > 0 && value < (values[at - 1] ?? 0)))
          throw new Error('out of order')
        if ((values.at(-1) ?? 0) >= count * 2048) throw new Error('beyond the range')
      },
    })
  }),
]

test.each(cases)(
  '%s: changed bytes are refused with a code, or say exactly what they say',
  (what, run) => {
    const { accepted, refused } = run()

    console.log(`${what}: seed ${FUZZ_SEED}, ${accepted} accepted, ${refused} refused`)
    expect(accepted).toBeGreaterThan(MUTATIONS / 1000)
    expect(refused).toBeGreaterThan(accepted / 100)
  },
  FUZZ_TIMEOUT_MS,
)

test(
  'a summary of several segments takes no byte that its provider did not hash',
  () => {
    const summary = summaryOf(9_000)
    const random = new SeededRng(`bytes ${FUZZ_SEED}`)
    const isTaken = (segments: readonly Uint8Array[]): boolean => {
      const view = new SummaryView(crypto, { name, shape: summary.shape, hash: summary.hash })
      try {
        view.setAll(segments)
        return true
      } catch (thrown) {
        expect(thrown).toMatchObject({ code: 'PROTOCOL_VIOLATION' })
        return false
      }
    }
    expect(isTaken(summary.segments)).toBe(true)
    for (let round = 0; round < 2_000 * FUZZ_FACTOR; round += 1) {
      const at = random.below(segmentsOf(9_000))
      const segments = summary.segments.map((bytes, position) => {
        if (position !== at) return bytes
        const changed = Uint8Array.from(bytes)
        changed[random.below(changed.length)]! ^= 1 << random.below(8)
        return changed
      })
      expect(isTaken(segments)).toBe(false)
    }
  },
  FUZZ_TIMEOUT_MS,
)

function message<Request, Response>(
  type: MessageType<Request, Response>,
): readonly (readonly [string, () => Outcome])[] {
  const [request, answer] = messageCases(type, { name: type.name, messages: frozen.messages })
  return [...one(request), ...one(answer)]
}

function one<Value>(fuzzed: FuzzCase<Value>): readonly (readonly [string, () => Outcome])[] {
  return [[fuzzed.name, () => fuzz(fuzzed, { mutations: MUTATIONS * FUZZ_FACTOR })]]
}

function summaryOf(count: number): EncodedSummary {
  const ids = Array.from({ length: count }, () => rng.bytes(32))
  return encodeSummary(crypto, ids, name)
}

function bodyWith(payload: Uint8Array) {
  const subject = new Uint8Array(32)
  const times = { sequence: 1, issuedUnixMs: 1, expiresUnixMs: 1 }
  return { kind: 'PROVIDER' as const, subject, owner: provider, payload, ...times }
}
