import { describe, expect, test } from 'vitest'
import { checkGetValue, checkPutValue, checkStart } from '../../../ts/node/check-call.ts'

const VALUE = new Uint8Array(1)
const ID = 'a'.repeat(52)
const { signal } = new AbortController()

describe('the arguments of a node’s calls', () => {
  test('come out as they went in, without what is undefined', () => {
    expect(checkPutValue('name', VALUE, { signal, timeoutMs: 1, expectSequence: 0 })).toEqual({
      signal,
      timeoutMs: 1,
      expectSequence: 0,
    })
    expect(checkPutValue('name', VALUE, { timeoutMs: undefined })).toStrictEqual({})
    const usual = { consistency: 'one', secure: false }
    expect(checkGetValue('name', { owner: ID, timeoutMs: 2 })).toEqual({
      owner: ID,
      read: { ...usual, timeoutMs: 2 },
    })
    expect(checkGetValue('name', {})).toStrictEqual({ owner: undefined, read: usual })
    expect(checkStart({ signal })).toBe(signal)
    expect(checkStart(undefined)).toBeUndefined()
  })

  test.each([
    ['a name that is no text', () => checkPutValue(7, VALUE, {})],
    ['a value that is no bytes', () => checkPutValue('name', 'text', {})],
    ['a value of 16-bit numbers', () => checkPutValue('name', new Uint16Array(1), {})],
    ['a negative sequence', () => checkPutValue('name', VALUE, { expectSequence: -1 })],
    ['half a millisecond', () => checkPutValue('name', VALUE, { timeoutMs: 0.5 })],
    ['no time at all', () => checkGetValue('name', { timeoutMs: 0 })],
    ['more time than timers know', () => checkGetValue('name', { timeoutMs: 2 ** 31 })],
    ['something else than a signal', () => checkGetValue('name', { signal: {} })],
    ['an owner of another length', () => checkGetValue('name', { owner: ID.slice(1) })],
    ['an unknown consistency', () => checkGetValue('name', { consistency: 'all' })],
    ['a security that is no flag', () => checkGetValue('name', { secure: 1 })],
    ['an unknown option', () => checkGetValue('name', { onwer: ID })],
    ['a name that is missing', () => checkGetValue(undefined, {})],
    ['a start with something else than a signal', () => checkStart({ signal: 5 })],
    ['a start with an unknown option', () => checkStart({ timeoutMs: 5 })],
  ])('%s is INVALID_ARGUMENT', (_, attempt) => {
    expect(attempt).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }))
  })
})
