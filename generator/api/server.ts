// generator/api/server: the generator's HTTP API, with its description and a page to try it.
// It has no login, so it belongs on loopback or a private network.

import { randomUUID } from 'node:crypto'
import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import {
  jsonSchemaTransform,
  jsonSchemaTransformObject,
  serializerCompiler,
  validatorCompiler,
  type ZodTypeProvider,
} from 'fastify-type-provider-zod'
import { z } from 'zod'
import { MillraceError } from '../../runtime/errors.ts'
import { packageManifest } from '../../runtime/files.ts'
import type { Log } from '../../runtime/log.ts'
import { importRoutes } from './import-routes.ts'
import { orderRoutes } from './order-routes.ts'
import type { Api, ApiParts } from './parts.ts'
import { problemOf, problemType } from './problem.ts'
import { simulationRoutes } from './simulation-routes.ts'

export interface ApiOptions extends ApiParts {
  readonly host: string
  /** 0 takes a free port. */
  readonly port: number
}

export interface ApiServer {
  readonly url: string
  close(): Promise<void>
}

const mostBodyBytes = 65_536
/** Length of the longest parameter in a path. */
const mostParameterLength = 100

/** The page loads nothing from other sites. */
const contentPolicy =
  "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'"

/** @throws {MillraceError} HTTP_PORT when it cannot listen there */
export async function serveApi({ host, port, ...parts }: ApiOptions): Promise<ApiServer> {
  const api = await makeApi(parts, isLoopback(host))
  try {
    await api.listen({ host, port })
  } catch (error) {
    await api.close()
    throw new MillraceError('HTTP_PORT', {
      what: `cannot listen: ${(error as Error).message}`,
      where: `${host}:${port}`,
      next: 'end the other process or give another port; 0 takes a free port',
      cause: error,
    })
  }
  const bound = api.server.address() as { port: number }
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${bound.port}`,
    async close() {
      api.server.closeAllConnections()
      await api.close()
    },
  }
}

async function makeApi(parts: ApiParts, onLoopback: boolean): Promise<FastifyInstance> {
  const api = newInstance(parts.log)
  api.removeContentTypeParser('text/plain')
  api.setValidatorCompiler(validatorCompiler).setSerializerCompiler(serializerCompiler)
  api.addHook('onRequest', async request => refuseForeignPages(request, onLoopback))
  api.addHook('preValidation', async request => refuseUnwantedBody(request))
  describeRoutes(api)
  api.setErrorHandler((error, request, reply) => {
    const problem = problemOf(error, request.id)
    if (problem.status >= 500) {
      parts.log.error('a request failed', { request: request.id, path: request.url, error: String(error) })
    }
    return reply.code(problem.status).type(problemType).send(problem)
  })
  const paths = methodsByPath(api)
  api.setNotFoundHandler((request, reply) => {
    const allowed = paths(request.url.split('?')[0]!)
    const error = new MillraceError(allowed.length > 0 ? 'REQUEST_INVALID' : 'NOT_FOUND', {
      what: `nothing answers ${request.method} ${request.url.slice(0, 200)}`,
      next: allowed.length > 0 ? `use ${allowed.join(' or ')}` : '/openapi.json lists every path',
    })
    const status = allowed.length > 0 ? 405 : 404
    if (allowed.length > 0) void reply.header('allow', allowed.join(', '))
    return reply
      .code(status)
      .type(problemType)
      .send({ ...problemOf(error, request.id), status })
  })
  await api.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'millrace generator',
        version: packageManifest().version,
        description:
          'Orders by hand, files of visits, and the daily life of the made-up shop. Errors are application/problem+json.',
      },
    },
    transform: jsonSchemaTransform,
    transformObject: jsonSchemaTransformObject,
  })
  await api.register(swaggerUi, { routePrefix: '/docs', staticCSP: contentPolicy, uiConfig: { validatorUrl: null } })
  await api.register((scope, _options, done) => {
    importRoutes(scope.withTypeProvider<ZodTypeProvider>(), parts)
    done()
  })
  await api.register((scope, _options, done) => {
    orderRoutes(scope.withTypeProvider<ZodTypeProvider>(), parts)
    simulationRoutes(scope.withTypeProvider<ZodTypeProvider>(), parts)
    scope.get('/openapi.json', { schema: { hide: true } }, async () => api.swagger())
    done()
  })
  await api.ready()
  return api
}

function newInstance(log: Log): Api {
  return fastify({
    bodyLimit: mostBodyBytes,
    routerOptions: { maxParamLength: mostParameterLength },
    genReqId: () => randomUUID(),
    frameworkErrors: (error, request, reply: FastifyReply) => {
      const problem = problemOf(error, request.id)
      void reply.code(problem.status).type(problemType).send(problem)
    },
    clientErrorHandler: (error, socket) => {
      log.debug('bytes that are not HTTP', { error: error.code })
      if (!socket.writable) return
      const body = JSON.stringify(
        problemOf({ statusCode: 400, message: 'these bytes are not an HTTP request' }, randomUUID()),
      )
      const head = `HTTP/1.1 400 Bad Request\r\ncontent-type: ${problemType}\r\ncontent-length: ${Buffer.byteLength(body)}`
      socket.end(`${head}\r\nconnection: close\r\n\r\n${body}`)
    },
  }).withTypeProvider<ZodTypeProvider>()
}

/**
 * Refuses requests that a page of another site sends through its reader's browser. The browser
 * names the site as the origin, or as the host if the site's name resolves to loopback.
 */
function refuseForeignPages({ headers: { origin, host = '' } }: FastifyRequest, onLoopback: boolean): void {
  const isOwn = origin === undefined || (URL.canParse(origin) && new URL(origin).host === host)
  if (isOwn && (!onLoopback || isLoopback(host.replace(/:\d+$/, '')))) return
  throw Object.assign(new Error('pages of other sites may not use this API'), { statusCode: 403 })
}

function isLoopback(host: string): boolean {
  return /^(localhost|127(\.\d+){3}|\[?::1\]?)$/.test(host)
}

/** Refuses a body where the route takes none. */
function refuseUnwantedBody({ body, is404, routeOptions }: FastifyRequest): void {
  if (is404 || body === undefined || body === null || routeOptions.schema?.body !== undefined) return
  throw new MillraceError('REQUEST_INVALID', { what: 'this request takes no body', next: 'omit the body' })
}

/** Routes without query parameters refuse every parameter, and their descriptions say so. */
function describeRoutes(api: Api): void {
  api.addHook('onRoute', route => {
    if (route.schema !== undefined && route.schema.hide !== true) route.schema.querystring ??= z.strictObject({})
  })
}

/** The methods of a path. Must be called before routes are added. */
function methodsByPath(api: Api): (path: string) => string[] {
  const routes: { readonly pattern: RegExp; readonly method: string }[] = []
  api.addHook('onRoute', ({ url, method }) => {
    const pattern = new RegExp(`^${url.replace(/[.$]/g, '\\$&').replace(/:\w+|\*/g, '[^/]+')}$`)
    for (const each of [method].flat()) routes.push({ pattern, method: each })
  })
  return path => [...new Set(routes.filter(({ pattern }) => pattern.test(path)).map(({ method }) => method))]
}
