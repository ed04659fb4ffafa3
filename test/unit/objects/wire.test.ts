import { describe, expect, test } from 'vitest'
import { toHex } from '../../../ts/base/bytes.ts'
import * as wire from '../../../ts/objects/wire.ts'

const BROKEN = expect.objectContaining({ code: 'PROTOCOL_VIOLATION' }) as Error
const id = new Uint8Array(32).fill(0xab)
const idHex = 'ab'.repeat(32)

// Frozen: a change of any of these needs another protocol number.
describe('the bytes of every frame', () => {
  test.each([
    [
      'a shard is coming',
      wire.encodePutHeader({ id, sizeBytes: 524_288, expiresUnixMs: 1_795_000_000_000 }),
      `0032845820${idHex}1a000800001b000001a1ee565e00a0`,
    ],
    ['it is stored', wire.encodePutAnswer(), '00038260a0'],
    ['it is not', wire.encodePutAnswer('STORAGE_FULL'), '000f826c53544f524147455f46554c4ca0'],
    ['a shard is wanted', wire.encodeGetRequest({ id, maxBytes: 2 }), `0025835820${idHex}02a0`],
    ['here it is', wire.encodeGetAnswer({ sizeBytes: 2 }), '0004836002a0'],
    ['it is not here', wire.encodeGetAnswer({ code: 'NOT_FOUND' }), '000d83694e4f545f464f554e4400a0'],
  ])('%s', (_, frame, hex) => {
    expect(toHex(frame)).toBe(hex)
  })

  test('the numbers of the streams', () => {
    expect([wire.PUT_SHARDS.protocol, wire.GET_SHARDS.protocol]).toEqual([0x0200, 0x0201])
  })
})

describe('frames from a peer', () => {
  test('say what they said', () => {
    const header = { id, sizeBytes: wire.MAX_SHARD_BYTES, expiresUnixMs: 1 }

    expect(wire.decodePutHeader(wire.encodePutHeader(header).subarray(2))).toEqual(header)
    expect(wire.decodePutAnswer(wire.encodePutAnswer().subarray(2))).toBeUndefined()
    expect(wire.decodePutAnswer(wire.encodePutAnswer('STORAGE_FULL').subarray(2))).toBe('STORAGE_FULL')
    const request = { id, maxBytes: wire.MAX_SHARD_BYTES }
    expect(wire.decodeGetRequest(wire.encodeGetRequest(request).subarray(2))).toEqual(request)
    expect(wire.decodeGetAnswer(wire.encodeGetAnswer({ sizeBytes: 0 }).subarray(2))).toEqual({ sizeBytes: 0 })
  })

  test('with a size over 4 MiB are refused', () => {
    const sizeBytes = wire.MAX_SHARD_BYTES + 1
    const header = wire.encodePutHeader({ id, sizeBytes, expiresUnixMs: 1 }).subarray(2)
    const request = wire.encodeGetRequest({ id, maxBytes: sizeBytes }).subarray(2)
    const answer = wire.encodeGetAnswer({ sizeBytes }).subarray(2)

    expect(() => wire.decodePutHeader(header)).toThrow(BROKEN)
    expect(() => wire.decodeGetRequest(request)).toThrow(BROKEN)
    expect(() => wire.decodeGetAnswer(answer)).toThrow(BROKEN)
  })

  test('cut off anywhere or with a byte behind are refused', () => {
    const frames: [Uint8Array, (bytes: Uint8Array) => unknown][] = [
      [wire.encodePutHeader({ id, sizeBytes: 5, expiresUnixMs: 1 }), wire.decodePutHeader],
      [wire.encodePutAnswer('STORAGE_FULL'), wire.decodePutAnswer],
      [wire.encodeGetRequest({ id, maxBytes: 5 }), wire.decodeGetRequest],
      [wire.encodeGetAnswer({ code: 'NOT_FOUND' }), wire.decodeGetAnswer],
    ]
    for (const [frame, decode] of frames) {
      const body = frame.subarray(2)
      for (let length = 0; length < body.byteLength; length += 1) {
        expect(() => decode(body.subarray(0, length))).toThrow(BROKEN)
      }
      expect(() => decode(new Uint8Array([...body, 0]))).toThrow(BROKEN)
    }
  })

  test('a refusal with a code of a later version is a refusal, one with bytes behind it is none', () => {
    const later = Uint8Array.of(0x82, 0x63, 0x4e, 0x45, 0x57, 0xa0)
    const withSize = wire.encodeGetAnswer({ code: 'NOT_FOUND' }).subarray(2)
    withSize[withSize.byteLength - 2] = 7

    expect(wire.decodePutAnswer(later)).toBe('PEER_REFUSED')
    expect(() => wire.decodeGetAnswer(withSize)).toThrow(BROKEN)
  })
})
