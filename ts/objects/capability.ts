import { decodeBase32, encodeBase32 } from '../base/base32.ts'
import { concatBytes } from '../base/bytes.ts'
import { EspalierError } from '../base/error.ts'
import { keyOfNode, nodeIdFromBytes, type NodeId } from '../base/identity.ts'

/**
 * What a reference grants. Root and owner find and check an object; only the read key opens it, so that the
 * text before the last colon may be given to anyone who audits or repairs.
 */
export interface Capability {
  /** BLAKE3 of the manifest, 32 bytes. */
  readonly root: Uint8Array
  readonly owner: NodeId
  /** The object's XChaCha20-Poly1305 key, 32 bytes; missing in a reference that only checks. */
  readonly readKey?: Uint8Array
}

const SCHEME = 'espalier'
const VERSION = 1
const ID_BYTES = 32
const VERIFY_BYTES = 1 + 2 * ID_BYTES
/** Longer text cannot be a reference and is not looked at. */
const MAX_CHARACTERS = 256

/** `espalier:` version, root and owner `:` read key, in base32. */
export function formatReference(capability: Capability): string {
  const verify = concatBytes([Uint8Array.of(VERSION), capability.root, keyOfNode(capability.owner)])
  const parts = [SCHEME, encodeBase32(verify)]
  if (capability.readKey !== undefined) parts.push(encodeBase32(capability.readKey))
  return parts.join(':')
}

/** Parses {@link formatReference}'s text; each capability has exactly one spelling. Throws `INVALID_ARGUMENT`. */
export function parseReference(text: string): Capability {
  // A JavaScript caller may pass anything.
  if (typeof text !== 'string' || text.length > MAX_CHARACTERS) throw invalid('it is no text of that form')
  const [scheme, verifyText, keyText, ...rest] = text.split(':')
  if (scheme !== SCHEME || verifyText === undefined || rest.length > 0) {
    throw invalid(`it is written ${SCHEME}:…:…`)
  }
  const verify = decodeBase32(verifyText)
  if (verify === undefined || verify.byteLength < 1)
    throw invalid('the part after the first colon is damaged')
  if (verify[0] !== VERSION) throw invalid(`version ${verify[0] ?? 0} is not known`)
  if (verify.byteLength !== VERIFY_BYTES) throw invalid('the part after the first colon has another length')
  const capability = {
    root: verify.slice(1, 1 + ID_BYTES),
    owner: nodeIdFromBytes(verify.slice(1 + ID_BYTES)),
  }
  if (keyText === undefined) return capability
  const readKey = decodeBase32(keyText)
  if (readKey?.byteLength !== ID_BYTES) throw invalid('the read key after the last colon is damaged')
  return { ...capability, readKey }
}

/** The reference's capability when it can read. Throws `INVALID_ARGUMENT` when it can only check. */
export function parseReadReference(text: string): Required<Capability> {
  const { readKey, ...verify } = parseReference(text)
  if (readKey === undefined) throw invalid('without the part after the last colon it can only be checked')
  return { ...verify, readKey }
}

// The text itself is left out: it may hold a read key, and errors end up in logs.
function invalid(why: string): EspalierError {
  return new EspalierError('INVALID_ARGUMENT', `not an object reference: ${why}`)
}
