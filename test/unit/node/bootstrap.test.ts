import { describe, expect, test } from 'vitest'
import { parseBootstrap, resolveBootstrap } from '../../../ts/node/bootstrap.ts'

const ID = 'b'.repeat(51) + 'a'

describe('a bootstrap entry', () => {
  test('a literal address is read at once', async () => {
    expect(await resolveBootstrap(parseBootstrap('192.0.2.1:4840'))).toEqual({
      addresses: [{ host: '192.0.2.1', port: 4840 }],
    })
    expect(await resolveBootstrap(parseBootstrap(`${ID}@[2001:db8::1]:1`))).toEqual({
      id: ID,
      addresses: [{ host: '2001:db8::1', port: 1 }],
    })
  })

  test('a host name is kept until it is needed, then becomes addresses', async () => {
    const entry = parseBootstrap(`${ID}@localhost:4840`)
    expect(entry).toEqual({ kind: 'host', id: ID, host: 'localhost', port: 4840 })

    const peer = await resolveBootstrap(entry)

    expect(peer.id).toBe(ID)
    expect(peer.addresses.length).toBeGreaterThan(0)
    for (const { host, port } of peer.addresses) {
      expect(['127.0.0.1', '::1']).toContain(host)
      expect(port).toBe(4840)
    }
  })

  test('a name that cannot exist is refused when it is looked up', async () => {
    // RFC 2606 §2: `invalid` never resolves.
    await expect(resolveBootstrap(parseBootstrap('nowhere.invalid:1'))).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    })
  })
})
