import type { MessageType } from '../../ts/net/message.ts'
import type { FuzzCase } from './campaign.ts'

/** Both sides of a message: what decodes is within its table of sizes. */
export function messageCases<Request, Response>(
  type: MessageType<Request, Response>,
  options: {
    readonly name: string
    /** Frozen bytes in hexadecimal; the keys of this message begin with its name and the side. */
    readonly messages: Readonly<Record<string, string>>
  },
): readonly [FuzzCase<Request>, FuzzCase<Response>] {
  const corpus = (side: string): Uint8Array[] =>
    Object.entries(options.messages).flatMap(([key, hex]) =>
      key.startsWith(`${type.name} ${side}`) ? [Uint8Array.from(Buffer.from(hex, 'hex'))] : [],
    )
  return [
    {
      name: `${options.name} request`,
      corpus: corpus('request'),
      decode: (bytes) => type.decodeRequest(bytes),
      encode: (value) => type.encodeRequest(value),
      codes: ['PROTOCOL_VIOLATION'],
      check: (_, bytes) => expectAtMost(bytes, type.maxRequestBytes),
    },
    {
      name: `${options.name} answer`,
      corpus: corpus('response'),
      decode: (bytes) => type.decodeResponse(bytes),
      encode: (value) => type.encodeResponse(value),
      codes: ['PROTOCOL_VIOLATION'],
      check: (_, bytes) => expectAtMost(bytes, type.maxResponseBytes),
    },
  ]
}

function expectAtMost(bytes: Uint8Array, maxBytes: number): void {
  if (bytes.byteLength > maxBytes) throw new Error(`${bytes.byteLength} bytes were accepted`)
}
