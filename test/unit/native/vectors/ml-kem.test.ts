import { expect, test } from 'vitest'
import { DecapsulationKey, encapsulate } from '../../../../ts/crypto.ts'
import { bytes, readVectors, report, unlessRefused } from './vector-file.ts'

test('ACVP: a seed gives the encapsulation key of FIPS 203', () => {
  const cases = readVectors('acvp/ML-KEM-768-keyGen.json').testGroups.flatMap((group) => group.tests)

  const wrong = cases.filter((each) => {
    using key = DecapsulationKey.fromSeed(Buffer.concat([bytes(each, 'd'), bytes(each, 'z')]))
    return !Buffer.from(key.encapsulationKey).equals(bytes(each, 'ek'))
  })

  expect(wrong).toEqual([])
  expect(cases).toHaveLength(25)
  report('ACVP ML-KEM-768 keyGen', cases.length, 25)
})

test('ACVP: encapsulation keys over the modulus are refused, the others taken', () => {
  const cases = readVectors('acvp/ML-KEM-768-encapDecap.json.gz')
    .testGroups.filter((group) => group['function'] === 'encapsulationKeyCheck')
    .flatMap((group) => group.tests)

  const wrong = cases.filter(
    (each) => (unlessRefused(() => encapsulate(bytes(each, 'ek'))) !== undefined) !== each['testPassed'],
  )

  expect(wrong).toEqual([])
  expect(cases).toHaveLength(10)
  report('ACVP ML-KEM-768 encapsulationKeyCheck', cases.length, 10)
})

test('Wycheproof: a seed gives the encapsulation key, or is refused', () => {
  const cases = readVectors('wycheproof/mlkem_768_keygen_seed_test.json.gz').testGroups.flatMap(
    (group) => group.tests,
  )

  const wrong = cases.filter((each) => {
    const key = unlessRefused(() => DecapsulationKey.fromSeed(bytes(each, 'seed')).encapsulationKey)
    return each['result'] === 'valid' ? !sameBytes(key, bytes(each, 'ek')) : key !== undefined
  })

  expect(wrong.map((each) => each['tcId'])).toEqual([])
  expect(cases).toHaveLength(100)
  report('Wycheproof ML-KEM-768 keygen from seed', cases.length, 100)
})

test('Wycheproof: ciphertexts give the shared secret, or are refused', () => {
  const cases = readVectors('wycheproof/mlkem_768_test.json.gz').testGroups.flatMap((group) => group.tests)

  const wrong = cases.filter((each) => {
    const secret = unlessRefused(() =>
      DecapsulationKey.fromSeed(bytes(each, 'seed')).decapsulate(bytes(each, 'c')),
    )
    return each['result'] === 'valid' ? !sameBytes(secret, bytes(each, 'K')) : secret !== undefined
  })

  expect(wrong.map((each) => each['tcId'])).toEqual([])
  expect(cases).toHaveLength(193)
  report('Wycheproof ML-KEM-768 decapsulate', cases.length, 193)
})

test('Wycheproof: encapsulation keys are taken or refused as expected', () => {
  const cases = readVectors('wycheproof/mlkem_768_encaps_test.json.gz').testGroups.flatMap(
    (group) => group.tests,
  )

  const wrong = cases.filter(
    (each) =>
      (unlessRefused(() => encapsulate(bytes(each, 'ek'))) !== undefined) !== (each['result'] === 'valid'),
  )

  expect(wrong.map((each) => each['tcId'])).toEqual([])
  expect(cases).toHaveLength(265)
  report('Wycheproof ML-KEM-768 encapsulate (keys; the ciphertexts in the Rust tests)', cases.length, 265)
})

function sameBytes(actual: Uint8Array | undefined, expected: Uint8Array): boolean {
  return actual !== undefined && Buffer.from(actual).equals(expected)
}
