import { readFileSync } from 'node:fs'
import { decode, encode, rfc8949EncodeOptions } from 'cborg'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { encodeUtf8, toHex } from '../../../ts/base/bytes.ts'
import { CborReader, CborWriter, MAX_DEPTH } from '../../../ts/base/codec.ts'
import { EspalierError } from '../../../ts/base/error.ts'

type Value = number | boolean | null | string | Uint8Array | readonly Value[]

const ARRAY_UP_TO_64 = 64

test('the writer and cborg, which shares no code with it, give the same bytes for any value', () => {
  fc.assert(
    fc.property(anyValue(), (value) => {
      expect(toHex(write(value))).toBe(toHex(encode(value, rfc8949EncodeOptions)))
    }),
    { numRuns: 3_000 },
  )
})

test('the reader gives back what the writer wrote, and nothing is left over', () => {
  fc.assert(
    fc.property(anyValue(), (value) => {
      const reader = readerOf(write(value))

      expect(readLike(reader, value)).toEqual(value)
      reader.end()
    }),
    { numRuns: 3_000 },
  )
})

test('integers change their length exactly at 24, 2⁸, 2¹⁶ and 2³², and reach 2⁶⁴ − 1 as bigint', () => {
  const lengths = [0, 23, 24, 255, 256, 65_535, 65_536, 2 ** 32 - 1, 2 ** 32, Number.MAX_SAFE_INTEGER].map(
    (value) => new CborWriter().uint(value).finish().byteLength,
  )

  expect(lengths).toEqual([1, 1, 2, 2, 3, 3, 5, 5, 9, 9])
  expect(toHex(new CborWriter().uint((1n << 64n) - 1n).finish())).toBe('1bffffffffffffffff')
  for (const wrong of [-1, 1.5, NaN, Number.MAX_SAFE_INTEGER + 1, 1n << 64n, -1n]) {
    expect(codeOf(() => new CborWriter().uint(wrong))).toBe('INVALID_ARGUMENT')
  }
})

test('appendix A of RFC 8949 is read exactly where it is inside the subset and deterministic', () => {
  const vectors = JSON.parse(
    readFileSync(new URL('../../vectors/cbor/good.json', import.meta.url), 'utf8'),
  ) as { readonly desc: string; readonly hex: string }[]
  // Two vectors are left to tests of their own: cborg drops a byte order mark, and we bound the depth.
  const inSubset = vectors.filter(
    ({ hex, desc }) =>
      !/^([cdf][0-9a-e]|f[7-9])/.test(hex.replace(/^f[456]/, '')) && !/deeply|BOM/.test(desc),
  )
  let accepted = 0

  for (const { desc, hex } of inSubset) {
    const bytes = Buffer.from(hex, 'hex')
    const outcome = codeOf(() => skipAsExtension(bytes))
    expect(`${desc}: ${outcome ?? 'read'}`).toBe(`${desc}: ${expectedOf(bytes) ?? 'read'}`)
    if (outcome === undefined) accepted += 1
  }

  console.log(
    `CBOR vectors: ${vectors.length} in the file, ${inSubset.length} in the subset, ${accepted} read, ${inSubset.length - accepted} refused as not deterministic`,
  )
  expect(accepted).toBeGreaterThan(40)
  expect(inSubset.length - accepted).toBeGreaterThan(15)
})

test.each([
  ['an integer in a longer form', '1817'],
  ['a 16-bit integer that fits 8', '1900ff'],
  ['a 32-bit integer that fits 16', '1a0000ffff'],
  ['a 64-bit integer that fits 32', '1b00000000ffffffff'],
  ['an integer beyond the safe ones', '1b0020000000000000'],
  ['a reserved length', '1c'],
  ['a cut integer', '19ff'],
  ['nothing at all', ''],
  ['another type', '40'],
])('uint refuses %s', (_, hex) => {
  expect(codeOf(() => hexReader(hex).uint())).toBe('PROTOCOL_VIOLATION')
})

