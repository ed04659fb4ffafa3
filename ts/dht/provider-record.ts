import { CborReader, CborWriter } from '../base/codec.ts'
import { EspalierError } from '../base/error.ts'
import type { NodeId } from '../base/identity.ts'
import { MAX_BODY_BYTES, type RecordBody } from '../base/record.ts'
import type { Address } from '../net/address.ts'
import { readAddresses, writeAddresses } from './peer-codec.ts'
import { MAX_PARAMETER, MAX_SUMMARY_IDS, isShape, type SummaryShape } from './provider-summary.ts'

/** Room for a payload in a body of 512 bytes: what the other fields leave. */
const MAX_PAYLOAD_BYTES = 400

/** What a provider states about one root: which of its children it has, and where it is. */
export interface ProviderClaim {
  /** 32 bytes. */
  readonly root: Uint8Array
  readonly provider: NodeId
  /** Counts up with every summary that the provider issues. */
  readonly epoch: number
  readonly shape: SummaryShape
  /** Of the summary's index, 32 bytes. */
  readonly hash: Uint8Array
  readonly addresses: readonly Address[]
  readonly expiresUnixMs: number
}

/** The payload of a `PROVIDER`. As many addresses as fit, first ones first. */
export function encodeProvider(
  claim: Pick<ProviderClaim, 'epoch' | 'shape' | 'hash' | 'addresses'>,
): Uint8Array {
  const { epoch, shape, hash, addresses } = claim
  const writer = new CborWriter().array(6).uint(epoch).uint(shape.count).uint(shape.parameter).bytes(hash)
  writeAddresses(writer, addresses)
  const payload = writer.extensions().finish()
  if (payload.byteLength <= MAX_PAYLOAD_BYTES) return payload
  return encodeProvider({ epoch, shape, hash, addresses: addresses.slice(0, -1) })
}

/** The claim in a body. Throws `PROTOCOL_VIOLATION`, also for a count or a parameter that no summary has. */
export function decodeProvider(body: RecordBody): ProviderClaim {
  const reader = new CborReader(body.payload, { maxBytes: MAX_BODY_BYTES, what: 'provider' })
  reader.array(6)
  const epoch = reader.uint()
  const shape = { count: reader.uint(MAX_SUMMARY_IDS), parameter: reader.uint(MAX_PARAMETER) }
  const hash = reader.bytes(32)
  const addresses = readAddresses(reader)
  reader.extensions()
  reader.end()
  if (body.kind !== 'PROVIDER' || !isShape(shape)) {
    throw new EspalierError('PROTOCOL_VIOLATION', 'provider: a summary of no possible shape')
  }
  const { subject: root, owner: provider, expiresUnixMs } = body
  return { root, provider, epoch, shape, hash, addresses, expiresUnixMs }
}
