import { expect, test } from 'vitest'
import { SigningKey, verify, type SignatureProvider } from '../../../../ts/crypto.ts'
import { bytes, readVectors, report, unlessRefused, type Case, type Group } from './vector-file.ts'

const PROVIDERS: readonly SignatureProvider[] = ['aws-lc', 'pqclean']

test('ACVP: a seed gives the public key of FIPS 204', () => {
  const cases = readVectors('acvp/ML-DSA-65-keyGen.json').testGroups.flatMap((group) => group.tests)

  const wrong = cases.filter((each) => {
    using key = SigningKey.fromSeed(bytes(each, 'seed'))
    return !Buffer.from(key.publicKey).equals(bytes(each, 'pk'))
  })

  expect(wrong).toEqual([])
  expect(cases).toHaveLength(25)
  report('ACVP ML-DSA-65 keyGen', cases.length, 25)
})

test('ACVP: pure signatures are judged as FIPS 204 judges them, by both providers', () => {
  const cases = readVectors('acvp/ML-DSA-65-sigVer.json.gz')
    .testGroups.filter((group) => group['signatureInterface'] === 'external' && group['preHash'] === 'pure')
    .flatMap((group) => group.tests)

  const wrong = cases.filter((each) =>
    PROVIDERS.some(
      (provider) =>
        isValid(bytes(each, 'pk'), each, 'message', 'context', 'signature', provider) !== each['testPassed'],
    ),
  )

  expect(wrong).toEqual([])
  expect(cases).toHaveLength(15)
  expect(cases.filter((each) => each['testPassed'] === true).length).toBeGreaterThan(0)
  report(
    'ACVP ML-DSA-65 sigVer (pure; the internal and pre-hash interfaces are not public)',
    cases.length,
    15,
  )
})

test.each([
  ['aws-lc', []],
  // Valid, but no signer makes it: a hint where the low bits are zero. The AVX2 code rounds it the wrong way,
  // which rejects (docs/adr/0002-two-signature-providers.md).
  ['pqclean', [161]],
] as const)('Wycheproof: %s judges every signature right, but for %j', (provider, exceptions) => {
  const cases = readVectors('wycheproof/mldsa_65_verify_test.json.gz').testGroups.flatMap((group) =>
    group.tests.map((each) => ({ publicKey: bytes(group, 'publicKey'), each })),
  )

  const wrong = cases.filter(({ publicKey, each }) => {
    return isValid(publicKey, each, 'msg', 'ctx', 'sig', provider) !== (each['result'] === 'valid')
  })

  // A machine without AVX2 runs other code, which has no exception.
  expect(exceptions).toEqual(expect.arrayContaining(wrong.map(({ each }) => each['tcId'])))
  expect(wrong.filter(({ each }) => each['result'] !== 'valid')).toEqual([])
  expect(cases).toHaveLength(210)
  report(`Wycheproof ML-DSA-65 verify with ${provider}`, cases.length - wrong.length, 210)
})

test('Wycheproof: deterministic signatures are reproduced, and wrong seeds and contexts refused', () => {
  const all = readVectors('wycheproof/mldsa_65_sign_seed_test.json.gz').testGroups.flatMap((group) =>
    group.tests.map((each) => ({ group, each })),
  )
  // The others give the message representative only, an interface that is not public.
  const cases = all.filter(({ each }) => each['msg'] !== undefined)

  const wrong = cases.filter(({ group, each }) => !signsAsExpected(group, each))

  expect(wrong.map(({ each }) => each['tcId'])).toEqual([])
  expect(all).toHaveLength(105)
  expect(cases.length).toBe(88)
  report('Wycheproof ML-DSA-65 sign from seed (the others have no message)', cases.length, 88)
})

function signsAsExpected(group: Group, each: Case): boolean {
  const context = bytes(each, 'ctx')
  const message = bytes(each, 'msg')
  const signature = unlessRefused(() => {
    using key = SigningKey.fromSeed(bytes(group, 'privateSeed'))
    return key.sign(message, { context, deterministic: true })
  })
  if (each['result'] !== 'valid') return signature === undefined
  const expected = bytes(each, 'sig')
  if (JSON.stringify(each['flags']).includes('Randomized')) {
    return verify(bytes(group, 'publicKey'), message, expected, { context })
  }
  return signature !== undefined && Buffer.from(signature).equals(expected)
}

/** A refused size is no valid signature either. */
function isValid(
  publicKey: Uint8Array,
  each: Case,
  message: string,
  context: string,
  signature: string,
  provider: SignatureProvider,
): boolean {
  const options = { context: bytes(each, context), provider }
  return (
    unlessRefused(() => verify(publicKey, bytes(each, message), bytes(each, signature), options)) ?? false
  )
}
