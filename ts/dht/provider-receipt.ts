import { concatBytes, encodeUtf8, toHex } from '../base/bytes.ts'
import { CborWriter } from '../base/codec.ts'
import type { NodeCrypto } from '../base/env.ts'
import { keyOfNode, type NodeId } from '../base/identity.ts'
import { nodeIdOf } from '../base/record.ts'

/** Most receipts of one message: one signature covers them all. */
export const MAX_RECEIPTS = 64
/** Most chunks that one receipt speaks of. */
export const MAX_RECEIPT_CHUNKS = 1_048_576

const LABEL = 'espalier provider receipts v1'
const PSEUDONYM_CONTEXT = 'espalier receipt pseudonym v1'

/** A provider delivered chunks of a root in one window of ten minutes. */
export interface Receipt {
  /** 32 bytes. */
  readonly root: Uint8Array
  /** Of the summary that promised them. */
  readonly epoch: number
  readonly window: number
  /** 1 to {@link MAX_RECEIPT_CHUNKS}. */
  readonly chunks: number
}

/** What stands for the reader: its signature over all receipts, or a name for each that nobody else can link. */
export type ReceiptProof =
  | { readonly kind: 'signed'; readonly signature: Uint8Array }
  | { readonly kind: 'pseudonym'; readonly tags: readonly Uint8Array[] }

/** Who gave what to whom. */
export interface ReceiptBatch {
  readonly reader: NodeId
  readonly provider: NodeId
  /** 1 to {@link MAX_RECEIPTS}. */
  readonly receipts: readonly Receipt[]
}

/** One ML-DSA-65 signature over all receipts of a batch. */
export function signReceipts(crypto: NodeCrypto, batch: ReceiptBatch): ReceiptProof {
  return { kind: 'signed', signature: crypto.sign(statementOf(batch)) }
}

/**
 * A name for each receipt, BLAKE3 under a secret of the reader: the same for one provider, root and epoch, so
 * that it counts once, and another everywhere else. Whoever shows the secret proves that a name was its own.
 */
export function pseudonymsOf(
  crypto: Pick<NodeCrypto, 'deriveKey'>,
  batch: ReceiptBatch,
  secret: Uint8Array,
): ReceiptProof {
  const tags = batch.receipts.map(({ root, epoch }) => {
    const which = new CborWriter().array(3).bytes(keyOfNode(batch.provider)).bytes(root).uint(epoch).finish()
    return crypto.deriveKey(PSEUDONYM_CONTEXT, concatBytes([secret, which]))
  })
  return { kind: 'pseudonym', tags }
}

/** Whether the reader signed this batch. */
export function receiptsAreSigned(
  crypto: NodeCrypto,
  batch: ReceiptBatch,
  { signature, publicKey }: { readonly signature: Uint8Array; readonly publicKey: Uint8Array },
): boolean {
  if (nodeIdOf(crypto, publicKey) !== batch.reader) return false
  return crypto.verify(publicKey, statementOf(batch), signature)
}

/** The name under which a receipt counts once in its window. */
export function nameOfReceipt(batch: ReceiptBatch, proof: ReceiptProof, at: number): string {
  return proof.kind === 'signed' ? batch.reader : toHex(proof.tags[at] ?? new Uint8Array(0))
}

function statementOf({ reader, provider, receipts }: ReceiptBatch): Uint8Array {
  const writer = new CborWriter().array(4).bytes(keyOfNode(reader)).bytes(keyOfNode(provider))
  writer.array(receipts.length)
  for (const { root, epoch, window, chunks } of receipts) {
    writer.array(4).bytes(root).uint(epoch).uint(window).uint(chunks)
  }
  return concatBytes([encodeUtf8(`${LABEL}\0`), writer.extensions().finish()])
}
