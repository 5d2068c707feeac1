// test/support/openapi-fuzz: requests made up from an OpenAPI document, right and wrong ones, and what the document says of the answers.
// Knows nothing of the API behind the document.

import { type IncomingHttpHeaders, request } from 'node:http'
import { Ajv2020 } from 'ajv/dist/2020.js'
import fc from 'fast-check'

export interface JsonSchema {
  readonly type?: string
  readonly const?: unknown
  readonly enum?: readonly unknown[]
  readonly pattern?: string
  readonly format?: string
  readonly minimum?: number
  readonly maximum?: number
  readonly exclusiveMinimum?: number
  readonly minItems?: number
  readonly maxItems?: number
  readonly items?: JsonSchema
  readonly properties?: Readonly<Record<string, JsonSchema>>
  readonly required?: readonly string[]
  readonly oneOf?: readonly JsonSchema[]
  readonly anyOf?: readonly JsonSchema[]
}

interface Operation {
  readonly parameters?: readonly {
    readonly name: string
    readonly in: 'path' | 'query' | 'header'
    readonly schema: JsonSchema
  }[]
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: JsonSchema }>> }
  readonly responses: Readonly<Record<string, { readonly content?: Readonly<Record<string, unknown>> }>>
}

export interface OpenApiDocument {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
}

export interface FuzzRequest {
  readonly method: string
  /** As the document has it; the request's own path is filled in. */
  readonly template: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | undefined
}

/** Text that breaks things: no text, what is not text, quotes, half a surrogate pair, much of it. */
const hostileText = fc.constantFrom(
  '',
  ' ',
  '\0',
  'a\0b',
  '\ud800',
  '\udc00x',
  "'; DROP TABLE x; --",
  '%00',
  '../..',
  'é',
  '💥',
  'x'.repeat(5_000),
)
const hostileNumbers = fc.constantFrom(0, -1, 1.5, 2 ** 31, 2 ** 53, 1e21, -1e300, 5e-324)
const hostile: fc.Arbitrary<unknown> = fc.oneof(
  hostileText,
  hostileNumbers,
  fc.constantFrom(null, true, [], {}, [[[[]]]], { constructor: 1 }),
  fc.jsonValue({ maxDepth: 2 }),
)
/** No more than this is asked for, so that what is allowed stays cheap. */
const largest = 250

/** Values that the schema allows. */
export function valid(schema: JsonSchema): fc.Arbitrary<unknown> {
  const options = schema.oneOf ?? schema.anyOf
  if (options !== undefined) return fc.oneof(...options.map(valid))
  if (schema.const !== undefined) return fc.constant(schema.const)
  if (schema.enum !== undefined) return fc.constantFrom(...schema.enum)
  if (schema.format === 'date-time') {
    const dates = fc.date({ min: new Date('2001-01-01'), max: new Date('2025-01-01'), noInvalidDate: true })
    return dates.map(date => date.toISOString())
  }
  switch (schema.type) {
    case 'object':
      return validObject(schema)
    case 'array':
      return fc.array(valid(schema.items ?? {}), {
        minLength: schema.minItems ?? 0,
        maxLength: Math.min(4, schema.maxItems ?? 4),
      })
    case 'integer':
      return fc.integer({ min: schema.minimum ?? 0, max: Math.min(schema.maximum ?? largest, largest) })
    case 'number':
      return fc.integer({ min: 1, max: largest })
    case 'boolean':
      return fc.boolean()
    default:
      return validText(schema.pattern)
  }
}

function validText(pattern = ''): fc.Arbitrary<string> {
  const matcher = new RegExp(pattern, 'u')
  // Classes of Unicode characters are not drawn from, only tried.
  if (pattern === '' || pattern.includes('\\p{'))
    return fc.string({ minLength: 1, maxLength: 20 }).filter(text => matcher.test(text))
  return fc.stringMatching(matcher, { size: '-1' })
}

function validObject({ properties = {}, required = [] }: JsonSchema): fc.Arbitrary<unknown> {
  const fields = Object.fromEntries(Object.entries(properties).map(([name, schema]) => [name, valid(schema)]))
  return fc.record(fields, { requiredKeys: [...required] })
}

/** Values that are nearly allowed: one field wrong, missing or too many; or something else altogether. */
function wrong(schema: JsonSchema): fc.Arbitrary<unknown> {
  const spoilt = fc.tuple(valid(schema), fc.constantFrom('a', ...Object.keys(schema.properties ?? {})), hostile)
  return fc.oneof(
    spoilt.map(([value, field, bad]) => (typeof value === 'object' ? { ...value, [field]: bad } : bad)),
    hostile,
  )
}

const rawBodies = fc.constantFrom(
  '',
  '{',
  '[1,',
  '{"a":1e999}',
  '{"__proto__":{"a":1}}',
  '"\\ud800"',
  '\0',
  '{}{}',
  'null',
  'x'.repeat(70_000),
  `[${'['.repeat(2_000)}`,
)
const contentTypes = fc.constantFrom(
  'application/json',
  'application/json; charset=utf-8',
  'text/plain',
  'application/xml',
  'multipart/form-data',
  'nonsense',
  '',
)

/** Requests to every operation of the document. */
export function requests(document: OpenApiDocument): fc.Arbitrary<FuzzRequest> {
  const operations = Object.entries(document.paths).flatMap(([template, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ template, method: method.toUpperCase(), operation })),
  )
  return fc.constantFrom(...operations).chain(({ template, method, operation }) =>
    fc
      .record({
        method: fc.oneof(
          { weight: 20, arbitrary: fc.constant(method) },
          { weight: 1, arbitrary: fc.constantFrom('PATCH', 'PUT', 'DELETE', 'OPTIONS', 'PROPFIND', 'GET') },
        ),
        template: fc.constant(template),
        path: pathOf(template, operation),
        headers: fc.constant({}),
        body: fc.constant(undefined),
      })
      .chain(made => withBody(made, operation)),
  )
}

