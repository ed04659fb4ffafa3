import { expect, test } from 'vitest'
import { nearestName } from '../../../ts/base/nearest.ts'

test('one wrong, missing or swapped letter finds the name', () => {
  const known = ['data', 'port', 'bootstrap']

  expect(nearestName('prot', known)).toBe('port')
  expect(nearestName('bootstap', known)).toBe('bootstrap')
  expect(nearestName('Data', known)).toBe('data')
})

test('a word that is like none of them finds nothing', () => {
  expect(nearestName('colour', ['data', 'port'])).toBeUndefined()
  expect(nearestName('', [])).toBeUndefined()
})

test('a very long word is answered without a large table', () => {
  expect(nearestName('x'.repeat(1_000_000), ['data'])).toBeUndefined()
})
