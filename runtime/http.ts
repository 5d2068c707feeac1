// runtime/http: the small read-only JSON server on which a service reports its state.
// It has no login, so it must listen on loopback or on a private network only.

import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { MillraceError } from './errors.ts'
import type { Log } from './log.ts'

interface Request {
  readonly url: URL
  /** Values of the `:name` parts of the route, decoded. */
  readonly params: Readonly<Record<string, string>>
}

/**
 * A route may return this instead of a plain value; a plain value is sent as JSON with status 200.
 */
export class Answer {
  readonly status: number
  readonly body: unknown
  readonly contentType: string

  constructor(status: number, body: unknown, contentType = 'application/json') {
    this.status = status
    this.body = body
    this.contentType = contentType
  }
}

/** Returns a JSON value or an Answer. A string body of an Answer is sent unchanged. */
export type Route = (request: Request) => unknown

export interface ServeOptions {
  readonly host: string
  /** 0 chooses a free port. */
  readonly port: number
  /** By path: `/status`, or `/subjects/:subject/versions/:version`. */
  readonly routes: Readonly<Record<string, Route>>
  readonly log: Log
}

export interface HttpServer {
  readonly port: number
  readonly url: string
  close(): Promise<void>
}

/** @throws {MillraceError} HTTP_PORT when it cannot listen there */
export async function serve({ host, port, routes, log }: ServeOptions): Promise<HttpServer> {
  const table = Object.entries(routes).map(([path, route]) => ({ parts: path.split('/'), route }))
  const server = createServer((request, response) => {
    void respond(request, table).then(
      answer => send(response, answer, request.method === 'HEAD'),
      error => {
        log.error('a request failed', { path: request.url, error: String(error) })
        send(response, new Answer(500, describe(error)), false)
      },
    )
  })
  server.listen(port, host)
  try {
    await once(server, 'listening')
  } catch (error) {
    throw new MillraceError('HTTP_PORT', {
      what: `cannot listen: ${(error as Error).message}`,
      where: `${host}:${port}`,
      next: 'end the other process or set another port under http: in the configuration; 0 takes a free one',
      cause: error,
    })
  }
  const bound = (server.address() as AddressInfo).port
  return {
    port: bound,
    url: `http://${host.includes(':') ? `[${host}]` : host}:${bound}`,
    async close() {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
    },
  }
}

type RouteTable = readonly { readonly parts: readonly string[]; readonly route: Route }[]

async function respond(request: IncomingMessage, table: RouteTable): Promise<Answer> {
  if (request.method !== 'GET' && request.method !== 'HEAD') return new Answer(405, { error: 'only GET is answered' })
  const url = new URL(request.url ?? '/', 'http://localhost')
  const parts = url.pathname.split('/')
  for (const { parts: wanted, route } of table) {
    const params = match(wanted, parts)
    if (!params) continue
    const given = await route({ url, params })
    return given instanceof Answer ? given : new Answer(200, given)
  }
  const paths = table.map(entry => entry.parts.join('/'))
  return new Answer(404, { error: `nothing at ${url.pathname}`, paths })
}

function match(wanted: readonly string[], parts: readonly string[]): Record<string, string> | undefined {
  if (wanted.length !== parts.length) return undefined
  const params: Record<string, string> = {}
  for (const [i, part] of wanted.entries()) {
    const given = parts[i]!
    if (part.startsWith(':')) params[part.slice(1)] = decode(given)
    else if (part !== given) return undefined
  }
  return params
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}

function send(response: ServerResponse, { status, body, contentType }: Answer, headOnly: boolean): void {
  const text = typeof body === 'string' ? body : `${JSON.stringify(body)}\n`
  response.writeHead(status, { 'content-type': contentType, 'content-length': Buffer.byteLength(text) })
  response.end(headOnly ? undefined : text)
}

function describe(error: unknown): object {
  if (error instanceof MillraceError) return { error: error.message, code: error.code, next: error.next }
  return { error: 'this request failed; the log says why' }
}
