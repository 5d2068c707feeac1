// test/service/probe.test: ClickHouse servers, profiles and policies that would make sums wrong are
// refused or overridden.

import { connectClickhouse } from '../../clickhouse/client.ts'
import { pinnedSettings } from '../../clickhouse/pinned-settings.ts'
import { probe, probeStatements, requireOneServer } from '../../consumer/warehouse/probe.ts'
import { MillraceError } from '../../runtime/errors.ts'
import { startTcpProxy } from '../support/faults/tcp-proxy.ts'
import { assert, suite } from '../support/harness/suite.ts'
import { type Services, startServices } from '../support/servers/services.ts'

const test = suite('probe of ClickHouse')

const policy = '<databases><filtered><kept><filter>id = 1</filter></kept></filtered></databases>'
const user = (profile: string, more = '') =>
  `<password></password><networks><ip>127.0.0.1</ip></networks><profile>${profile}</profile><quota>default</quota>${more}`
/** Each setting changes what is inserted or read, and nothing would report it. */
const harmful = {
  silent: '<materialized_views_ignore_errors>1</materialized_views_ignore_errors>',
  dropping:
    '<deduplicate_insert>enable</deduplicate_insert><deduplicate_insert_select>enable_even_for_bad_queries</deduplicate_insert_select>',
  short: '<limit>1</limit>',
  late: '<offset>1</offset>',
  elsewhere: '<session_timezone>Asia/Tokyo</session_timezone>',
  nullable: '<data_type_default_nullable>1</data_type_default_nullable><join_use_nulls>1</join_use_nulls>',
}
/** A limit stays, and reaching it is an error instead of a part of the rows. */
const limiting = '<max_rows_to_read>1</max_rows_to_read><read_overflow_mode>break</read_overflow_mode>'
const fixedBy = (value: string) => `<final>${value}</final><constraints><final><readonly/></final></constraints>`
const users = `<clickhouse>
  <profiles>
    ${Object.entries(harmful)
      .map(([name, settings]) => `<${name}>${settings}</${name}>`)
      .join('\n')}
    <fixed>${fixedBy('1')}</fixed><mended>${fixedBy('0')}</mended>
    <limited>${limiting}</limited>
  </profiles>
  <users>
    ${[...Object.keys(harmful), 'fixed', 'mended', 'limited'].map(name => `<${name}>${user(name)}</${name}>`).join('\n')}
    <filtered>${user('default', policy)}</filtered>
    <blind>${user('default', `${policy}<grants><query>GRANT ALL ON filtered.*</query><query>GRANT SELECT ON system.tables</query></grants>`)}</blind>
  </users>
</clickhouse>`

/** With this setting, ClickHouse lets users without a policy read all rows. */
const settings = `<clickhouse><access_control_improvements>
  <users_without_row_policies_can_read_rows>false</users_without_row_policies_can_read_rows>
</access_control_improvements></clickhouse>`

let services: Services
let second: Services
test.before(async () => {
  services = await startServices(['clickhouse'], {
    'clickhouse.users.d/test.xml': users,
    'clickhouse.d/test.xml': settings,
  })
  second = await startServices(['clickhouse'])
})
test.after(async () => {
  await second?.stop()
  await services?.stop()
})

interface Attempt {
  readonly user: string
  readonly database: string
  readonly pinned?: boolean
  readonly url?: string
}

/** Runs the consumer's probe as this user. @throws {MillraceError} as the consumer would */
async function attempt({ user, database, pinned = true, url = services.endpoints.clickhouse! }: Attempt) {
  const admin = connectClickhouse({ url, user: 'default', password: '' })
  await admin.command(`CREATE DATABASE IF NOT EXISTS ${database}`)
  for (const sql of probeStatements) await admin.command(sql.replaceAll(/\b(probe\w*)\b/g, `${database}.$1`))
  await admin.close()
  const bare = connectClickhouse({ url, user, password: '' })
  await requireOneServer(bare)
  const settings = pinned ? await pinnedSettings(bare).finally(() => bare.close()) : {}
  const clickhouse = connectClickhouse({ url, user, password: '', database, settings })
  try {
    await probe(clickhouse)
  } finally {
    await clickhouse.close()
  }
}

test('a server with default settings counts every change once, also with two consumers at once', async () => {
  const started = performance.now()
  await attempt({ user: 'default', database: 'plain' })
  console.log(`pinned and probed in ${Math.round(performance.now() - started)} ms, tables and connections included`)
  await Promise.all([1, 2, 3].map(() => attempt({ user: 'default', database: 'plain' })))
})

test('settings of a user profile are overridden, and would otherwise be detected', async () => {
  for (const name of Object.keys(harmful)) await attempt({ user: name, database: `of_${name}` })
  const seen = []
  for (const name of Object.keys(harmful)) {
    const error = await attempt({ user: name, database: `of_${name}`, pinned: false }).catch((e: MillraceError) => e)
    if (error instanceof MillraceError) seen.push(`${name} ${error.code}`)
  }
  console.log(`without pinned settings these are seen: ${seen.join(', ')}`)
  assert.ok(seen.includes('dropping CLICKHOUSE_UNFIT'))
})

test('a limit that would truncate results is an error with the name of the limit', async () => {
  await assert.refuses(() => attempt({ user: 'limited', database: 'limited' }), 'CLICKHOUSE_FAILED', /TOO_MANY_ROWS/)
})

test('a read-only setting is named, with the required value', async () => {
  const error = await assert.refuses(
    () => attempt({ user: 'fixed', database: 'fixed' }),
    'CLICKHOUSE_UNFIT',
    /final = 1/,
  )
  assert.match(error.next, /with final = 0/)
  await attempt({ user: 'mended', database: 'fixed' })
})

test('a row policy that hides rows is named, also to a user who may not list policies', async () => {
  const admin = connectClickhouse({ url: services.endpoints.clickhouse!, user: 'default', password: '' })
  await admin.command('CREATE DATABASE filtered')
  await admin.command('CREATE TABLE filtered.kept (id Int32) ENGINE = MergeTree ORDER BY id')
  const isRefused = (user: string) =>
    assert.refuses(
      () => attempt({ user, database: 'filtered' }),
      'CLICKHOUSE_UNFIT',
      /a row policy hides rows from this user in kept/,
    )
  await isRefused('filtered')
  await admin.command('INSERT INTO filtered.kept VALUES (1), (2)')
  await isRefused('blind')
  const others = await admin.rows(
    "SELECT 1 FROM system.row_policies WHERE apply_to_list = ['default'] AND select_filter = '1'",
  )
  assert.is(others.length, 1, 'a policy that shows everything applies to the user of the next attempt')
  await admin.close()
  await attempt({ user: 'default', database: 'filtered' })
})

test('two servers behind one address are detected', async () => {
  const ports = [services, second].map(({ endpoints }) => Number(new URL(endpoints.clickhouse!).port))
  const proxy = await startTcpProxy(ports[0]!)
  const url = `http://127.0.0.1:${proxy.port}`
  await attempt({ user: 'default', database: 'balanced', url })
  let connections = 0
  Object.defineProperty(proxy, 'target', { get: () => ports[connections++ % 2] })
  const clickhouse = connectClickhouse({ url, user: 'default', password: '', database: 'default' })
  await assert.refuses(() => requireOneServer(clickhouse), 'CLICKHOUSE_UNFIT', /2 servers answer at one address/)
  await clickhouse.close()
  await proxy.close()
})

test.run()
