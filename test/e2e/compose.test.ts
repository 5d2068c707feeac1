// test/e2e/compose.test: our services run as docker-compose.yml says, in the order it says, and stop cleanly.
// May know: everything. The three servers are local ones; only addresses, ports and directories are translated.

import { once } from 'node:events'
import { symlinkSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { createClient } from '@clickhouse/client'
import type { ConsumerStatus } from '../../consumer/status.ts'
import { askStatus } from '../../runtime/presence.ts'
import { readCompose } from '../support/compose.ts'
import { Container, type Place } from '../support/container.ts'
import { runTool, writeFixture } from '../support/fixture.ts'
import { type Services, startServices } from '../support/services.ts'
import { projectRoot } from '../support/sources.ts'
import { assert, suite, until } from '../support/suite.ts'

const { services: file } = readCompose()
const own = Object.keys(file).filter(name => file[name]!.build !== undefined)
const started = new Map<string, Container>()
let servers: Services

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

/** What the Dockerfile puts into `/app`. */
async function buildImage(): Promise<string> {
  const home = writeFixture({})
  for (const name of ['node_modules', 'model']) symlinkSync(join(projectRoot, name), join(home, name))
  const compiler = join(projectRoot, 'node_modules/typescript/bin/tsc')
  const { code, stdout } = await runTool([compiler, '-p', 'tsconfig.build.json', '--outDir', join(home, 'dist')])
  assert.is(code, 0, stdout)
  return home
}

/** Every name that exists in and between containers only, with what stands for it here. */
async function translation(home: string): Promise<Place['translate']> {
  const { postgres, kafka, clickhouse } = servers.endpoints
  const names: [RegExp, string][] = [
    [/postgres:5432/g, new URL(postgres!).host],
    [/kafka:9092/g, kafka!],
    [/clickhouse:8123/g, new URL(clickhouse!).host],
    [/\/var\/lib\/millrace/g, join(home, 'state')],
    [/^\/app\//g, `${home}/`],
    [/\b8081\b/g, String(await freePort())],
    [/\b8082\b/g, String(await freePort())],
    [/^(producer|consumer)$/g, '127.0.0.1'],
  ]
  return text => names.reduce((result, [name, local]) => result.replace(name, local), text)
}

/** The user that the image of ClickHouse makes of its environment. */
async function createUser({ CLICKHOUSE_USER: user, CLICKHOUSE_PASSWORD: password }: Record<string, string | number>) {
  const client = createClient({ url: servers.endpoints.clickhouse! })
  await client.command({ query: `CREATE USER ${user} IDENTIFIED BY '${password}'` })
  await client.command({ query: `GRANT ALL ON *.* TO ${user} WITH GRANT OPTION` })
  await client.close()
}

/** Starts a service once everything it depends on is ready, as Compose does. */
async function start(name: string, place: Place): Promise<void> {
  const service = file[name]!
  for (const [other, { condition }] of Object.entries(service.depends_on ?? {})) {
    const container = started.get(other)
    if (container === undefined) assert.not(file[other]!.build, `${name} stands before ${other} in the file`)
    else if (condition === 'service_healthy') {
      await until(() => container.isHealthy(), { what: `${other} to be healthy`, timeoutMs: 120_000 })
    } else assert.is(await container.ended(), 0, container.output)
  }
  const container = new Container(name, service, place)
  started.set(name, container)
  container.start()
}

const test = suite('compose', { timeoutMs: 400_000 })

test.before(async () => {
  servers = await startServices(['postgres', 'kafka', 'clickhouse'])
})

test.after(async () => {
  for (const container of started.values()) await container.kill()
  await servers?.stop()
})

test('each service starts by its own command and environment, becomes healthy, and all is equal in the end', async () => {
  const home = await buildImage()
  await createUser(file.clickhouse!.environment!)
  const place = { home, translate: await translation(home) }
  for (const name of own) await start(name, place)

  const [generator, consumer] = [started.get('generator')!, started.get('consumer')!]
  const status = () => askStatus<ConsumerStatus>(join(home, 'state'), 'shop', 'consumer')
  const loaded = await until(async () => (await status())?.watermark && status(), {
    what: 'the history to be in ClickHouse',
    timeoutMs: 240_000,
  })
  const isFed = async () => ((await status())?.changes ?? 0) > loaded.changes + 1_000
  await until(isFed, { what: 'changes to arrive', timeoutMs: 60_000 })
  assert.is(await generator.stop(), 0, generator.output)
  assert.is(await consumer.exec('verify'), 0, consumer.output)
  for (const name of [...own].reverse()) assert.is(await started.get(name)!.stop(), 0, started.get(name)!.output)
})

test.run()
