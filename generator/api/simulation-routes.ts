// generator/api/simulation-routes: routes for the rate, pauses, scenarios and state of the
// simulation.

import { z } from 'zod'
import { mostPerSecond } from '../live/rate-limiter.ts'
import { scenarioKinds, scenarioSchema } from '../shop/scenario.ts'
import type { Api, ApiParts } from './parts.ts'
import { problems } from './problem.ts'

const running = z.strictObject({ kind: z.enum(scenarioKinds as [string, ...string[]]), ends_at: z.iso.datetime() })
const status = z
  .strictObject({
    state: z.enum(['running', 'paused', 'waiting for Postgres']),
    rate: z.number().meta({ description: 'Row changes per second, as asked for.' }),
    per_second: z.number().meta({ description: 'Row changes per second, as measured last.' }),
    changes: z.int().meta({ description: 'Row changes since the start.' }),
    orders: z.int().meta({ description: 'New orders among them.' }),
    open_orders: z.int().nullable().meta({ description: 'Orders on their way; null while Postgres is away.' }),
    scenario: running.nullable(),
  })
  .meta({ id: 'Status' })
const rate = z.strictObject({
  rate: z.number().positive().max(mostPerSecond).meta({ description: 'Row changes per second.' }),
})
const tags = ['daily life']

export function simulationRoutes(api: Api, { control }: ApiParts): void {
  const answersStatus = { 200: status.meta({ description: 'The state afterwards.' }), ...problems() }

  api.get(
    '/livez',
    { schema: { tags: ['health'], summary: 'Whether the service runs', response: live } },
    async () => ({
      ok: true as const,
    }),
  )

  api.get('/status', { schema: { tags, summary: 'Say how it goes', response: answersStatus } }, async () =>
    control.status(),
  )

  api.put(
    '/rate',
    { schema: { tags, summary: 'Change the rate', body: rate, response: answersStatus } },
    async ({ body }) => {
      control.limiter.perSecond = body.rate
      return control.status()
    },
  )

  for (const [path, paused] of [['/pause', true] as const, ['/resume', false] as const]) {
    const summary = paused ? 'Pause the simulation' : 'Continue the simulation'
    api.post(path, { schema: { tags, summary, response: answersStatus } }, async () => {
      control.limiter.paused = paused
      return control.status()
    })
  }

  api.post(
    '/scenarios',
    {
      schema: {
        tags,
        summary: 'Start a scenario; it ends by itself',
        body: scenarioSchema,
        response: { 201: running.meta({ description: 'The scenario is under way.' }), ...problems(404, 409) },
      },
    },
    async ({ body }, reply) => reply.code(201).send(control.begin(body)),
  )

  api.delete(
    '/scenarios/current',
    {
      schema: {
        tags,
        summary: 'End the scenario that is under way',
        response: { 200: running.meta({ description: 'The scenario that was ended.' }), ...problems(404) },
      },
    },
    async () => control.end(),
  )
}

const live = { 200: z.strictObject({ ok: z.literal(true) }).meta({ description: 'It runs.' }), ...problems() }
