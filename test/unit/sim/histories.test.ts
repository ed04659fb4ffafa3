import { expect, test } from 'vitest'
import { Histories } from '../../../ts/sim/histories.ts'

const [one, two] = [Uint8Array.of(1), Uint8Array.of(2)]

test('a history as it should be breaks nothing, also when a failed write is read', () => {
  const histories = written()
  histories.tries('r', two)
  histories.reads('r', { reader: 'a', version: { value: one, sequence: 1 } })
  histories.reads('r', { reader: 'a', version: { value: two, sequence: 2 } })
  histories.reads('r', { reader: 'b', version: { value: one, sequence: 1 } })
  histories.acknowledges('r', { value: two, sequence: 2, expected: 1 })
  histories.readsAtLast('r', { reader: 'a', version: { value: two, sequence: 2 } })

  expect(histories.broken).toEqual([])
  expect(histories.lastAcknowledged('r')).toMatchObject({ sequence: 2 })
})

test.each<[string, (histories: Histories) => void]>([
  [
    'a value that nobody wrote',
    (histories) => histories.reads('r', { reader: 'a', version: { value: two, sequence: 2 } }),
  ],
  [
    'an older version than before',
    (histories) => {
      histories.tries('r', two)
      histories.reads('r', { reader: 'a', version: { value: two, sequence: 2 } })
      histories.reads('r', { reader: 'a', version: { value: one, sequence: 1 } })
    },
  ],
  [
    'two values for one sequence',
    (histories) => {
      histories.tries('r', two)
      histories.reads('r', { reader: 'a', version: { value: two, sequence: 1 } })
    },
  ],
  [
    'a write over an older version than the last acknowledged',
    (histories) => {
      histories.tries('r', two)
      histories.acknowledges('r', { value: two, sequence: 2, expected: 0 })
    },
  ],
  [
    'a sequence that does not count up',
    (histories) => histories.acknowledges('r', { value: one, sequence: 1, expected: 1 }),
  ],
  [
    'an acknowledged write that is gone',
    (histories) => histories.readsAtLast('r', { reader: 'a', version: undefined }),
  ],
])('%s is told', (_what, happens) => {
  const histories = written()

  happens(histories)

  expect(histories.broken).toHaveLength(1)
})

/** One value that was written and acknowledged. */
function written(): Histories {
  const histories = new Histories()
  histories.tries('r', one)
  histories.acknowledges('r', { value: one, sequence: 1, expected: 0 })
  return histories
}
