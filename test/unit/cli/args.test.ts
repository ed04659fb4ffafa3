import { expect, test } from 'vitest'
import { EspalierError } from '../../../ts/base/error.ts'
import { parseSize, readArguments, type Flag } from '../../../ts/cli/args.ts'

const flags: Record<string, Flag> = {
  data: { kind: 'text', value: 'DIR', help: 'directory' },
  port: { kind: 'count', value: 'N', help: 'port', max: 65_535 },
  quota: { kind: 'size', value: 'SIZE', help: 'quota', min: 1 },
  bootstrap: { kind: 'list', value: 'ADDR', help: 'peers' },
  json: { kind: 'switch', help: 'json' },
}

test('flags of every kind are read', () => {
  const words = [
    'file',
    '--data',
    'd',
    '--port=0',
    '--quota',
    '2KiB',
    '--bootstrap',
    'a',
    '--bootstrap=b',
    '--json',
  ]

  const args = readArguments(words, flags)

  expect(args.positionals).toEqual(['file'])
  expect(args.text('data')).toBe('d')
  expect(args.count('port')).toBe(0)
  expect(args.count('quota')).toBe(2048)
  expect(args.list('bootstrap')).toEqual(['a', 'b'])
  expect(args.has('json')).toBe(true)
})

test('what was not given is absent', () => {
  const args = readArguments([], flags)

  expect([args.text('data'), args.count('port'), args.list('bootstrap'), args.has('json')]).toEqual([
    undefined,
    undefined,
    [],
    false,
  ])
})

test('a mistyped flag is refused and the nearest one named', () => {
  expect(messageOf(() => readArguments(['--bootstap', 'x'], flags))).toContain('--bootstrap')
  expect(messageOf(() => readArguments(['--__proto__', 'x'], flags))).toContain('--help')
})

test('a flag without its value, and a switch with one, are refused', () => {
  expect(messageOf(() => readArguments(['--data'], flags))).toContain('--data DIR')
  expect(messageOf(() => readArguments(['--data', '--json'], flags))).toContain('--data DIR')
  expect(messageOf(() => readArguments(['--data='], flags))).toContain('--data DIR')
  expect(messageOf(() => readArguments(['--json=yes'], flags))).toContain('switch')
})

test('numbers outside their range are refused, those at its ends are taken', () => {
  expect(readArguments(['--port', '65535'], flags).count('port')).toBe(65_535)
  for (const bad of ['65536', '-1', '1.5', 'x', '1e3', '']) {
    expect(() => readArguments([`--port=${bad}`], flags).count('port')).toThrow(EspalierError)
  }
})

test('sizes take decimal and binary units', () => {
  expect(['0', '1500', '1kb', '1KiB', '1.5MiB', '10GiB'].map(parseSize)).toEqual([
    0, 1500, 1000, 1024, 1_572_864, 10_737_418_240,
  ])
  for (const bad of ['', '1XB', '-1', '1 000', '99999999TiB'])
    expect(() => parseSize(bad)).toThrow(EspalierError)
})

function messageOf(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    if (error instanceof EspalierError && error.code === 'INVALID_ARGUMENT') return error.message
    throw error
  }
  throw new Error('nothing was thrown')
}
