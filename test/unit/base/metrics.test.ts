import { describe, expect, test } from 'vitest'
import { Histogram, Meter } from '../../../ts/base/metrics.ts'

describe('a meter', () => {
  test('gives the same counter for the same labels, and others for others', () => {
    const meter = new Meter()
    const labels = { operation: 'put', outcome: 'ok' }

    meter.counter('transfers', labels).add()
    meter.counter('transfers', { outcome: 'ok', operation: 'put' }).add(2)
    meter.counter('transfers', { ...labels, outcome: 'TIMEOUT' }).add(5)

    const counted = meter.counters('transfers').map(({ labels, value }) => [labels['outcome'], value.value])
    expect(counted).toEqual([
      ['ok', 3],
      ['TIMEOUT', 5],
    ])
    expect(meter.counters('dials')).toEqual([])
  })

  test('keeps labels as they were given', () => {
    const meter = new Meter()
    const labels = { reason: 'rate_limited' }
    meter.counter('refusals', labels)
    labels.reason = 'changed'

    expect(meter.counters('refusals')[0]?.labels).toEqual({ reason: 'rate_limited' })
  })
})

describe('a histogram', () => {
  test('puts a value that is a bound below it, and what is over all bounds into the last', () => {
    const histogram = new Histogram([1, 2, 4])

    for (const value of [0, 1, 1.5, 2, 4, 4.1, 1e9]) histogram.observe(value)

    expect(histogram.counts).toEqual([2, 2, 1, 2])
    expect(histogram.sum).toBeCloseTo(1e9 + 12.6, 3)
  })
})
