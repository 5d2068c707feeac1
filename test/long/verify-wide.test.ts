// test/long/verify-wide: a table with nearly as many columns as Postgres allows is verified like
// any other.

import { assert, suite } from '../support/harness/suite.ts'
import { assertEqual, loadWarehouse, read } from '../support/pipelines/loaded-warehouse.ts'
import { type Services, startServices } from '../support/servers/services.ts'

const test = suite('verify, many columns', { timeoutMs: 180_000 })
let services: Services

test.before(async () => {
  services = await startServices(['postgres', 'clickhouse'])
})
test.after(() => services?.stop())

test('verify compares 1,500 columns and finds one wrong value among them', async () => {
  const names = Array.from(
    { length: 1_500 },
    (_, index) => `attribute_${String(index).padStart(4, '0')}_of_the_customer_x`,
  )
  const types = ['text', 'int', 'numeric(18, 4)', 'timestamptz']
  const setup = `CREATE TABLE {schema}.wide (id int PRIMARY KEY, ${names.map((name, index) => `${name} ${types[index % 4]}`).join(', ')});
      INSERT INTO {schema}.wide (id, ${names[0]}, ${names[1]}) SELECT g, 'text ' || g, g FROM generate_series(1, 50) g`
  await using warehouse = await loadWarehouse(services, { setup })
  assertEqual(await warehouse.verify())
  await warehouse.database.sql(`UPDATE ${warehouse.schema}.wide SET ${names.at(-1)} = now() WHERE id = 7`)
  assert.equal(read(await warehouse.verify(), warehouse, 'wide').rows, ['different 1:7'])
})

test.run()