test('bounds hold from both sides', () => {
  expect(hexReader('1818').uint(24)).toBe(24)
  expect(codeOf(() => hexReader('1818').uint(23))).toBe('PROTOCOL_VIOLATION')
  expect(hexReader('420102').bytesUpTo(2)).toEqual(Uint8Array.of(1, 2))
  expect(codeOf(() => hexReader('420102').bytesUpTo(1))).toBe('PROTOCOL_VIOLATION')
  expect(codeOf(() => hexReader('420102').bytesUpTo(9, 3))).toBe('PROTOCOL_VIOLATION')
  expect(hexReader('420102').bytes(2)).toEqual(Uint8Array.of(1, 2))
  expect(codeOf(() => hexReader('420102').bytes(3))).toBe('PROTOCOL_VIOLATION')
  expect(hexReader('820102').arrayUpTo(2)).toBe(2)
  expect(codeOf(() => hexReader('820102').arrayUpTo(1))).toBe('PROTOCOL_VIOLATION')
  expect(codeOf(() => hexReader('820102').array(3))).toBe('PROTOCOL_VIOLATION')
  expect(hexReader('62c3bc').text(2)).toBe('ü')
  expect(codeOf(() => hexReader('62c3bc').text(1))).toBe('PROTOCOL_VIOLATION')
  expect(codeOf(() => new CborReader(new Uint8Array(3), { maxBytes: 2, what: 'test' }))).toBe(
    'PROTOCOL_VIOLATION',
  )
  expect(codeOf(() => hexReader('00').end())).toBe('PROTOCOL_VIOLATION')
})

test('a length beyond the input is refused before anything of that size is made', () => {
  for (const hex of ['5affffffff', '7b001fffffffffffff', '9a7fffffff', '5b00000000ffffffff', '43aabb']) {
    expect(codeOf(() => hexReader(hex).bytesUpTo(2 ** 40))).toBe('PROTOCOL_VIOLATION')
    expect(codeOf(() => hexReader(hex).text(2 ** 40))).toBe('PROTOCOL_VIOLATION')
    expect(codeOf(() => hexReader(hex).arrayUpTo(2 ** 40))).toBe('PROTOCOL_VIOLATION')
  }
})

test('text must be well-formed UTF-8 in both directions, and a byte order mark is kept', () => {
  for (const hex of ['61ff', '62c0af', '63eda080', '64f4908080', '61c3']) {
    expect(codeOf(() => hexReader(hex).text(9))).toBe('PROTOCOL_VIOLATION')
  }
  expect(hexReader('66efbbbf424f4d').text(9)).toBe('\uFEFFBOM')
  expect(codeOf(() => new CborWriter().text('\uD800'))).toBe('INVALID_ARGUMENT')
})

test('the extension map is skipped to its end; its keys are sorted and unique, its depth is bounded', () => {
  const after = hexReader('a2616101626262820203' + '05')
  after.extensions()
  expect(after.uint()).toBe(5)

  for (const hex of [
    'a2616202616101', // keys out of order
    'a2616101616102', // the same key twice
    'a16161', // no value
    'a1616118', // cut value
    'bf616101ff', // indefinite
    'a161611817', // long form inside
    'a161615fff', // indefinite inside
    'a16161c100', // tag
    'a16161f93c00', // float
    'a16161f7', // undefined
    'a16161f800', // simple value
    'a1616161ff', // text that is not UTF-8
    'ba7fffffff', // a count beyond the input
    '80', // no map
    'f6',
    '',
  ]) {
    expect(codeOf(() => hexReader(hex).extensions())).toBe('PROTOCOL_VIOLATION')
  }
  const nested = (depth: number): string => 'a100'.repeat(depth - 1) + 'a0'
  expect(codeOf(() => hexReader(nested(MAX_DEPTH)).extensions())).toBeUndefined()
  expect(codeOf(() => hexReader(nested(MAX_DEPTH + 1)).extensions())).toBe('PROTOCOL_VIOLATION')
  expect(codeOf(() => hexReader('a100'.repeat(100_000)).extensions())).toBe('PROTOCOL_VIOLATION')
})

test('bytes that were read do not share memory with the input', () => {
  const input = Buffer.from('420102', 'hex')

  const read = readerOf(input).bytes(2)
  input.fill(0)

  expect(read).toEqual(Uint8Array.of(1, 2))
})

test('120,000 mutations of a message are refused or decode to something with exactly those bytes', () => {
  const original = writeMessage({
    count: 70_000,
    body: encodeUtf8('some bytes'),
    name: 'näme',
    flag: true,
    maybe: 300,
    list: [1, 30, 400],
  })
  const random = numbers(20_261_124)
  let accepted = 0

  for (let run = 0; run < 120_000; run += 1) {
    const mutated = mutate(original, random)
    const message = readMessage(mutated)
    if (message === undefined) continue
    accepted += 1
    if (Buffer.compare(writeMessage(message), mutated) !== 0) {
      expect(toHex(writeMessage(message))).toBe(toHex(mutated))
    }
  }

  expect(accepted).toBeGreaterThan(1_000)
  expect(accepted).toBeLessThan(119_000)
})

interface Message {
  readonly count: number
  readonly body: Uint8Array
  readonly name: string
  readonly flag: boolean
  readonly maybe: number | undefined
  readonly list: readonly number[]
}

