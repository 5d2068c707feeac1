// test/service/http.test: the status server answers, refuses and closes.

import { MillraceError } from '../../runtime/errors.ts'
import { Answer, type HttpServer, type Route, serve } from '../../runtime/http.ts'
import { createLog } from '../../runtime/log.ts'
import { assert, suite } from '../support/harness/suite.ts'

const log = { ...createLog('test', 'error'), error: () => {} }
const open: HttpServer[] = []

async function started(routes: Record<string, Route>, port = 0): Promise<HttpServer> {
  const server = await serve({ host: '127.0.0.1', port, routes, log })
  open.push(server)
  return server
}

const test = suite('http')

test.after.each(async () => {
  for (const server of open.splice(0)) await server.close()
})

test('a route that returns a value is answered as JSON, an Answer as it is', async () => {
  const { url } = await started({
    '/status': () => ({ ok: true }),
    '/readyz': async () => new Answer(503, { reason: 'catching up' }),
    '/text': () => new Answer(200, 'plain', 'text/plain'),
  })
  const status = await fetch(`${url}/status`)
  assert.is(status.headers.get('content-type'), 'application/json')
  assert.equal(await status.json(), { ok: true })
  assert.is((await fetch(`${url}/readyz`)).status, 503)
  assert.is(await (await fetch(`${url}/text`)).text(), 'plain')
  const head = await fetch(`${url}/status`, { method: 'HEAD' })
  assert.is(head.status, 200)
  assert.is(await head.text(), '')
})

test('parts of the path and the query reach the route', async () => {
  const { url } = await started({
    '/a/:one/b/:two': ({ params, url }) => ({ ...params, q: url.searchParams.get('q') }),
  })
  assert.equal(await (await fetch(`${url}/a/x%2Fy/b/%E4%B8%AD?q=1`)).json(), { one: 'x/y', two: '中', q: '1' })
})

test('another path lists the known ones, another method is refused', async () => {
  const { url } = await started({ '/status': () => 1 })
  const missing = await fetch(`${url}/stats`)
  assert.is(missing.status, 404)
  assert.equal(await missing.json(), { error: 'nothing at /stats', paths: ['/status'] })
  assert.is((await fetch(`${url}/status`, { method: 'POST', body: 'x' })).status, 405)
})

test('a failing route is answered by 500 without the message of a foreign error', async () => {
  const { url } = await started({
    '/ours': () => {
      throw new MillraceError('KAFKA_UNREACHABLE', { what: 'no broker answers', next: 'start it' })
    },
    '/other': () => Promise.reject(new Error('password=hush')),
  })
  const ours = await fetch(`${url}/ours`)
  assert.is(ours.status, 500)
  assert.equal(await ours.json(), { error: 'no broker answers', code: 'KAFKA_UNREACHABLE', next: 'start it' })
  assert.not.match(await (await fetch(`${url}/other`)).text(), /hush/)
})

test('a taken port is refused by name; closing frees it, open connections or not', async () => {
  const first = await started({ '/status': () => 1 })
  await fetch(`${first.url}/status`)
  await assert.refuses(() => serve({ host: '127.0.0.1', port: first.port, routes: {}, log }), 'HTTP_PORT', /EADDRINUSE/)
  await open.pop()?.close()
  const again = await started({}, first.port)
  assert.is(again.port, first.port)
})

test.run()
