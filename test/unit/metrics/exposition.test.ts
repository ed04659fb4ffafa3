import { describe, expect, test } from 'vitest'
import { readExposition, total } from '../../metrics/exposition.ts'

const GOOD = `# HELP a_total Things
# TYPE a_total counter
a_total{way="in",odd="\\"\\\\\\n"} 1
a_total{way="out"} 2.5e-7

# HELP b_seconds Time
# TYPE b_seconds histogram
b_seconds_bucket{le="0.1"} 1
b_seconds_bucket{le="+Inf"} 3
b_seconds_sum 4
b_seconds_count 3
`

describe('the reader of the text format', () => {
  test('takes a good text and reads every number of it', () => {
    const read = readExposition(GOOD)

    expect(read.problems).toEqual([])
    expect(total(read, 'a_total', { way: 'out' })).toBe(2.5e-7)
    expect(total(read, 'b_seconds')).toBe(3)
  })

  test.each([
    ['no end of line', GOOD.slice(0, -1)],
    ['a counter without _total', gauge('a').replace('gauge', 'counter')],
    ['a gauge with _total', gauge('a_total')],
    ['milliseconds', gauge('a_ms')],
    ['its type in a name', gauge('a_gauge')],
    ['an empty help', gauge('a').replace('Help', '')],
    ['no type', gauge('a').replace(/# TYPE.*\n/, '')],
    ['capitals', gauge('aB')],
    ['a series of another metric', gauge('a').replace('a 1', 'b 1')],
    ['a series twice', `${gauge('a')}a 1\n`],
    ['a metric twice', `${gauge('a')}${gauge('a')}`],
    ['a label twice', gauge('a').replace('a 1', 'a{b="1",b="2"} 1')],
    ['a label that is not closed', gauge('a').replace('a 1', 'a{b="1} 1')],
    ['a label value that is not escaped', gauge('a').replace('a 1', 'a{b="\\x"} 1')],
    ['a quantile', gauge('a').replace('a 1', 'a{quantile="0.5"} 1')],
    ['a value that is no number', gauge('a').replace('a 1', 'a one')],
    ['buckets that fall', GOOD.replace('{le="0.1"} 1', '{le="0.1"} 4')],
    ['a count that differs', GOOD.replace('b_seconds_count 3', 'b_seconds_count 2')],
    ['no last bucket', GOOD.replace('b_seconds_bucket{le="+Inf"} 3\n', '')],
    ['no sum', GOOD.replace('b_seconds_sum 4\n', '')],
  ])('complains about %s', (_, text) => {
    expect(readExposition(text).problems).not.toEqual([])
  })
})

function gauge(name: string): string {
  return `# HELP ${name} Help\n# TYPE ${name} gauge\n${name} 1\n`
}
