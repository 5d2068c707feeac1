// generator/api/import-routes: routes for files of visits: upload, result, rejected lines.

import { Readable } from 'node:stream'
import { z } from 'zod'
import { mostUploadBytes } from '../../import/queue.ts'
import { MillraceError } from '../../runtime/errors.ts'
import { whole } from './order-schema.ts'
import type { Api, ApiParts } from './parts.ts'
import { problems } from './problem.ts'

const result = z
  .strictObject({
    file: z.string(),
    import_id: z.int().nullable().meta({ description: 'Null for a file with nothing but its header.' }),
    state: z.enum(['new', 'known', 'extended', 'resumed']).meta({
      description: 'How the file came: for the first time, as it was, longer than before, or again before it was done.',
    }),
    loaded: z.int().meta({ description: 'Lines that became rows in this run.' }),
    rejected: z.int().meta({ description: 'Lines that were rejected in this run.' }),
    total: z.strictObject({ loaded: z.int(), rejected: z.int() }).meta({ description: 'Of the whole file.' }),
    seconds: z.number(),
  })
  .meta({ id: 'Import' })
const flag = z
  .enum(['true', 'false'])
  .default('false')
  .transform(text => text === 'true')
const tags = ['imports']

export function importRoutes(api: Api, { imports }: ApiParts): void {
  api.removeAllContentTypeParsers()
  api.addContentTypeParser('text/csv', { bodyLimit: mostUploadBytes }, (_request, payload, done) => done(null, payload))

  api.post(
    '/imports/traffic',
    {
      schema: {
        tags,
        summary: 'Import a CSV file of visits; the answer comes when its lines are in',
        querystring: z.strictObject({
          name: z
            .string()
            .regex(/^[^\p{Cc}\p{Cs}/\\]{1,200}$/u)
            .default('upload.csv')
            .meta({ description: 'Name of the file, without directories.' }),
          new: flag.meta({
            description: 'All lines are other visits than those of an imported file with this name or beginning.',
          }),
          again: flag.meta({
            description: 'Look at every line again, for customers and sources that have come since.',
          }),
        }),
        body: z.any().meta({ type: 'string', description: 'The file, in UTF-8.' }),
        consumes: ['text/csv'],
        response: { 200: result.meta({ description: 'What became of the lines.' }), ...problems(409, 422) },
      },
    },
    async ({ query: { name, new: isNew, again }, body }) => {
      if (!(body instanceof Readable))
        throw new MillraceError('REQUEST_INVALID', { what: 'there is no body', next: 'send the file as text/csv' })
      const { rejects_file: _, ...done } = await imports.upload(body, { name, isNew, again })
      return done
    },
  )

  api.get(
    '/imports/:import_id/rejects',
    {
      schema: {
        tags,
        summary: 'Read the rejected lines of a file, as CSV',
        params: z.strictObject({ import_id: whole(1, Number.MAX_SAFE_INTEGER) }),
        response: {
          200: {
            description: 'line,reason,original',
            content: { 'text/csv': { schema: z.any().meta({ type: 'string' }) } },
          },
          ...problems(404),
        },
      },
    },
    async ({ params }, reply) => reply.type('text/csv; charset=utf-8').send(await imports.rejects(params.import_id)),
  )
}
