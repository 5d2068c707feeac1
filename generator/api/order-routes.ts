// generator/api/order-routes: routes for single orders.

import { z } from 'zod'
import { id, newOrderSchema, orderSchema, whole } from './order-schema.ts'
import type { Orders, Step } from './orders.ts'
import type { Api, ApiParts } from './parts.ts'
import { problems } from './problem.ts'

const orderId = z.strictObject({ order_id: whole(1, Number.MAX_SAFE_INTEGER) })
const order = orderSchema.meta({ id: 'Order' })
const page = z.strictObject({
  orders: z.array(order),
  next: id.nullable().meta({ description: 'Give it as `before` for the next page; null on the last one.' }),
})
const steps: Readonly<Record<Step, string>> = {
  advance: 'Take an order a step on: created → paid → shipped → delivered',
  cancel: 'Cancel an order that is created or paid',
  return: 'Send an order back that is delivered',
}
const tags = ['orders']

export function orderRoutes(api: Api, { orders }: ApiParts): void {
  createRoute(api, orders)
  listRoute(api, orders)

  api.get(
    '/orders/:order_id',
    {
      schema: {
        tags,
        summary: 'Read an order',
        params: orderId,
        response: { 200: order.meta({ description: 'The order.' }), ...problems(404) },
      },
    },
    async ({ params }) => orders.get(params.order_id),
  )

  for (const [step, summary] of Object.entries(steps) as [Step, string][]) {
    api.post(
      `/orders/:order_id/${step}`,
      {
        schema: {
          tags,
          summary,
          params: orderId,
          response: { 200: order.meta({ description: 'The order afterwards.' }), ...problems(404, 409) },
        },
      },
      async ({ params }) => orders.step(params.order_id, step),
    )
  }
}

function createRoute(api: Api, orders: Orders): void {
  api.post(
    '/orders',
    {
      schema: {
        tags,
        summary: 'Create an order; what is left out of it is drawn at random',
        headers: z.object({
          'idempotency-key': z
            .string()
            .regex(/^[\x21-\x7e]{1,200}$/)
            .optional()
            .meta({ description: 'The same key and body within a day give the order that they gave before.' }),
        }),
        body: newOrderSchema,
        response: {
          200: order.meta({ description: 'The order that this Idempotency-Key created before.' }),
          201: order.meta({ description: 'The new order.' }),
          ...problems(404, 409, 422),
        },
      },
    },
    async (request, reply) => {
      const key = request.headers['idempotency-key']
      const { order, created } = await orders.create(request.body, key, { request: request.id })
      if (created) void reply.header('location', `/orders/${order.order_id}`)
      return reply.code(created ? 201 : 200).send(order)
    },
  )
}

function listRoute(api: Api, orders: Orders): void {
  api.get(
    '/orders',
    {
      schema: {
        tags,
        summary: 'List the latest orders, the newest first',
        querystring: z.strictObject({
          limit: whole(1, 100).default(20),
          before: whole(1, Number.MAX_SAFE_INTEGER).optional(),
        }),
        response: { 200: page.meta({ description: 'A page of orders.' }), ...problems() },
      },
    },
    async ({ query: { limit, before } }) => {
      const found = await orders.list(limit, before)
      return { orders: found, next: found.length < limit ? null : found.at(-1)!.order_id }
    },
  )
}
