import { expect, test } from 'vitest'
import { encodeUtf8 } from '../../../ts/base/bytes.ts'
import { NET_LIMITS } from '../../../ts/net/limits.ts'
import { Server } from '../../../ts/net/server.ts'
import type { InboundRequest } from '../../../ts/net/transport.ts'
import { World } from '../../../ts/sim/world.ts'
import { codesOf, ECHO, envOf, makeNetwork } from './rpc-network.ts'

test('before the handshake is done only requests that may be answered twice reach their handler', async () => {
  const world = new World({ seed: 'early' })
  const { id, address } = makeNetwork().node('a')
  const server = new Server(envOf(world), NET_LIMITS)
  const served: string[] = []
  const once = { ...ECHO, name: 'test.once', protocol: 0x7f03, isIdempotent: false }
  for (const type of [ECHO, once]) {
    server.handle(type, (request) => {
      served.push(type.name)
      return request
    })
  }
  const early = (protocol: number): InboundRequest => ({
    protocol,
    body: encodeUtf8('hello'),
    peer: id,
    remote: address,
    connection: undefined,
    signal: new AbortController().signal,
  })

  expect(await server.serve(early(ECHO.protocol))).toEqual(encodeUtf8('hello'))
  expect(await codesOf(world, [server.serve(early(once.protocol))])).toEqual(['PROTOCOL_VIOLATION'])
  expect(served).toEqual([ECHO.name])
})
