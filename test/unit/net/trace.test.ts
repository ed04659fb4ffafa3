import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { codesOf, ECHO, startedPair } from './rpc-network.ts'

let heard: { readonly name: string | symbol; readonly message: unknown }[] = []
const listen = (message: unknown, name: string | symbol): void => void heard.push({ name, message })

beforeEach(() => {
  heard = []
  subscribe('espalier:request', listen)
  subscribe('espalier:dial', listen)
})

afterEach(() => {
  unsubscribe('espalier:request', listen)
  unsubscribe('espalier:dial', listen)
})

describe('the channels', () => {
  test('tell of a dial, and of a request on both of its sides', async () => {
    const { world, a, b } = await startedPair()
    b.rpc.handle(ECHO, (text) => text)

    expect(await codesOf(world, [a.rpc.request(b.peer, ECHO, 'hello')])).toEqual(['ok'])

    const durationMs = expect.any(Number) as number
    const request = { protocol: 'test.echo', outcome: 'ok', durationMs }
    expect(heard).toHaveLength(3)
    expect(heard).toContainEqual({
      name: 'espalier:dial',
      message: { peer: b.id, outcome: 'ok', durationMs },
    })
    expect(heard).toContainEqual({ name: 'espalier:request', message: { ...request, direction: 'inbound' } })
    expect(heard).toContainEqual({ name: 'espalier:request', message: { ...request, direction: 'outbound' } })
  })

  test('tell how things failed, and name what is not served unknown', async () => {
    const { world, a, b } = await startedPair()

    await codesOf(world, [a.rpc.request(b.peer, ECHO, 'hello')])

    const failures = heard
      .filter(({ name }) => name === 'espalier:request')
      .map(({ message }) => message as { readonly protocol: string; readonly outcome: string })
    expect(failures.map(({ protocol, outcome }) => [protocol, outcome]).sort()).toEqual([
      ['test.echo', 'UNSUPPORTED'],
      ['unknown', 'UNSUPPORTED'],
    ])
  })
})
