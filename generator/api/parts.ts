// generator/api/parts: the arguments of the API's routes.

import type { IncomingMessage, ServerResponse } from 'node:http'
import type { FastifyBaseLogger, FastifyInstance, RawServerDefault } from 'fastify'
import type { ZodTypeProvider } from 'fastify-type-provider-zod'
import type { Imports } from '../../import/queue.ts'
import type { Log } from '../../runtime/log.ts'
import type { Control } from '../live/run-control.ts'
import type { Orders } from './orders.ts'

/** The server. The types of its routes follow from their schemas. */
export type Api = FastifyInstance<RawServerDefault, IncomingMessage, ServerResponse, FastifyBaseLogger, ZodTypeProvider>

export interface ApiParts {
  readonly orders: Orders
  readonly imports: Imports
  readonly control: Control
  readonly log: Log
}
