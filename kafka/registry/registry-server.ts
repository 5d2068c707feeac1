// kafka/registry/registry-server: the read endpoints of a Confluent schema registry over our
// `_schemas` topic.

import { Answer, type Route } from '../../runtime/http.ts'
import type { TopicRegistry } from './topic-registry.ts'

const mediaType = 'application/vnd.schemaregistry.v1+json'
const notFound = { subject: 40401, version: 40402, schema: 40403 } as const
const invalidVersion = 42202

/**
 * Routes for `serve`, sufficient for kcat, ClickHouse's AvroConfluent and Kafka Connect's
 * converters to read the topics.
 * @see https://docs.confluent.io/platform/current/schema-registry/develop/api.html
 */
export function registryRoutes(registry: TopicRegistry): Readonly<Record<string, Route>> {
  const find = async (subject: string, wanted: string) => {
    const versions = await registry.versions(subject)
    if (versions.length === 0) return problem(404, notFound.subject, `Subject '${subject}' not found.`)
    if (wanted !== 'latest' && !/^[1-9][0-9]*$/.test(wanted))
      return problem(422, invalidVersion, `The specified version '${wanted}' is not a valid version id.`)
    const found = wanted === 'latest' ? versions.at(-1) : versions.find(({ version }) => version === Number(wanted))
    return found ?? problem(404, notFound.version, `Version ${wanted} not found.`)
  }
  return {
    '/subjects': async () => json(await registry.subjects()),
    '/subjects/:subject/versions': async ({ params }) => {
      const versions = await registry.versions(params.subject!)
      if (versions.length === 0) return problem(404, notFound.subject, `Subject '${params.subject}' not found.`)
      return json(versions.map(({ version }) => version))
    },
    '/subjects/:subject/versions/:version': async ({ params }) => {
      const found = await find(params.subject!, params.version!)
      return found instanceof Answer ? found : json({ subject: params.subject, ...found })
    },
    '/subjects/:subject/versions/:version/schema': async ({ params }) => {
      const found = await find(params.subject!, params.version!)
      return found instanceof Answer ? found : new Answer(200, found.schema, mediaType)
    },
    '/schemas/ids/:id': ({ params }) => byId(registry, params.id!, schema => json({ schema })),
    '/schemas/ids/:id/schema': ({ params }) => byId(registry, params.id!, schema => new Answer(200, schema, mediaType)),
    '/schemas/types': () => json(['AVRO']),
    '/config': () => json({ compatibilityLevel: 'NONE' }),
    '/mode': () => json({ mode: 'READONLY' }),
  }
}

async function byId(registry: TopicRegistry, id: string, answer: (schema: string) => Answer): Promise<Answer> {
  const schema = await registry.byId(Number(id))
  return schema === undefined ? problem(404, notFound.schema, `Schema ${id} not found`) : answer(schema)
}

function json(body: object): Answer {
  return new Answer(200, body, mediaType)
}

function problem(status: number, code: number, message: string): Answer {
  return new Answer(status, { error_code: code, message }, mediaType)
}
