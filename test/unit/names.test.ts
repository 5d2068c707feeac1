// test/unit/names.test: names that are kept free.
// May know: contract, clickhouse.

import { changelogColumns, tableStatements } from '../../clickhouse/ddl.ts'
import { reservedColumns } from '../../contract/names.ts'
import { assert, suite } from '../support/suite.ts'

const test = suite('names')

test('no captured column may be called like one that the tables in ClickHouse add', () => {
  for (const [name] of changelogColumns) assert.ok(reservedColumns.has(name), name)
  const column = { name: 'id', pgType: 'integer', encoding: 'int', nullable: false } as const
  const statements = tableStatements({ schema: 's', name: 't', columns: [column], key: ['id'], partitionKey: ['id'] })
  const added = statements.flatMap(sql => [...sql.matchAll(/^\s*(_\w+) \w|, (_\w+) \w/gm)].map(([, a, b]) => a ?? b!))
  assert.ok(added.includes('_deleted'))
  for (const name of added) assert.ok(reservedColumns.has(name), name)
})

test.run()
