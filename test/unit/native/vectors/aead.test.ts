import { expect, test } from 'vitest'
import { open, seal, type SealAlgorithm } from '../../../../ts/crypto.ts'
import { bytes, readVectors, report, unlessRefused, type Case } from './vector-file.ts'

test.each([
  ['chacha20-poly1305', 'chacha20_poly1305_test.json.gz', 325],
  ['xchacha20-poly1305', 'xchacha20_poly1305_test.json.gz', 315],
] as const)('Wycheproof: %s seals and opens as expected', (algorithm, file, count) => {
  const cases = readVectors(`wycheproof/${file}`).testGroups.flatMap((group) => group.tests)

  const wrong = cases.filter((each) => !behaves(algorithm, each))

  expect(wrong.map((each) => each['tcId'])).toEqual([])
  expect(cases).toHaveLength(count)
  expect(cases.filter((each) => each['result'] === 'valid').length).toBeGreaterThan(200)
  report(`Wycheproof ${algorithm}`, cases.length, count)
})

function behaves(algorithm: SealAlgorithm, each: Case): boolean {
  const common = { key: bytes(each, 'key'), nonce: bytes(each, 'iv'), aad: bytes(each, 'aad'), algorithm }
  const message = bytes(each, 'msg')
  const sealed = Buffer.concat([bytes(each, 'ct'), bytes(each, 'tag')])
  const opened = unlessRefused(() => open({ ...common, sealed }))
  if (each['result'] !== 'valid') return opened === undefined
  const made = unlessRefused(() => seal({ ...common, message }))
  return (
    made !== undefined && sealed.equals(made) && opened !== undefined && Buffer.from(opened).equals(message)
  )
}
