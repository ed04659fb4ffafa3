import { describe, expect, test } from 'vitest'
import { EspalierError } from '../../../ts/base/error.ts'
import {
  checkOptions,
  flag,
  integer,
  list,
  number,
  oneOf,
  optional,
  shape,
  text,
} from '../../../ts/base/options.ts'

const TABLE = {
  port: integer({ min: 0, max: 65_535, default: 0 }),
  ratio: number({ min: 0, max: 1, default: 0.5 }),
  allowPrivate: flag({ default: false }),
  mode: oneOf(['p2p', 'clientOnly'], { default: 'p2p' }),
  dataDir: text({ maxLength: 10 }),
  passphrase: optional(text()),
  hosts: list(text(), { maxItems: 2, default: ['::'] }),
}

describe('checkOptions', () => {
  test('fills in the defaults and freezes the answer', () => {
    const options = checkOptions({ dataDir: 'd' }, TABLE)

    expect(options).toEqual({
      port: 0,
      ratio: 0.5,
      allowPrivate: false,
      mode: 'p2p',
      dataDir: 'd',
      passphrase: undefined,
      hosts: ['::'],
    })
    expect(Object.isFrozen(options)).toBe(true)
  })

  test('keeps what was given, and undefined means absent', () => {
    const given = { dataDir: 'd', port: 4_840, mode: 'clientOnly', hosts: ['a', 'b'], ratio: undefined }

    expect(checkOptions(given, TABLE)).toMatchObject({ port: 4_840, mode: 'clientOnly', ratio: 0.5 })
  })

  test('an unknown name is an error that tells the nearest known one', () => {
    const error = errorOf(() => checkOptions({ dataDir: 'd', prot: 1 }, TABLE))

    expect(error.code).toBe('INVALID_ARGUMENT')
    expect(error.details).toEqual({ option: 'prot', nearest: 'port' })
  })

  test('an unknown name near none, or inherited by every object, is an error too', () => {
    expect(errorOf(() => checkOptions({ dataDir: 'd', zebra: 1 }, TABLE)).details).toEqual({
      option: 'zebra',
    })
    expect(errorOf(() => checkOptions({ dataDir: 'd', toString: 1 }, TABLE)).details['option']).toBe(
      'toString',
    )
    expect(errorOf(() => checkOptions(JSON.parse('{"__proto__": 1}'), TABLE)).code).toBe('INVALID_ARGUMENT')
  })

  test.each([
    ['port', 0, 65_535, -1, 65_536],
    ['ratio', 0, 1, -0.01, 1.01],
    ['dataDir', 'x', 'x'.repeat(10), '', 'x'.repeat(11)],
    ['hosts', [], ['a', 'b'], 'a', ['a', 'b', 'c']],
  ])('%s is checked at both of its bounds', (name, first, last, below, above) => {
    for (const value of [first, last]) {
      expect(checkOptions({ dataDir: 'd', [name]: value }, TABLE)).toMatchObject({ [name]: value })
    }
    for (const value of [below, above]) {
      const error = errorOf(() => checkOptions({ dataDir: 'd', [name]: value }, TABLE))
      expect([error.code, error.details['option']]).toEqual(['INVALID_ARGUMENT', name])
    }
  })

  test.each([
    ['port', '4840'],
    ['port', 1.5],
    ['port', Number.NaN],
    ['port', null],
    ['port', 1n],
    ['ratio', Number.POSITIVE_INFINITY],
    ['allowPrivate', 'false'],
    ['allowPrivate', 0],
    ['mode', 'P2P'],
    ['mode', Symbol('p2p')],
    ['dataDir', 'a\0b'],
    ['dataDir', undefined],
    ['hosts', [1]],
    ['hosts', { length: 1, 0: 'a' }],
  ])('%s: %o is refused', (name, value) => {
    expect(errorOf(() => checkOptions({ dataDir: 'd', [name]: value }, TABLE)).code).toBe('INVALID_ARGUMENT')
  })

  test.each([[null], [1], ['text'], [[]], [() => undefined]])('%o is no option object', (given) => {
    expect(errorOf(() => checkOptions(given, TABLE)).code).toBe('INVALID_ARGUMENT')
  })

  test('text that was given never comes back in the error', () => {
    const error = errorOf(() => checkOptions({ dataDir: 'd', port: 'swordfish', mode: 'swordfish' }, TABLE))

    expect(`${error.message}${JSON.stringify(error.details)}`).not.toContain('swordfish')
  })

  test('each option is read once, so that it can’t change after the check', () => {
    let reads = 0
    const given = {
      dataDir: 'd',
      get port() {
        reads += 1
        return reads
      },
    }

    expect(checkOptions(given, TABLE).port).toBe(1)
    expect(reads).toBe(1)
  })

  test('a list is copied', () => {
    const hosts = ['a']
    const options = checkOptions({ dataDir: 'd', hosts }, TABLE)
    hosts[0] = 'b'

    expect(options.hosts).toEqual(['a'])
  })

  test('a shape takes what its guard takes', () => {
    const table = { at: shape((value) => value instanceof Date, 'a Date', { default: new Date(0) }) }

    expect(checkOptions({ at: new Date(1) }, table).at).toEqual(new Date(1))
    expect(checkOptions({}, table).at).toEqual(new Date(0))
    expect(errorOf(() => checkOptions({ at: 1 }, table)).code).toBe('INVALID_ARGUMENT')
  })

  test('no object at all gives the defaults', () => {
    expect(checkOptions(undefined, { port: TABLE.port })).toEqual({ port: 0 })
  })
})

function errorOf(run: () => unknown): EspalierError {
  try {
    run()
  } catch (error) {
    expect(error).toBeInstanceOf(EspalierError)
    return error as EspalierError
  }
  throw new Error('nothing was thrown')
}
