import { describe, expect, test } from 'vitest'
import { EspalierError, type ErrorCode } from '../../../ts/base/error.ts'
import { checkNodeOptions } from '../../../ts/node/check-options.ts'
import type { NodeOptions } from '../../../ts/node/options.ts'

const ID = 'a'.repeat(52)

describe('the options of a node', () => {
  test('only the directory is required, and every default is filled in', () => {
    const checked = checkNodeOptions({ dataDir: 'data' })

    expect(checked).toMatchObject({
      dataDir: 'data',
      port: 0,
      hosts: ['0.0.0.0', '::'],
      bootstrap: [],
      mode: 'p2p',
      allowPrivate: false,
      passphrase: undefined,
      quotaBytes: 1_073_741_824,
      peerBytes: undefined,
    })
  })

  test('are frozen, and a later change of what was given changes nothing', () => {
    const given = { dataDir: 'data', hosts: ['127.0.0.1'] }
    const checked = checkNodeOptions(given)
    given.hosts.push('::1')
    given.dataDir = 'elsewhere'

    expect(checked).toMatchObject({ dataDir: 'data', hosts: ['127.0.0.1'] })
    expect(Object.isFrozen(checked)).toBe(true)
    expect(Object.isFrozen(checked.hosts)).toBe(true)
  })

  test.each([
    ['port', -1, 0],
    ['port', 65_536, 65_535],
    ['port', 1.5, 1],
    ['port', Number.NaN, 1],
    ['port', '4840', 4840],
    ['quotaBytes', -1, 0],
    ['quotaBytes', 2 ** 53, 2 ** 53 - 1],
    ['quotaBytes', Infinity, 1],
    ['peerBytes', 2 ** 24 - 1, 2 ** 24],
    ['peerBytes', 2 ** 53, 2 ** 53 - 1],
    ['peerBytes', '512 MiB', 2 ** 29],
    ['dataDir', '', 'd'],
    ['dataDir', 'a\0b', 'ab'],
    ['dataDir', 'd'.repeat(4097), 'd'.repeat(4096)],
    ['hosts', [], ['::1']],
    ['hosts', ['localhost'], ['127.0.0.1']],
    ['hosts', '127.0.0.1', ['127.0.0.1']],
    ['hosts', ['0.0.0.0', '::', '::1'], ['0.0.0.0', '::']],
    ['mode', 'client', 'clientOnly'],
    ['mode', null, 'p2p'],
    ['allowPrivate', 1, true],
    ['allowPrivate', 'yes', false],
    ['passphrase', '', ' '],
    ['passphrase', 'p'.repeat(1025), 'p'.repeat(1024)],
    ['passphrase', 'ä'.repeat(513), 'ä'.repeat(512)],
    ['passphrase', 7, '7'],
    ['log', {}, console],
    ['log', null, console],
    ['bootstrap', 'localhost:1', ['localhost:1']],
    ['bootstrap', ['192.0.2.1'], ['192.0.2.1:1']],
    ['bootstrap', ['192.0.2.1:0'], ['192.0.2.1:1']],
    ['bootstrap', ['192.0.2.1:65536'], ['192.0.2.1:65535']],
    ['bootstrap', ['192.0.2.256:1'], ['192.0.2.255:1']],
    ['bootstrap', [`${ID.slice(1)}@192.0.2.1:1`], [`${ID}@192.0.2.1:1`]],
    ['bootstrap', ['2001:db8::1:1'], ['[2001:db8::1]:1']],
    ['bootstrap', ['-host:1'], ['host-:1']],
    ['bootstrap', [{ addresses: [] }], [{ addresses: [{ host: '::1', port: 1 }] }]],
    ['bootstrap', [{ addresses: [{ host: '::1', port: 0 }] }], [{ addresses: [{ host: '::1', port: 1 }] }]],
    ['bootstrap', [7], []],
  ] satisfies [keyof NodeOptions, unknown, unknown][])(
    '%s: %j is refused, %j is taken',
    (name, bad, good) => {
      expect(codeOf(() => checkNodeOptions(withOption(name, bad)))).toBe('INVALID_ARGUMENT')
      expect(codeOf(() => checkNodeOptions(withOption(name, good)))).toBeUndefined()
    },
  )

  test('an unknown option is refused with the nearest known one', () => {
    const attempt = () => checkNodeOptions({ dataDir: 'data', quotaByte: 1 } as NodeOptions)

    expect(codeOf(attempt)).toBe('INVALID_ARGUMENT')
    expect(attempt).toThrow(/quotaBytes/)
  })

  test('names of every object are unknown options too', () => {
    for (const name of ['constructor', '__proto__x', 'toString']) {
      expect(codeOf(() => checkNodeOptions({ dataDir: 'data', [name]: 1 }))).toBe('INVALID_ARGUMENT')
    }
  })

  test('something that is no object is refused', () => {
    for (const given of [undefined, null, 'data', 7]) {
      expect(codeOf(() => checkNodeOptions(given as unknown as NodeOptions))).toBe('INVALID_ARGUMENT')
    }
  })

  test('a wrong passphrase type does not show the value', () => {
    const attempt = () => checkNodeOptions(withOption('passphrase', ['hunter2']))

    expect(attempt).toThrow(EspalierError)
    expect(attempt).not.toThrow(/hunter2/)
  })
})

function withOption(name: keyof NodeOptions, value: unknown): NodeOptions {
  return { dataDir: 'data', [name]: value }
}

function codeOf(attempt: () => unknown): ErrorCode | undefined {
  try {
    attempt()
    return undefined
  } catch (error) {
    if (error instanceof EspalierError) return error.code
    throw error
  }
}
