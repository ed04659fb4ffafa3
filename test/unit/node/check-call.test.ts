import { describe, expect, test } from 'vitest'
import { parseNodeId } from '../../../ts/base/identity.ts'
import {
  checkGetValue,
  checkHistory,
  checkPutValue,
  checkReadValue,
  checkStart,
} from '../../../ts/node/check-call.ts'

const VALUE = new Uint8Array(1)
const ID = 'a'.repeat(52)
const SELF = parseNodeId('b'.repeat(51) + 'a')
const NAME = { name: 'name', self: SELF }
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
    expect(checkGetValue(NAME, { owner: ID, timeoutMs: 2 })).toEqual({ ...usual, owner: ID, timeoutMs: 2 })
    expect(checkGetValue(NAME, {})).toStrictEqual({ ...usual, owner: SELF })
    expect(checkReadValue({ name: 'name', owner: ID }, {})).toStrictEqual({ ...usual, owner: ID })
    expect(checkHistory({ name: 'name', owner: ID }, {})).toStrictEqual({ owner: ID, limit: 9 })
    expect(checkStart({ signal })).toBe(signal)
    expect(checkStart(undefined)).toBeUndefined()
  })

  test.each([
    ['a name that is no text', () => checkPutValue(7, VALUE, {})],
    ['a value that is no bytes', () => checkPutValue('name', 'text', {})],
    ['a value of 16-bit numbers', () => checkPutValue('name', new Uint16Array(1), {})],
    ['a negative sequence', () => checkPutValue('name', VALUE, { expectSequence: -1 })],
    ['half a millisecond', () => checkPutValue('name', VALUE, { timeoutMs: 0.5 })],
    ['no time at all', () => checkGetValue(NAME, { timeoutMs: 0 })],
    ['more time than timers know', () => checkGetValue(NAME, { timeoutMs: 2 ** 31 })],
    ['something else than a signal', () => checkGetValue(NAME, { signal: {} })],
    ['an owner of another length', () => checkGetValue(NAME, { owner: ID.slice(1) })],
    ['an unknown consistency', () => checkGetValue(NAME, { consistency: 'all' })],
    ['a security that is no flag', () => checkGetValue(NAME, { secure: 1 })],
    ['an unknown option', () => checkGetValue(NAME, { onwer: ID })],
    ['an owner that is missing', () => checkReadValue({ name: 'name', owner: undefined }, {})],
    ['an owner among the options', () => checkReadValue({ name: 'name', owner: ID }, { owner: ID })],
    ['a history of nothing', () => checkHistory({ name: 'name', owner: ID }, { limit: 0 })],
    ['a longer history than there is', () => checkHistory({ name: 'name', owner: ID }, { limit: 10 })],
    ['a name that is missing', () => checkGetValue({ name: undefined, self: SELF }, {})],
    ['a start with something else than a signal', () => checkStart({ signal: 5 })],
    ['a start with an unknown option', () => checkStart({ timeoutMs: 5 })],
  ])('%s is INVALID_ARGUMENT', (_, attempt) => {
    expect(attempt).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }))
  })
})
