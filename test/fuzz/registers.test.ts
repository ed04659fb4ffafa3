import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { getHistory } from '../../ts/dht/register-wire.ts'
import { endLease, leaseRegister, pushRegister } from '../../ts/dht/watch-wire.ts'
import type { MessageType } from '../../ts/net/message.ts'
import { fuzz, FUZZ_FACTOR, FUZZ_SEED, FUZZ_TIMEOUT_MS, type FuzzCase, type Outcome } from './campaign.ts'
import { messageCases } from './message-cases.ts'

const messages = JSON.parse(
  readFileSync(new URL('../vectors/records/registers.json', import.meta.url), 'utf8'),
) as Readonly<Record<string, string>>

/** Mutations of each case in a normal run. */
const MUTATIONS = 20_000

const cases: readonly (readonly [name: string, run: () => Outcome])[] = [
  ...message(getHistory),
  ...message(leaseRegister),
  ...message(endLease),
  ...message(pushRegister),
]

test.each(cases)(
  '%s: changed bytes are refused with a code, or say exactly what they say',
  (what, run) => {
    const { accepted, refused } = run()

    console.log(`${what}: seed ${FUZZ_SEED}, ${accepted} accepted, ${refused} refused`)
    expect(accepted).toBeGreaterThan(MUTATIONS / 1000)
    expect(refused).toBeGreaterThan(accepted / 100)
  },
  FUZZ_TIMEOUT_MS,
)

function message<Request, Response>(
  type: MessageType<Request, Response>,
): readonly (readonly [string, () => Outcome])[] {
  const [request, answer] = messageCases(type, { name: type.name, messages })
  return [...one(request), ...one(answer)]
}

function one<Value>(fuzzed: FuzzCase<Value>): readonly (readonly [string, () => Outcome])[] {
  return [[fuzzed.name, () => fuzz(fuzzed, { mutations: MUTATIONS * FUZZ_FACTOR })]]
}
