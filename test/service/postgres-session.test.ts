// test/service/postgres-session: sessions have millrace's settings, and no wait for Postgres is
// endless.

import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { connect, disconnect, query } from '../../postgres/client/client.ts'
import { takeLock } from '../../producer/generation/lock.ts'
import { startTcpProxy, type TcpProxy } from '../support/faults/tcp-proxy.ts'
import { assert, suite, until } from '../support/harness/suite.ts'
import { createDatabase, type TestDatabase } from '../support/servers/postgres.ts'
import { type Servers, shareServers } from '../support/servers/services.ts'

const test = suite('postgres session')
let services: Servers
let db: TestDatabase
let proxy: TcpProxy
let proxied: string

test.before(async () => {
  services = await shareServers(['postgres'])
})
test.before.each(async () => {
  db = await createDatabase(services.endpoints.postgres!)
  const address = new URL(db.url)
  proxy = await startTcpProxy(Number(address.port))
  address.port = String(proxy.port)
  proxied = address.href
})
test.after.each(async () => {
  await proxy.close()
  await db.drop()
})
test.after(() => services.stop())

test('a statement may take as long as its backend works on it, and no longer', async () => {
  await db.sql('CREATE TABLE t (id int)')
  const holder = await db.connect()
  await holder.query('BEGIN; LOCK TABLE t')
  const lost = await connect(proxied)
  const sleeping = await connect(db.url)
  const waiting = await connect(db.url)
  await query(waiting, 'BEGIN')
  proxy.freeze()
  const slept = query(sleeping, 'SELECT 1 AS one FROM pg_sleep(14)')
  const locked = query(waiting, 'LOCK TABLE public.t')
  const error = await assert.refuses(() => query(lost, 'SELECT 1'), 'POSTGRES_UNREACHABLE', /no answer/)
  assert.is(error.where, 'SELECT 1')
  assert.equal(await slept, [{ one: 1 }])
  await holder.query('COMMIT')
  await locked
  await assert.refuses(() => query(lost, 'SELECT 1'), 'POSTGRES_UNREACHABLE')
  for (const client of [lost, sleeping, waiting]) await disconnect(client)
})

test('a lock on a generation is refused while another session has it, with the name of that session', async () => {
  const lock = await takeLock(db.url, 'shop_1')
  const held =
    /another producer works on this generation: pid \d+ of the server, millrace from 127\.0\.0\.1, connected for \d+ s/
  const error = await assert.refuses(() => takeLock(db.url, 'shop_1'), 'PRODUCER_RUNNING', held)
  assert.ok(error.retriable)
  const other = await takeLock(db.url, 'shop_2')
  for (const each of [lock, other]) await each.release()
  await (await takeLock(db.url, 'shop_1')).release()
})

test('closing a session on a dead host ends soon, also by a signal', async () => {
  const stopping = new AbortController()
  const lost = await connect(proxied)
  const busy = await connect(proxied, { signal: stopping.signal })
  proxy.freeze()
  const asked = query(busy, 'SELECT 1')
  const started = performance.now()
  setTimeout(() => stopping.abort(), 100)
  await assert.refuses(() => asked, 'POSTGRES_UNREACHABLE')
  await disconnect(lost)
  assert.ok(performance.now() - started < 5_000)
})

/**
 * A startup packet without one of its parameters.
 * @see https://www.postgresql.org/docs/current/protocol-message-formats.html (StartupMessage)
 */
function withoutParameter(packet: Buffer, left: string): Buffer {
  const words = packet.toString('utf8', 8).split('\0')
  const at = words.indexOf(left)
  const body = Buffer.from([...words.slice(0, at), ...words.slice(at + 2)].join('\0'))
  const head = Buffer.from(packet.subarray(0, 8))
  head.writeInt32BE(8 + body.length)
  return Buffer.concat([head, body])
}

test('a pooler that drops session settings is named on the first connection', async () => {
  proxy.rewriteFirst = packet => withoutParameter(packet, 'options')
  for (const mode of ['sql', 'replication'] as const) {
    const error = await assert.refuses(() => connect(proxied, { mode }), 'POSTGRES_POOLER', /search_path is /)
    assert.match(error.next, /address of Postgres itself/)
    assert.not.ok(error.retriable)
  }
  await until(() => proxy.open() === 0, { what: 'the refused connections are closed' })
  proxy.rewriteFirst = packet => packet
  await disconnect(await connect(proxied))
})

test('a pooler that refuses session settings is named', async () => {
  // PgBouncer answers protocol_violation with the parameter's name.
  const refusal = Buffer.from('SFATAL\0C08P01\0Munsupported startup parameter: options\0\0')
  const pooler = createServer(socket => {
    socket.once('data', () => {
      const head = Buffer.from('E0000')
      head.writeInt32BE(4 + refusal.length, 1)
      socket.end(Buffer.concat([head, refusal]))
    })
  }).listen(0, '127.0.0.1')
  await once(pooler, 'listening')
  const { port } = pooler.address() as AddressInfo
  await assert.refuses(
    () => connect(`postgres://u@127.0.0.1:${port}/d`),
    'POSTGRES_POOLER',
    /startup parameter: options/,
  )
  pooler.close()
})

test('Postgres soon ends a session whose client host has died', async () => {
  const settings = ['tcp_keepalives_idle', 'tcp_keepalives_interval', 'tcp_keepalives_count', 'tcp_user_timeout']
  const [row] = await query<object>(
    db.client,
    `SELECT ${settings.map(name => `current_setting('${name}') AS ${name}`)}`,
  )
  assert.equal(Object.values(row!), ['10', '5', '3', '0'])
})

test.run()
