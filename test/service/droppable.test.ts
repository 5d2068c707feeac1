// test/service/droppable: objects that ClickHouse and Postgres would refuse to drop are named
// beforehand, with a remedy that works.

import { type Clickhouse, connectClickhouse } from '../../clickhouse/client.ts'
import { type ToDrop, whatKeepsInClickhouse } from '../../clickhouse/droppable.ts'
import { connect, disconnect } from '../../postgres/client/client.ts'
import { whatKeepsInPostgres } from '../../postgres/preflight/rights.ts'
import { assert, suite } from '../support/harness/suite.ts'
import { createWarehouse } from '../support/servers/clickhouse.ts'
import { createDatabase, uniqueName } from '../support/servers/postgres.ts'
import { type Services, startServices } from '../support/servers/services.ts'

const test = suite('droppable', { timeoutMs: 60_000 })
let services: Services

const networks = '<networks><ip>::/0</ip></networks>'
/** The rights to drop a database, to create some of its tables again, and to drop a view. */
const rights = [
  'ALTER MODIFY DATABASE COMMENT, DROP DATABASE, DROP TABLE, DROP VIEW, DROP DICTIONARY',
  'ALTER MODIFY DATABASE COMMENT, DROP TABLE, DROP VIEW, DROP DICTIONARY, CREATE TABLE, CREATE VIEW, CREATE DICTIONARY, SELECT, INSERT, ALTER DELETE, TRUNCATE',
  'DROP VIEW',
]
const restricted = (name: string, grants: readonly string[]) =>
  `<${name}><password></password>${networks}<grants>${grants.map(grant => `<query>${grant}</query>`).join('')}</grants></${name}>`
const usersFile = `<clickhouse>
  <profiles><looking><readonly>2</readonly></looking><no_ddl><allow_ddl>0</allow_ddl></no_ddl>
    <careful><max_table_size_to_drop>1000</max_table_size_to_drop></careful></profiles>
  <users>
    <looking><password></password><profile>looking</profile>${networks}</looking>
    <no_ddl><password></password><profile>no_ddl</profile>${networks}</no_ddl>
    <careful><password></password><profile>careful</profile>${networks}</careful>
    ${restricted('lacking', ['GRANT SELECT ON system.*'])}
    ${restricted('enough', ['GRANT SELECT ON system.*', ...rights.map(right => `GRANT ${right} ON granted.*`)])}
  </users>
</clickhouse>`

test.before(async () => {
  services = await startServices(['postgres', 'clickhouse'], { 'clickhouse.users.d/droppable.xml': usersFile })
})
test.after(() => services?.stop())

async function withUser<Result>(user: string, work: (clickhouse: Clickhouse) => Promise<Result>): Promise<Result> {
  const clickhouse = connectClickhouse({ url: services.endpoints.clickhouse!, user, password: '' })
  try {
    return await work(clickhouse)
  } finally {
    await clickhouse.close()
  }
}

/** A generation's database with one table of more than 1,000 bytes. */
async function makeDatabase(): Promise<{ name: string; own: Clickhouse; database: ToDrop; table: ToDrop }> {
  const name = uniqueName('drop')
  const own = await createWarehouse(services, name)
  await own.command('CREATE TABLE parts (id UInt32, text String) ENGINE = MergeTree ORDER BY id')
  await own.command('INSERT INTO parts SELECT number, randomPrintableASCII(100) FROM numbers(1000)')
  return { name, own, database: { databases: [name] }, table: { tables: [{ database: name, name: 'parts' }] } }
}

test('a database without limits is dropped by a user with all rights', async () => {
  const { name, own, database, table } = await makeDatabase()
  const views = [{ database: name }]
  assert.equal(await whatKeepsInClickhouse(own, { ...database, ...table, views }), [])
  assert.equal(await whatKeepsInClickhouse(own, { databases: ['of_nobody'] }), [])
  await own.command(`DROP DATABASE ${name} SYNC`)
  await own.close()
})

