// test/service/clickhouse-tls: ClickHouse behind TLS, with a private certificate authority and a
// client certificate.
// A relay in front of a real server terminates TLS.

import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { type AddressInfo, connect } from 'node:net'
import { createServer, type Server } from 'node:tls'
import { connectClickhouse } from '../../clickhouse/client.ts'
import { readTlsFiles } from '../../runtime/config/tls-files.ts'
import { writeFixture } from '../support/harness/program.ts'
import { assert, suite } from '../support/harness/suite.ts'
import { type Certificate, makeCertificate } from '../support/servers/certificate.ts'
import { type Servers, shareServers } from '../support/servers/services.ts'

const test = suite('clickhouse tls')

let services: Servers
let relay: Server
let url: string
let server: Certificate
let client: Certificate

test.before(async () => {
  services = await shareServers(['clickhouse'])
  const directory = writeFixture({})
  server = makeCertificate(directory, 'server')
  client = makeCertificate(directory, 'client')
  const [cert, key, ca] = [server.certificate, server.key, client.certificate].map(file => readFileSync(file))
  const { hostname, port } = new URL(services.endpoints.clickhouse!)
  relay = createServer({ cert: cert!, key: key!, ca: ca!, requestCert: true, rejectUnauthorized: true }, socket => {
    const inner = connect(Number(port), hostname)
    socket.on('error', () => inner.destroy())
    inner.on('error', () => socket.destroy())
    socket.pipe(inner).pipe(socket)
  })
  relay.on('tlsClientError', () => {})
  await once(relay.listen(0, '127.0.0.1'), 'listening')
  url = `https://127.0.0.1:${(relay.address() as AddressInfo).port}`
})

test.after(async () => {
  relay?.close()
  await services?.stop()
})

test('the authority verifies the server, and its certificate the client', async () => {
  const account = { url, user: 'default', password: '' }
  const files = { ca: server.certificate, cert: client.certificate, key: client.key }
  const warehouse = connectClickhouse({ ...account, tls: readTlsFiles(files, 'clickhouse.tls') })
  assert.equal(await warehouse.rows('SELECT 1 AS one'), [{ one: 1 }])
  await warehouse.close()
  const stranger = connectClickhouse(account)
  await assert.refuses(() => stranger.rows('SELECT 1'), 'CLICKHOUSE_UNREACHABLE', /certificate/)
  await stranger.close()
})

test.run()
