import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { isIP, type AddressInfo } from 'node:net'
import { EspalierError } from '../base/error.ts'
import type { Log } from '../base/log.ts'
import type { Address } from '../net/address.ts'

/** Scrapers and probes that may be connected at once. */
const MAX_CONNECTIONS = 64
/** Time for the head of a request, and for all of it. */
const REQUEST_TIME_MS = 5_000
/** Time that an idle connection stays open for the next request. */
const KEEP_ALIVE_MS = 5_000
const MAX_HEADER_BYTES = 8_192
/** How often connections that are too slow are looked for. */
const CHECK_INTERVAL_MS = 1_000

/** What the server asks the node. */
export interface Monitored {
  /** The text of `/metrics` and its media type. */
  metrics(): Promise<{ readonly text: string; readonly contentType: string }>
  /** Why the node can't serve yet, or nothing. */
  unready(): string | undefined
}

/** Serves `/metrics`, `/health` and `/ready`. */
export class MonitorServer {
  readonly #server: Server
  readonly address: Address

  private constructor(server: Server, address: Address) {
    this.#server = server
    this.address = address
  }

  /** Codes: `INVALID_ARGUMENT` for an address that is taken or not this machine's. */
  static async open(
    monitored: Monitored,
    { host, port, log }: { readonly host: string; readonly port: number; readonly log: Log },
  ): Promise<MonitorServer> {
    const server = createServer({
      headersTimeout: REQUEST_TIME_MS,
      requestTimeout: REQUEST_TIME_MS,
      keepAliveTimeout: KEEP_ALIVE_MS,
      connectionsCheckingInterval: CHECK_INTERVAL_MS,
      maxHeaderSize: MAX_HEADER_BYTES,
    })
    server.maxConnections = MAX_CONNECTIONS
    server.on('request', (request, response) => {
      answer(monitored, request, response).catch((error: unknown) => {
        const reason = error instanceof Error ? error.message : String(error)
        log.error('a request to the monitor failed', { reason })
        send(response, { status: 500, body: 'the metrics could not be read\n' })
      })
    })
    await listen(server, { host, port })
    // Later errors are those of single connections.
    server.on('error', (error) => log.warn('the monitor had an error', { reason: error.message }))
    const bound = server.address() as AddressInfo
    return new MonitorServer(server, { host: bound.address, port: bound.port })
  }

  /** Ends every connection and frees the port. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    this.#server.closeAllConnections()
    await closed
  }
}

interface Answer {
  readonly status: number
  readonly body: string
  readonly contentType?: string
  readonly headers?: Readonly<Record<string, string>>
}

async function answer(
  monitored: Monitored,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  send(response, await answerTo(monitored, request), { isHead: request.method === 'HEAD' })
}

async function answerTo(monitored: Monitored, request: IncomingMessage): Promise<Answer> {
  if (!isOwnName(request.headers.host)) {
    return { status: 403, body: 'ask by an IP address or by localhost\n' }
  }
  const path = (request.url ?? '').split('?', 1)[0]
  const isKnown = path === '/metrics' || path === '/health' || path === '/ready'
  if (!isKnown) return { status: 404, body: 'there are /metrics, /health and /ready\n' }
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    return { status: 405, body: 'only GET and HEAD\n', headers: { Allow: 'GET, HEAD' } }
  }
  if (path === '/metrics') {
    const { text, contentType } = await monitored.metrics()
    return { status: 200, body: text, contentType }
  }
  // That this runs is all there is to say about health.
  if (path === '/health') return { status: 200, body: 'ok\n' }
  const unready = monitored.unready()
  return unready === undefined ? { status: 200, body: 'ready\n' } : { status: 503, body: `${unready}\n` }
}

/** A page of the web that has its own name resolve to this machine is not answered. */
function isOwnName(header: string | undefined): boolean {
  if (header === undefined) return false
  const name = header.replace(/:\d{1,5}$/, '').replace(/^\[(.*)\]$/, '$1')
  return name.toLowerCase() === 'localhost' || isIP(name) !== 0
}

function send(response: ServerResponse, answer: Answer, { isHead = false } = {}): void {
  if (response.headersSent) {
    response.destroy()
    return
  }
  const { status, body, contentType = 'text/plain; charset=utf-8', headers = {} } = answer
  response.writeHead(status, {
    'Content-Type': contentType,
    'Content-Length': Buffer.byteLength(body),
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
    ...headers,
  })
  response.end(isHead ? undefined : body)
}

function listen(server: Server, { host, port }: Address): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const message = `the monitor cannot listen on ${host} port ${port}: ${cause.code ?? cause.message}`
      reject(new EspalierError('INVALID_ARGUMENT', message, { cause }))
    })
    server.listen({ host, port, exclusive: true }, () => {
      server.removeAllListeners('error')
      resolve()
    })
  })
}