test('a user who may only read, or neither create nor drop, gets an error beforehand', async () => {
  const { own, database } = await makeDatabase()
  const reasons = (user: string) => withUser(user, clickhouse => whatKeepsInClickhouse(clickhouse, database))
  assert.match((await reasons('looking'))[0]!, /readonly = 2 and allow_ddl = 1/)
  assert.match((await reasons('no_ddl'))[0]!, /readonly = 0 and allow_ddl = 0/)
  await own.close()
})

test('a table above the size that the user may drop is named beforehand, and ClickHouse refuses to drop it', async () => {
  const { name, own, database, table } = await makeDatabase()
  await withUser('careful', async clickhouse => {
    for (const doomed of [database, table]) {
      const [reason, ...others] = await whatKeepsInClickhouse(clickhouse, doomed)
      assert.match(reason!, new RegExp(`table ${name}.\`parts\` .* bytes, and max_table_size_to_drop is 1000`))
      assert.equal(others, [])
    }
    await assert.refuses(
      () => clickhouse.command(`DROP DATABASE ${name} SYNC`),
      'CLICKHOUSE_FAILED',
      /max_table_size_to_drop|SIZE_LIMIT/,
    )
    assert.equal((await own.rows('SELECT 1 FROM parts LIMIT 1')).length, 1)
  })
  await own.close()
})

test('missing rights are named, and suffice once they are granted', async () => {
  const own = await createWarehouse(services, 'granted')
  await own.command('CREATE TABLE parts (id UInt32) ENGINE = MergeTree ORDER BY id')
  const doomed = {
    databases: ['granted'],
    tables: [{ database: 'granted', name: 'parts' }],
    views: [{ database: 'granted' }],
  }
  await withUser('lacking', async clickhouse => {
    const reasons = await whatKeepsInClickhouse(clickhouse, doomed)
    assert.equal(
      reasons,
      rights.map(right => `the user of ClickHouse lacks rights: GRANT ${right} ON \`granted\`.* TO \`lacking\``),
    )
  })
  await withUser('enough', async clickhouse => {
    assert.equal(await whatKeepsInClickhouse(clickhouse, doomed), [])
    await clickhouse.command(`ALTER DATABASE granted MODIFY COMMENT 'being dropped'`)
    await clickhouse.command('CREATE VIEW granted.v AS SELECT 1')
    await clickhouse.command('DROP VIEW granted.v SYNC')
    await clickhouse.command('DROP DATABASE granted SYNC')
  })
  await own.close()
})

test('a publication of another role and a missing right to replicate are named; missing objects are not', async () => {
  const database = await createDatabase(services.endpoints.postgres!)
  const name = uniqueName('p')
  const [owner, role] = [uniqueName('owner'), uniqueName('role')]
  await database.sql(`CREATE ROLE ${owner}; CREATE ROLE ${role} LOGIN; GRANT CREATE ON DATABASE ${database.name} TO ${owner};
    SET ROLE ${owner}; CREATE PUBLICATION ${name}; RESET ROLE`)
  await database.sql(`SELECT pg_create_logical_replication_slot('${name}', 'pgoutput')`)
  const client = await connect(database.url)
  try {
    await client.query(`SET SESSION AUTHORIZATION ${role}`)
    const look = () => whatKeepsInPostgres(client, { slots: [name], publications: [name] })
    const reasons = await look()
    assert.is(reasons.length, 2)
    for (const reason of reasons) await database.sql(/(GRANT|ALTER ROLE) .*/.exec(reason)![0])
    assert.equal(await look(), [])
    await client.query(`SELECT pg_drop_replication_slot('${name}'); DROP PUBLICATION ${name}`)
    assert.equal(await whatKeepsInPostgres(client, { slots: ['none'], publications: ['none'] }), [])
  } finally {
    await disconnect(client)
    await database.drop()
  }
})

test.run()
