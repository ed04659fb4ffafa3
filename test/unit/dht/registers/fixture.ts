import { EspalierError } from '../../../../ts/base/error.ts'
import { signRecords, type SignedRecord } from '../../../../ts/base/record.ts'
import type { RegisterChange } from '../../../../ts/dht/newest-version.ts'
import { encodeRegister, subjectOfName } from '../../../../ts/dht/register.ts'
import { putRecord } from '../../../../ts/dht/wire.ts'
import { FakeNode, networkOf, stopAll, type FakeNetwork } from '../fake-network.ts'

const DAY_MS = 86_400_000
export const SENDER = { serves: false, addresses: [] }
export const DONE = { done: true, value: undefined }

/** Eight nodes that serve, the first of them the owner, and a reader that does not. */
export async function watching() {
  const { network, nodes } = await networkOf(8)
  const owner = nodes[0]!
  const reader = new FakeNode(network, { serves: false })
  await reader.dht.start()
  await network.world.runUntil(reader.dht.bootstrap([nodes[1]!.peer]))
  const set = (value: number) =>
    network.world.runUntil(owner.dht.registers.set('name', Uint8Array.of(value), {}))
  const watch = (options: { readonly afterSequence?: number } = {}) =>
    changesOf(network, reader.dht.registers.watch('name', { owner: owner.id, ...options }))
  return { network, nodes, owner, reader, set, watch, stop: () => stopAll([reader, ...nodes]) }
}

export function changesOf(network: FakeNetwork, changes: AsyncIterableIterator<RegisterChange, undefined>) {
  return {
    next: async () => (await network.world.runUntil(changes.next())).value,
    /** Time has to be let pass elsewhere. */
    wait: async () => (await changes.next()).value,
    end: async () => {
      await changes.return?.()
    },
  }
}

/** What is under way comes to its end; nothing here takes time. */
export async function settled({ world }: FakeNetwork): Promise<void> {
  await world.run(1)
}

interface RecordChange {
  readonly sequence: number
  readonly name?: string
  readonly value?: number
  readonly payload?: Uint8Array
  readonly issuedInMs?: number
  readonly lifetimeMs?: number
  readonly expiresUnixMs?: number
  /** Whom it names as its owner. Default: who signs it. */
  readonly owner?: FakeNode
}

/** A record of a register, written by hand. */
export function recordOf(signer: FakeNode, change: RecordChange): SignedRecord {
  const { sequence, name = 'name', value = sequence, owner = signer } = change
  const { issuedInMs = 0, lifetimeMs = 300 * DAY_MS } = change
  const issuedUnixMs = signer.env.clock.unixMs() + issuedInMs
  const { payload = encodeRegister(Uint8Array.of(value)), expiresUnixMs = issuedUnixMs + lifetimeMs } = change
  const subject = subjectOfName(signer.env.crypto, name)
  const rest = { kind: 'REGISTER_POINTER', subject, sequence, issuedUnixMs, expiresUnixMs, payload } as const
  const signedBy = (node: FakeNode) => signRecords(node.env.crypto, [{ ...rest, owner: node.id }])[0]!
  return { ...signedBy(owner), signature: signedBy(signer).signature }
}

/** `author` brings a record to `keeper` by hand. */
export function offerTo(keeper: FakeNode, author: FakeNode, record: SignedRecord) {
  const { publicKey } = author.env.crypto
  return author.port.request(keeper.peer, putRecord, { sender: SENDER, record, publicKey })
}

export async function codeOf(work: Promise<unknown>): Promise<string | undefined> {
  try {
    await work
    return undefined
  } catch (thrown) {
    return thrown instanceof EspalierError ? thrown.code : String(thrown)
  }
}
