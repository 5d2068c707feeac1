// test/long/compose.test: millrace's services run as docker-compose.yml says, in its order, and
// stop cleanly.
// The three servers are local ones: only addresses, ports and directories are replaced.

import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import type { ConsumerStatus } from '../../consumer/status.ts'
import { askStatus } from '../../runtime/service-discovery.ts'
import { compile } from '../support/harness/build.ts'
import { writeFixture } from '../support/harness/program.ts'
import { assert, suite, until } from '../support/harness/suite.ts'
import { readCompose } from '../support/servers/compose.ts'
import { Container, type Place } from '../support/servers/container.ts'
import { type Servers, shareServers } from '../support/servers/services.ts'

// The local servers ask for no password, and ClickHouse then accepts none. A short history is
// enough here.
const { services: file } = readCompose({ CLICKHOUSE_PASSWORD: '', HISTORY_ORDERS: '3000' })
const own = Object.keys(file).filter(name => file[name]!.build !== undefined)
const started = new Map<string, Container>()
let servers: Servers

/** Like `until`; a failure shows the output of every service. */
async function untilReady<T>(condition: () => Promise<T>, what: string, timeoutMs: number) {
  try {
    return await until(condition, { what, timeoutMs })
  } catch (error) {
    const outputs = [...started.values()].map(
      ({ name, output }) => `--- ${name}\n${output.split('\n').slice(-12).join('\n')}`,
    )
    throw new Error([(error as Error).message, ...outputs].join('\n'))
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

/** Files that the Dockerfile copies into `/app`. */
async function buildImage(): Promise<string> {
  const home = writeFixture({})
  await compile(home, ['node_modules', 'model', 'package.json'])
  return home
}

/** Names that exist only inside and between containers, with their local replacements. */
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
    [/\b8090\b/g, String(await freePort())],
    [/^(producer|consumer|generator)$/g, '127.0.0.1'],
  ]
  return text => names.reduce((result, [name, local]) => result.replace(name, local), text)
}

/** Starts a service once everything it depends on is ready, as Compose does. */
async function start(name: string, place: Place): Promise<void> {
  const service = file[name]!
  for (const [other, { condition }] of Object.entries(service.depends_on ?? {})) {
    const container = started.get(other)
    if (container === undefined) assert.not(file[other]!.build, `${name} stands before ${other} in the file`)
    else if (condition === 'service_healthy') {
      await untilReady(() => container.isHealthy(), `${other} to be healthy`, 120_000)
    } else assert.is(await container.ended(), 0, container.output)
  }
  const container = new Container(name, service, place)
  started.set(name, container)
  container.start()
}

const test = suite('compose', { timeoutMs: 400_000 })

test.before(async () => {
  servers = await shareServers(['postgres', 'kafka', 'clickhouse'])
})

test.after(async () => {
  for (const container of started.values()) await container.kill()
  await servers?.stop()
})

test('each service starts by its own command and environment and becomes healthy; all tables are equal at the end', async () => {
  const home = await buildImage()
  const place = { home, translate: await translation(home) }
  for (const name of own) await start(name, place)

  const [generator, consumer] = [started.get('generator')!, started.get('consumer')!]
  const status = () => askStatus<ConsumerStatus>(join(home, 'state'), 'shop', 'consumer')
  const isLoaded = async () => (await status())?.watermark && status()
  const loaded = await untilReady(isLoaded, 'the history to be in ClickHouse', 120_000)
  const isFed = async () => ((await status())?.changes ?? 0) > loaded.changes + 1_000
  await untilReady(isFed, 'changes to arrive', 60_000)
  await untilReady(() => generator.isHealthy(), 'the API of the generator to answer', 20_000)
  assert.is(await generator.stop(), 0, generator.output)
  assert.is(await consumer.exec('verify'), 0, consumer.output)
  for (const name of [...own].reverse()) assert.is(await started.get(name)!.stop(), 0, started.get(name)!.output)
})

test.run()
