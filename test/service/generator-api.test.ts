// test/service/generator-api.test: the generator's HTTP API on a real Postgres, with written
// requests and with requests made from its OpenAPI document.

import { readdirSync } from 'node:fs'
import fc from 'fast-check'
import { Orders } from '../../generator/api/orders.ts'
import { type ApiServer, serveApi } from '../../generator/api/server.ts'
import { backfill } from '../../generator/database/backfill.ts'
import { openPool, type Pool } from '../../generator/database/pool.ts'
import { applySchema } from '../../generator/database/schema.ts'
import { RateLimiter } from '../../generator/live/rate-limiter.ts'
import { generate } from '../../generator/live/run.ts'
import { Control } from '../../generator/live/run-control.ts'
import { Imports } from '../../import/queue.ts'
import type { Log } from '../../runtime/log.ts'
import { type FuzzRequest, judge, type OpenApiDocument, requests, send } from '../support/fixtures/openapi-fuzz.ts'
import { writeFixture } from '../support/harness/program.ts'
import { testSeed } from '../support/harness/seed.ts'
import { assert, suite, until } from '../support/harness/suite.ts'
import { logChanges } from '../support/pipelines/sales-shop.ts'
import { createDatabase, type TestDatabase } from '../support/servers/postgres.ts'
import { quietLog, type Servers, shareServers } from '../support/servers/services.ts'

let services: Servers
let database: TestDatabase
let pool: Pool
let api: ApiServer
let ending: (() => Promise<void>) | undefined
const uploads = writeFixture({})
/** Orders that the log reports as created. */
const logged: { order: number; from: string; request: unknown }[] = []

const log: Log = {
  ...quietLog(),
  info(message, { order, from, request } = {}) {
    if (message === 'order created') logged.push({ order: Number(order), from: String(from), request })
  },
}

interface Reply {
  readonly status: number
  readonly headers: Headers
  readonly body: Record<string, unknown>
}

