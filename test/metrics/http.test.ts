import { once } from 'node:events'
import { connect as connectTcp } from 'node:net'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { silentLog } from '../../ts/base/log.ts'
import { MonitorServer, type Monitored } from '../../ts/metrics/http.ts'

const TEXT = '# HELP a Help\n# TYPE a gauge\na 1\n'

let unready: string | undefined
let server: MonitorServer
const logged: string[] = []
const monitored: Monitored = {
  metrics: () => Promise.resolve({ text: TEXT, contentType: 'text/plain; version=0.0.4; charset=utf-8' }),
  unready: () => unready,
}

beforeEach(async () => {
  unready = undefined
  server = await open()
})

afterEach(() => server.close())

describe('the monitor', () => {
  test('serves the metrics with their media type', async () => {
    const answer = await get('/metrics')

    expect(answer.status).toBe(200)
    expect(answer.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8')
    expect(await answer.text()).toBe(TEXT)
    expect(await (await get('/metrics?from=probe')).text()).toBe(TEXT)
  })

  test('is healthy as soon as it answers, and ready when the node says so', async () => {
    unready = 'the node is starting'
    expect([(await get('/health')).status, (await get('/ready')).status]).toEqual([200, 503])
    expect(await (await get('/ready')).text()).toBe('the node is starting\n')

    unready = undefined
    expect((await get('/ready')).status).toBe(200)
  })

  test('knows no other path and no other method', async () => {
    for (const path of ['/', '/metrics/', '/metric', '/../metrics/x', '/healthz']) {
      expect((await get(path)).status, path).toBe(404)
    }
    for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS']) {
      const answer = await get('/metrics', { method })
      expect([answer.status, answer.headers.get('allow')], method).toEqual([405, 'GET, HEAD'])
    }
    const head = await get('/metrics', { method: 'HEAD' })
    expect([head.status, head.headers.get('content-length'), await head.text()]).toEqual([
      200,
      String(TEXT.length),
      '',
    ])
  })

  test('answers for addresses and localhost, not for a name that somebody points at this machine', async () => {
    const statusFor = async (host: string): Promise<string> => {
      const said = await talk(`GET /metrics HTTP/1.1\r\n${host}Connection: close\r\n\r\n`)
      return said.split(' ')[1] ?? ''
    }

    for (const host of ['127.0.0.1', '127.0.0.1:4841', '[::1]:4841', 'localhost', 'LOCALHOST:80']) {
      expect(await statusFor(`Host: ${host}\r\n`), host).toBe('200')
    }
    for (const host of [
      'evil.example',
      'evil.example:4841',
      '127.0.0.1.evil.example',
      'localhost.evil.example',
      '',
    ]) {
      expect(await statusFor(`Host: ${host}\r\n`), host).toBe('403')
    }
    expect(await statusFor('')).toBe('400')
  })

  test('ends a client that never finishes its request, and serves others meanwhile', async () => {
    const startedAtMs = performance.now()
    const slow = talk('GET /metrics HTTP/1.1\r\nHost: localhost\r\nX-Slow: ')

    expect((await get('/metrics')).status).toBe(200)
    expect(await slow).toMatch(/^(HTTP\/1\.1 408 |$)/)
    const tookMs = performance.now() - startedAtMs
    expect(tookMs).toBeGreaterThan(4_000)
    expect(tookMs).toBeLessThan(30_000)
  })

  test('refuses a head that is too large and what is not HTTP', async () => {
    const large = await talk(`GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`)
    expect(large).toMatch(/^HTTP\/1\.1 431 /)
    expect(await talk('\x16\x03\x01\x02\x00\r\n\r\n')).toMatch(/^HTTP\/1\.1 400 /)
    expect((await get('/health')).status).toBe(200)
  })

  test('says 500 and nothing else when the metrics cannot be read', async () => {
    const broken = await open({ ...monitored, metrics: () => Promise.reject(new Error('secret path')) })
    const answer = await fetch(`http://127.0.0.1:${broken.address.port}/metrics`)

    expect(answer.status).toBe(500)
    expect(await answer.text()).not.toContain('secret')
    expect(logged).toContain('a request to the monitor failed')
    await broken.close()
  })

  test('a port that is taken is INVALID_ARGUMENT, and free again after close', async () => {
    const { port } = server.address
    await expect(open(monitored, port)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })

    // A client that keeps its connection open does not hold up the end.
    await get('/health')
    await server.close()
    server = await open(monitored, port)
    expect((await get('/health')).status).toBe(200)
  })
})

function open(served: Monitored = monitored, port = 0): Promise<MonitorServer> {
  const log = { ...silentLog, error: (message: string) => void logged.push(message) }
  return MonitorServer.open(served, { host: '127.0.0.1', port, log })
}

function get(path: string, options: RequestInit = {}): Promise<Response> {
  return fetch(`http://127.0.0.1:${server.address.port}${path}`, options)
}

/** Sends bytes and answers everything that comes back until the other side ends. */
async function talk(bytes: string): Promise<string> {
  const socket = connectTcp(server.address.port, '127.0.0.1')
  let said = ''
  socket.setEncoding('latin1').on('data', (piece: string) => (said += piece))
  socket.write(bytes, 'latin1')
  await once(socket, 'close')
  return said
}
