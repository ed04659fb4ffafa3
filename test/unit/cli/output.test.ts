import { describe, expect, test } from 'vitest'
import { formatBytes, formatMs, formatRate, printable } from '../../../ts/cli/output.ts'

describe('text for people', () => {
  test('nothing that a peer wrote steers the terminal', () => {
    expect(printable('a\u001B[2Jb\r\n\u202Ec')).toBe(String.raw`a\u{1b}[2Jb\u{d}\u{a}\u{202e}c`)
    expect(printable('äöü 日本 🍎')).toBe('äöü 日本 🍎')
  })

  test.each([
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1.0 KiB'],
    [1_048_576, '1.0 MiB'],
    [1_073_741_824 * 1.5, '1.5 GiB'],
    [2 ** 52, '4096.0 TiB'],
  ])('%i bytes are %s', (bytes, text) => {
    expect(formatBytes(bytes)).toBe(text)
  })

  test('times and rates', () => {
    expect(formatMs(999)).toBe('999 ms')
    expect(formatMs(1000)).toBe('1.00 s')
    expect(formatRate(5_000_000, 1000)).toBe('5.0 MB/s')
    // A clock that did not move is no division by zero.
    expect(formatRate(1, 0)).toBe('1.0 MB/s')
  })
})
