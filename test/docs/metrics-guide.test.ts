import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { NODE_METRICS } from '../../ts/metrics/catalogue.ts'
import { PROCESS_METRICS } from '../../ts/metrics/process-metrics.ts'

test('the guide lists every metric with its type, labels and unit, and no other', () => {
  const metrics = [...NODE_METRICS, ...PROCESS_METRICS].map(({ name, kind, labels }) => [
    name,
    kind,
    labels.join(', '),
  ])

  expect(rows().map(({ name, type, labels }) => [name, type, labels])).toEqual(metrics)
})

test('units are those of the names', () => {
  for (const { name, unit } of rows()) {
    const inName = /_(seconds|bytes)(?:_total|_limit)?$/.exec(name)?.[1]
    const expected = inName === 'seconds' ? 's' : inName
    if (expected === undefined && !name.startsWith('peer_bytes')) expect(['s', 'bytes']).not.toContain(unit)
    else expect(unit, name).toBe(expected ?? 'bytes')
  }
})

/** The tables of metrics, in their order. */
function rows() {
  const text = readFileSync(new URL('../../docs/guide/metrics.md', import.meta.url), 'utf8')
  const lines = text.matchAll(
    /^\| `([a-z_]+)` +\| (counter|gauge|histogram) +\| ([^|]*?) *\| (\S+) +\| (\S.*?) *\|$/gm,
  )
  return [...lines].map(([, name = '', type = '', labels = '', unit = '', what = '']) => ({
    name,
    type,
    labels: labels.replaceAll('`', ''),
    unit,
    what,
  }))
}
