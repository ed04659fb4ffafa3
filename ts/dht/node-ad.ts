import { CborReader, CborWriter } from '../base/codec.ts'
import { MAX_BODY_BYTES, type RecordBody } from '../base/record.ts'
import type { Address } from '../net/address.ts'
import { readAddresses, writeAddresses } from './peer-codec.ts'

/** Room for addresses in a body of 512 bytes: what the other fields leave. */
const MAX_PAYLOAD_BYTES = 400

/** The payload of a `NODE_AD`: where a node can be reached. As many addresses as fit, first ones first. */
export function encodeNodeAd(addresses: readonly Address[]): Uint8Array {
  const writer = new CborWriter().array(2)
  writeAddresses(writer, addresses)
  const payload = writer.extensions().finish()
  return payload.byteLength <= MAX_PAYLOAD_BYTES ? payload : encodeNodeAd(addresses.slice(0, -1))
}

/** The addresses in a verified body. Throws `PROTOCOL_VIOLATION`. */
export function decodeNodeAd(body: RecordBody): Address[] {
  const reader = new CborReader(body.payload, { maxBytes: MAX_BODY_BYTES, what: 'node ad' })
  reader.array(2)
  const addresses = readAddresses(reader)
  reader.extensions()
  reader.end()
  return addresses
}