async function call(
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Reply> {
  const content = body === undefined ? {} : { body: JSON.stringify(body) }
  const type = body === undefined ? {} : { 'content-type': 'application/json' }
  const response = await fetch(`${api.url}${path}`, { method, headers: { ...type, ...headers }, ...content })
  return {
    status: response.status,
    headers: response.headers,
    body: (await response.json()) as Record<string, unknown>,
  }
}

/** Asserts the status, and that the error is a problem with this code. */
function refused({ status, headers, body }: Reply, expected: number, code: string): void {
  assert.is(status, expected, JSON.stringify(body))
  assert.match(headers.get('content-type') ?? '', 'application/problem+json')
  assert.is(body.code, code)
  assert.is(body.status, expected)
  assert.ok(body.detail && body.next && body.request_id && body.type === `urn:millrace:error:${code}`)
}

const test = suite("generator's API", { timeoutMs: 120_000 })

test.before(async () => {
  services = await shareServers(['postgres'])
  database = await createDatabase(services.endpoints.postgres!)
  await applySchema(database.url, quietLog())
  await backfill({ url: database.url, orders: 300, years: 1, seed: 5, log: quietLog() })
  await logChanges(database)
  pool = openPool(database.url)
  const control = new Control(new RateLimiter(50))
  const orders = new Orders(pool, 1, log)
  const controller = new AbortController()
  const imports = new Imports({ url: database.url, directory: uploads, log, signal: controller.signal })
  api = await serveApi({ host: '127.0.0.1', port: 0, orders, imports, control, log })
  const life = generate({ url: database.url, control, seed: 1, log, signal: controller.signal })
  ending = async () => {
    controller.abort()
    await life
    await api.close()
    await orders.close()
  }
  await until(() => control.status().changes > 0, { what: 'life in the shop' })
})

test.after(async () => {
  await ending?.()
  await pool?.close()
  await database?.drop()
  await services?.stop()
})

test('an order is created at random or as given, read, and advanced; impossible status changes are refused', async () => {
  const made = await call('POST', '/orders', {})
  assert.is(made.status, 201)
  assert.is(made.headers.get('location'), `/orders/${made.body.order_id}`)
  const given = {
    customer_id: 7,
    shop_id: 2,
    ordered_at: '2024-02-29T23:30:00+01:00',
    items: [{ product_id: 3, quantity: 2, price: '1234567890123.45' }],
  }
  const { status, body } = await call('POST', '/orders', given)
  assert.is(status, 201, JSON.stringify(body))
  assert.is(body.customer_id, 7)
  assert.is(body.shop_id, 2)
  assert.is(body.ordered_at, '2024-02-29T22:30:00.000Z')
  assert.equal(
    (body.items as object[]).map(item => ({ ...item, order_item_id: 0, cost_price: '' })),
    [{ order_item_id: 0, product_id: 3, quantity: 2, price: '1234567890123.45', cost_price: '' }],
  )
  const path = `/orders/${body.order_id}`
  assert.equal((await call('GET', path)).body, body)
  for (const next of ['paid', 'shipped', 'delivered'])
    assert.is((await call('POST', `${path}/advance`)).body.status, next)
  refused(await call('POST', `${path}/advance`), 409, 'ORDER_STATUS')
  refused(await call('POST', `${path}/cancel`), 409, 'ORDER_STATUS')
  assert.is((await call('POST', `${path}/return`)).body.status, 'returned')
})

test('missing resources are 404, invalid requests 400, each with the place of the fault', async () => {
  refused(await call('GET', '/orders/999999999'), 404, 'NOT_FOUND')
  for (const field of ['customer_id', 'shop_id', 'employee_id', 'traffic_source_id']) {
    refused(await call('POST', '/orders', { [field]: 999_999_999 }), 404, 'NOT_FOUND')
  }
  refused(await call('POST', '/orders', { items: [{ product_id: 999_999 }] }), 404, 'NOT_FOUND')
  const unknown = await call('POST', '/orders', { items: [{ product_id: 1, colour: 'red' }] })
  refused(unknown, 400, 'REQUEST_INVALID')
  assert.match(JSON.stringify(unknown.body.faults), 'colour')
  for (const ordered_at of [
    '1999-12-31T23:59:59Z',
    '2099-01-01T00:00:00Z',
    '2025-02-30T00:00:00Z',
    '2025-01-01',
    '\0',
    '\ud800',
  ]) {
    refused(await call('POST', '/orders', { ordered_at }), 400, 'REQUEST_INVALID')
  }
  refused(await call('POST', '/pause', {}), 400, 'REQUEST_INVALID')
  refused(await call('GET', '/status?verbose=1'), 400, 'REQUEST_INVALID')
  refused(await call('POST', '/orders', {}, { 'content-type': 'text/csv' }), 415, 'REQUEST_INVALID')
  refused(await call('POST', '/orders', { items: 'x'.repeat(100_000) }), 413, 'REQUEST_INVALID')
  const other = await call('PATCH', '/orders')
  refused(other, 405, 'REQUEST_INVALID')
  assert.match(other.headers.get('allow') ?? '', /POST/)
  refused(await call('POST', '/orders', {}, { origin: 'http://elsewhere.example' }), 403, 'REQUEST_INVALID')
})

test('the same Idempotency-Key creates one order, also in concurrent requests; another body under it is refused', async () => {
  const headers = { 'idempotency-key': 'a-key' }
  const replies = await Promise.all(
    Array.from({ length: 6 }, () => call('POST', '/orders', { customer_id: 1 }, headers)),
  )
  assert.equal(replies.map(({ status }) => status).sort(), [200, 200, 200, 200, 200, 201])
  assert.is(new Set(replies.map(({ body }) => body.order_id)).size, 1)
  refused(await call('POST', '/orders', { customer_id: 2 }, headers), 422, 'KEY_REUSED')
})

test('pages of a list contain every order once', async () => {
  const seen: unknown[] = []
  let before = ''
  for (let pages = 0; pages < 3; pages++) {
    const { body } = await call('GET', `/orders?limit=7${before}`)
    seen.push(...(body.orders as { order_id: number }[]).map(({ order_id }) => order_id))
    before = `&before=${body.next}`
  }
  assert.is(new Set(seen).size, 21)
  assert.equal(
    seen,
    seen.toSorted((a, b) => Number(b) - Number(a)),
  )
})

test('the rate changes, the simulation pauses and resumes, and one scenario at a time begins and ends', async () => {
  assert.is((await call('PUT', '/rate', { rate: 80 })).body.rate, 80)
  assert.is((await call('POST', '/pause')).body.state, 'paused')
  assert.is((await call('GET', '/status')).body.state, 'paused')
  assert.is((await call('POST', '/resume')).body.state, 'running')
  refused(await call('POST', '/scenarios', { kind: 'campaign', traffic_source: 'Carrier pigeons' }), 404, 'NOT_FOUND')
  const sale = await call('POST', '/scenarios', { kind: 'flash_sale', category: 'Kitchen', seconds: 600 })
  assert.is(sale.status, 201)
  refused(await call('POST', '/scenarios', { kind: 'returns_wave' }), 409, 'SCENARIO_RUNNING')
  const kitchen = () =>
    database.sql<{
      price: string
    }>(`SELECT (SELECT sum(p.price) FROM shop.products p JOIN shop.categories c USING (category_id)
      JOIN shop.categories top ON top.category_id = c.parent_id WHERE top.name = 'Kitchen') AS price`)
  const [cheap] = await until(
    async () => {
      const changed = await database.sql(`SELECT FROM public.noted WHERE "table" = 'shop.products' AND op = 'u'`)
      return changed.length >= 40 && kitchen()
    },
    { what: 'lower prices' },
  )
  assert.is((await call('DELETE', '/scenarios/current')).body.kind, 'flash_sale')
  refused(await call('DELETE', '/scenarios/current'), 404, 'NOT_FOUND')
  await until(async () => Number((await kitchen())[0]!.price) > Number(cheap!.price) * 1.3, {
    what: 'prices as before',
  })
})

test('a file of visits is uploaded, recognized at a second upload, and its rejected lines are read', async () => {
  const upload = async (text: string | Buffer, query: string, type = 'text/csv') => {
    const response = await fetch(`${api.url}/imports/traffic${query}`, {
      method: 'POST',
      body: text,
      headers: { 'content-type': type },
    })
    return {
      status: response.status,
      headers: response.headers,
      body: (await response.json()) as Record<string, unknown>,
    }
  }
  const text =
    'cost,visited_at,traffic_source,customer_id,landing_page\n0.10,2025-11-01T10:00:00Z,Search,1,/\n0,now,Search,,/\n'
  const first = await upload(text, '?name=visits.csv')
  assert.equal([first.status, first.body.state, first.body.loaded, first.body.rejected], [200, 'new', 1, 1])
  assert.is((await upload(text, '')).body.state, 'known')
  const rejects = await fetch(`${api.url}/imports/${first.body.import_id}/rejects`)
  assert.is(rejects.status, 200)
  assert.match(await rejects.text(), /^line,reason,original\n3,.*no time.*,"0,now,Search,,\/"\n$/)
  refused(await call('GET', '/imports/999999/rejects'), 404, 'NOT_FOUND')
  refused(await upload('a,b\n', ''), 422, 'IMPORT_UNREADABLE')
  refused(await upload(text.replace('0.10', '0.20'), '?name=visits.csv'), 409, 'IMPORT_CHANGED')
  refused(await upload(text, '?name=../x'), 400, 'REQUEST_INVALID')
  refused(await call('POST', '/imports/traffic'), 400, 'REQUEST_INVALID')
  refused(await upload('{}', '', 'application/json'), 415, 'REQUEST_INVALID')
  assert.equal(
    readdirSync(uploads).filter(name => name.endsWith('.upload')),
    [],
  )
})

test('the API page and all of its assets come from the service itself', async () => {
  const page = await (await fetch(`${api.url}/docs/`)).text()
  const parts = [...page.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, part]) => new URL(part!, `${api.url}/docs/`))
  assert.ok(parts.length > 3)
  for (const part of parts) {
    assert.is(part.origin, api.url)
    const response = await fetch(part)
    assert.is(response.status, 200, part.href)
    await response.arrayBuffer()
  }
})

