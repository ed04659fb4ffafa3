import { describe } from 'vitest'
import { connectionCases } from './connections.ts'
import { firstRequestCases } from './first-requests.ts'
import type { MakePair } from './harness.ts'
import { requestCases } from './requests.ts'
import { streamCases } from './streams.ts'

/** What every `Transport` promises. Knows nothing of the clock: the pair lets time pass. */
export function transportContract(name: string, makePair: MakePair): void {
  describe(`${name} keeps the contract of a transport`, () => {
    describe('requests', () => requestCases(makePair))
    describe('first requests', () => firstRequestCases(makePair))
    describe('streams and datagrams', () => streamCases(makePair))
    describe('connections', () => connectionCases(makePair))
  })
}