function writeMessage(message: Message): Uint8Array {
  const writer = new CborWriter().array(6).uint(message.count).bytes(message.body).text(message.name)
  writer.bool(message.flag)
  if (message.maybe === undefined) writer.none()
  else writer.uint(message.maybe)
  writer.array(message.list.length)
  for (const item of message.list) writer.uint(item)
  return writer.finish()
}

/** The message, or nothing when it was refused; any other error than `PROTOCOL_VIOLATION` fails the test. */
function readMessage(bytes: Uint8Array): Message | undefined {
  try {
    const reader = readerOf(bytes)
    reader.array(6)
    const head = {
      count: reader.uint(),
      body: reader.bytesUpTo(32),
      name: reader.text(32),
      flag: reader.bool(),
    }
    const maybe = reader.none() ? undefined : reader.uint()
    const list = Array.from({ length: reader.arrayUpTo(8) }, () => reader.uint())
    reader.end()
    return { ...head, maybe, list }
  } catch (thrown) {
    if (thrown instanceof EspalierError && thrown.code === 'PROTOCOL_VIOLATION') return undefined
    throw thrown
  }
}

function mutate(original: Uint8Array, below: (bound: number) => number): Uint8Array {
  let bytes = Array.from(original)
  for (let round = 1 + below(3); round > 0; round -= 1) {
    const at = below(bytes.length + 1)
    const kind = below(4)
    if (kind === 0) bytes[Math.min(at, bytes.length - 1)] = below(256)
    else if (kind === 1) bytes.splice(at, 0, below(256))
    else if (kind === 2) bytes.splice(at, 1)
    else if (below(8) === 0) bytes = bytes.slice(0, at)
    else bytes[Math.min(at, bytes.length - 1)]! ^= 1 << below(8)
    if (bytes.length === 0) bytes = [below(256)]
  }
  return Uint8Array.from(bytes)
}

/** A small linear congruential generator, so that a failure can be run again. */
function numbers(seed: number): (bound: number) => number {
  let state = seed
  return (bound) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * bound)
  }
}

function anyValue(): fc.Arbitrary<Value> {
  const { value } = fc.letrec<{ value: Value }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 4 },
      fc.maxSafeNat(),
      fc.nat({ max: 300 }),
      fc.boolean(),
      fc.constant(null),
      fc.string({ unit: 'grapheme', maxLength: 40 }),
      fc.uint8Array({ maxLength: 300 }),
      fc.array(tie('value'), { maxLength: 30 }),
    ),
  }))
  return value
}

function write(value: Value, writer = new CborWriter()): Uint8Array {
  if (value === null) writer.none()
  else if (typeof value === 'number') writer.uint(value)
  else if (typeof value === 'boolean') writer.bool(value)
  else if (typeof value === 'string') writer.text(value)
  else if (value instanceof Uint8Array) writer.bytes(value)
  else {
    writer.array(value.length)
    for (const item of value) write(item, writer)
  }
  return writer.finish()
}

function readLike(reader: CborReader, value: Value): Value {
  if (value === null) return reader.none() ? null : 'no null'
  if (typeof value === 'number') return reader.uint()
  if (typeof value === 'boolean') return reader.bool()
  if (typeof value === 'string') return reader.text(4_096)
  if (value instanceof Uint8Array) return reader.bytesUpTo(4_096)
  const count = reader.arrayUpTo(ARRAY_UP_TO_64)
  return value.slice(0, count).map((item) => readLike(reader, item))
}

function skipAsExtension(item: Uint8Array): void {
  const reader = readerOf(Buffer.concat([Buffer.of(0xa1, 0x00), item]))
  reader.extensions()
  reader.end()
}

/** What cborg says: strictly decodable, and the only encoding of its value. */
function expectedOf(bytes: Uint8Array): string | undefined {
  try {
    const value: unknown = decode(bytes, { strict: true, useMaps: true, allowIndefinite: false })
    return Buffer.compare(encode(value, rfc8949EncodeOptions), bytes) === 0 ? undefined : 'PROTOCOL_VIOLATION'
  } catch {
    return 'PROTOCOL_VIOLATION'
  }
}

function hexReader(hex: string): CborReader {
  return readerOf(Buffer.from(hex, 'hex'))
}

function readerOf(bytes: Uint8Array): CborReader {
  return new CborReader(bytes, { maxBytes: 1_000_000, what: 'test' })
}

function codeOf(run: () => unknown): string | undefined {
  try {
    run()
    return undefined
  } catch (thrown) {
    return thrown instanceof EspalierError ? thrown.code : String(thrown)
  }
}