function withBody(made: FuzzRequest, { requestBody, parameters = [] }: Operation): fc.Arbitrary<FuzzRequest> {
  const [type, content] = Object.entries(requestBody?.content ?? {})[0] ?? []
  const schema = content?.schema ?? {}
  const csv = fc.constantFrom(
    '',
    'a,b\n',
    '\ufeff',
    '"',
    'x\0y',
    `${'visited_at,traffic_source,customer_id,landing_page,cost'}\n`,
    'x'.repeat(100_000),
  )
  const json = (values: fc.Arbitrary<unknown>) =>
    values.map(value => ({ type: 'application/json', text: JSON.stringify(value) ?? '' }))
  const asCsv = fc.oneof(csv, fc.string()).map(text => ({ type: 'text/csv', text }))
  const none = fc.constant({ type: undefined, text: undefined })
  const strange = fc.record({ type: contentTypes, text: rawBodies })
  const described = type === 'text/csv' ? asCsv : fc.oneof(json(valid(schema)), json(wrong(schema)))
  const bodies: fc.Arbitrary<{ type: string | undefined; text: string | undefined }> =
    type === undefined
      ? fc.oneof({ weight: 8, arbitrary: none }, { weight: 1, arbitrary: strange })
      : fc.oneof({ weight: 8, arbitrary: described }, { weight: 1, arbitrary: strange }, { weight: 1, arbitrary: none })
  const keys = parameters.filter(parameter => parameter.in === 'header')
  const header = fc.record(
    Object.fromEntries(keys.map(({ name, schema }) => [name, fc.oneof(valid(schema), hostileText)])),
    { requiredKeys: [] },
  )
  return fc.tuple(bodies, header).map(([{ type, text }, headers]) => ({
    ...made,
    headers: { ...sendable(headers as Record<string, string>), ...(type ? { 'content-type': type } : {}) },
    body: text,
  }))
}

/** What a client of HTTP can put into a header at all. */
function sendable(headers: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).filter(([, value]) => /^[\t\x20-\x7e]*$/.test(value)))
}

function pathOf(template: string, { parameters = [] }: Operation): fc.Arbitrary<string> {
  const value = (schema: JsonSchema) =>
    fc.oneof(
      { weight: 6, arbitrary: fc.integer({ min: 1, max: largest }).map(String) },
      { weight: 1, arbitrary: valid(schema) },
      { weight: 1, arbitrary: fc.oneof(hostileText, hostileNumbers).map(String) },
    )
  const named = (where: string) => parameters.filter(parameter => parameter.in === where)
  const record = (where: string, keys?: []) =>
    fc.record(
      Object.fromEntries(named(where).map(({ name, schema }) => [name, value(schema)])),
      keys && { requiredKeys: keys },
    )
  const unknown = fc.oneof(
    { weight: 9, arbitrary: fc.constant({}) },
    { weight: 1, arbitrary: fc.constantFrom({ x: '1' }, { limit: '-1' }, { '%zz': '1' }) },
  )
  return fc.tuple(record('path'), record('query', []), unknown).map(([path, query, extra]) => {
    const filled = template.replace(/\{(\w+)\}/g, (_, name: string) =>
      encode(String((path as Record<string, unknown>)[name])),
    )
    const search = Object.entries({ ...query, ...extra }).map(([name, text]) => `${name}=${encode(String(text))}`)
    return search.length === 0 ? filled : `${filled}?${search.join('&')}`
  })
}

/** Percent-encoding that also takes half a surrogate pair. */
function encode(text: string): string {
  return encodeURIComponent(Buffer.from(text).toString())
}

export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

export function send(url: string, { method, path, headers, body }: FuzzRequest): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const length = body === undefined ? {} : { 'content-length': Buffer.byteLength(body) }
    const sent = request(new URL(url), { method, path, headers: { ...headers, ...length } }, response => {
      let text = ''
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
      response.on('end', () => resolve({ status: response.statusCode!, headers: response.headers, body: text }))
    })
    sent.on('error', reject)
    sent.end(body)
  })
}

/** Gives what is wrong with the answer by the document; undefined when nothing is. */
export function judge(document: OpenApiDocument): (request: FuzzRequest, answer: Answer) => string | undefined {
  const ajv = new Ajv2020({ strict: false, validateFormats: false })
  ajv.addSchema(document, 'api')
  return ({ template, method }, { status, headers, body }) => {
    const type = String(headers['content-type']).split(';')[0]!
    if (status >= 500) return `status ${status}: ${body}`
    if (status >= 400 && type !== 'application/problem+json') return `${status} is ${type}: ${body}`
    const operation = document.paths[template]?.[method.toLowerCase()]
    if (operation === undefined) return status >= 400 ? undefined : `${status} for a method that is not described`
    const content = operation.responses[status]?.content
    if (content === undefined) return `${status} is not described: ${body}`
    if (content[type] === undefined) return `${status} is not described as ${type}`
    const pointer = ['paths', template, method.toLowerCase(), 'responses', String(status), 'content', type, 'schema']
    const check = ajv.getSchema(
      `api#/${pointer.map(part => encodeURIComponent(part.replace(/~/g, '~0').replace(/\//g, '~1'))).join('/')}`,
    )
    if (check === undefined) return `no schema at ${pointer.join(' ')}`
    return check(type.endsWith('json') ? JSON.parse(body) : body)
      ? undefined
      : `${status} is not as described: ${ajv.errorsText(check.errors)}: ${body}`
  }
}