test('random requests never get a 5xx, every response fits the document, and every created order is logged', async () => {
  const document = (await (await fetch(`${api.url}/openapi.json`)).json()) as OpenApiDocument & { openapi: string }
  assert.is(document.openapi, '3.1.0')
  const judged = judge(document)
  const answers = new Map<number, number>()
  const property = fc.asyncProperty(requests(document), async request => {
    const answer = await send(api.url, request)
    answers.set(answer.status, (answers.get(answer.status) ?? 0) + 1)
    const fault = judged(request, answer)
    if (fault !== undefined) throw new Error(fault)
  })
  // Generated requests rarely have a body that is too large.
  const examples: [FuzzRequest][] = [
    [
      {
        method: 'POST',
        template: '/orders',
        path: '/orders',
        headers: { 'content-type': 'application/json' },
        body: 'x'.repeat(70_000),
      },
    ],
  ]
  await fc.assert(property, { seed: testSeed(), numRuns: 1_500, examples })
  for (const status of [200, 201, 400, 404, 405, 409, 413, 415])
    assert.ok(answers.has(status), `no ${status}: ${[...answers]}`)

  await ending?.()
  ending = undefined
  const created = await database.sql<{ id: string }>(
    `SELECT after ->> 'order_id' AS id FROM public.noted WHERE "table" = 'shop.orders' AND op = 'c'`,
  )
  assert.ok(created.length > 20, `${created.length} orders`)
  const sorted = (ids: number[]) => ids.toSorted((a, b) => a - b)
  assert.equal(sorted(logged.map(({ order }) => order)), sorted(created.map(({ id }) => Number(id))))
  assert.ok(logged.every(({ from, request }) => (from === 'api') === (typeof request === 'string')))
})

test.run()
