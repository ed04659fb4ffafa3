import { isIP } from 'node:net'
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { decodeBase32, encodeBase32 } from '../../ts/base/base32.ts'
import { decodeUtf8, encodeUtf8 } from '../../ts/base/bytes.ts'
import { nodeIdFromBytes, parseNodeId } from '../../ts/base/identity.ts'
import { formatAddress, parseAddress, parsePeerAddress } from '../../ts/net/address.ts'
import { formatReference, parseReference } from '../../ts/objects/capability.ts'
import { fuzz, FUZZ_FACTOR, FUZZ_SEED, FUZZ_TIMEOUT_MS, type FuzzCase, type Outcome } from './campaign.ts'

const bytes32 = Uint8Array.from({ length: 32 }, (_, at) => at * 7)
const owner = nodeIdFromBytes(bytes32)

/** Mutations of each case in a normal run. */
const MUTATIONS = 60_000

const naughty = JSON.parse(
  readFileSync(new URL('../vectors/naughty-strings/blns.base64.json', import.meta.url), 'utf8'),
) as readonly string[]

const parsers: readonly (readonly [name: string, parse: (text: string) => unknown])[] = [
  ['address', parseAddress],
  ['peer address', parsePeerAddress],
  ['node id', parseNodeId],
  ['reference', parseReference],
]

const cases: readonly (readonly [name: string, run: () => Outcome])[] = [
  ...one({
    name: 'base32',
    corpus: ['', 'my', 'mzxw6ytboi', owner].map(encodeUtf8),
    decode: (bytes) => ({ decoded: decodeBase32(textOf(bytes)) }),
    codes: [],
    check: ({ decoded }, bytes) => {
      if (decoded !== undefined && encodeBase32(decoded) !== textOf(bytes)) throw new Error('two spellings')
    },
  }),
  ...one({
    name: 'node id',
    corpus: [owner].map(encodeUtf8),
    decode: (bytes) => parseNodeId(textOf(bytes)),
    encode: encodeUtf8,
    codes: ['INVALID_ARGUMENT'],
  }),
  ...one({
    name: 'address',
    corpus: ['192.0.2.1:4040', '[2001:db8::1]:4040', '[::ffff:192.0.2.1]:1', '255.255.255.255:65535'].map(
      encodeUtf8,
    ),
    decode: (bytes) => parseAddress(textOf(bytes)),
    codes: ['INVALID_ARGUMENT'],
    check: (address) => {
      const holds =
        isIP(address.host) > 0 && !address.host.includes('%') && address.port >= 1 && address.port <= 65_535
      if (!holds) throw new Error(`no literal: ${JSON.stringify(address)}`)
      expect(parseAddress(formatAddress(address))).toEqual(address)
    },
  }),
  ...one({
    name: 'peer address',
    corpus: [`${owner}@192.0.2.1:4040`, `${owner}@[2001:db8::1]:4040`, '192.0.2.1:4040'].map(encodeUtf8),
    decode: (bytes) => parsePeerAddress(textOf(bytes)),
    codes: ['INVALID_ARGUMENT'],
    check: ({ id, addresses }) => {
      if (addresses.length !== 1) throw new Error('not one address')
      if (id !== undefined) parseNodeId(id)
    },
  }),
  ...one({
    name: 'reference',
    corpus: [
      formatReference({ root: bytes32, owner }),
      formatReference({ root: bytes32, owner, readKey: bytes32 }),
    ].map(encodeUtf8),
    decode: (bytes) => parseReference(textOf(bytes)),
    encode: (capability) => encodeUtf8(formatReference(capability)),
    codes: ['INVALID_ARGUMENT'],
  }),
]

test.each(cases)(
  '%s: changed text is refused with a code, or says exactly what it says',
  (name, run) => {
    const { accepted, refused } = run()

    console.log(`${name}: seed ${FUZZ_SEED}, ${accepted} accepted, ${refused} refused`)
    expect(accepted).toBeGreaterThan(MUTATIONS / 1000)
  },
  FUZZ_TIMEOUT_MS,
)

test.each(parsers)('%s: every naughty string is refused with INVALID_ARGUMENT', (_, parse) => {
  for (const base64 of naughty) {
    const text = Buffer.from(base64, 'base64').toString('utf8')

    expect(() => parse(text)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }) as Error)
  }
})

function one<Value>(fuzzed: Omit<FuzzCase<Value>, 'isCbor'>): readonly (readonly [string, () => Outcome])[] {
  return [[fuzzed.name, () => fuzz({ ...fuzzed, isCbor: false }, { mutations: MUTATIONS * FUZZ_FACTOR })]]
}

/** Text that has a way back to its bytes, well-formed or not. */
function textOf(bytes: Uint8Array): string {
  return decodeUtf8(bytes) ?? Buffer.from(bytes).toString('latin1')
}
