// test/unit/producer-tables: configuration and catalog give captured tables, or a list of all
// faults.

import type { SourceColumn, SourceTable } from '../../postgres/catalog/catalog.ts'
import type { CapturedTable } from '../../producer/capture/captured-table.ts'
import { captureTables } from '../../producer/capture/tables.ts'
import { configSchema } from '../../runtime/config/schema.ts'
import { assert, suite } from '../support/harness/suite.ts'

const test = suite('producer-tables')

function column(name: string, typeName: string, more: Partial<SourceColumn> = {}): SourceColumn {
  return {
    name,
    number: 1,
    typeOid: 1,
    typeModifier: -1,
    pgType: typeName,
    type: { name: typeName, kind: 'b', typeModifier: -1 },
    nullable: false,
    deterministic: true,
    generated: undefined,
    comment: undefined,
    ...more,
  }
}

function table(name: string, ...columns: SourceColumn[]): SourceTable {
  return {
    oid: name.length,
    schema: 'public',
    name,
    kind: 'r',
    columns: [column('id', 'int8'), ...columns],
    key: ['id'],
    replicaIdentity: 'f',
    partitions: [],
    comment: undefined,
    unsupported: undefined,
  }
}

function capture(tables: Record<string, unknown>, ...sources: SourceTable[]): CapturedTable[] {
  const config = configSchema.parse({ tables })
  return captureTables(sources, { config, serverVersion: 180_000, deferrable: new Set([5]) })
}

test('a table takes keys, partitions and group from its configuration or from its primary key', () => {
  const price = column('price', 'numeric', { type: { name: 'numeric', kind: 'b', typeModifier: (9 << 16) | 6 } })
  const [orders, lines] = capture(
    { 'public.*': {}, 'public.lines': { partitionKey: ['bill'], group: 'bills', partitions: 7, text: ['note'] } },
    table('orders', price),
    table('lines', column('bill', 'int4'), column('note', 'bytea', { nullable: true })),
  )
  assert.equal(orders!.table.columns[1], {
    name: 'price',
    pgType: 'numeric',
    nullable: false,
    encoding: 'decimal',
    precision: 9,
    scale: 2,
  })
  assert.equal([orders!.group, orders!.partitions, orders!.partitionColumns], ['public.orders', 4, [0]])
  assert.equal([lines!.group, lines!.partitions, lines!.partitionColumns], ['bills', 7, [1]])
  assert.equal([lines!.identityColumns, lines!.table.columns[2]!.encoding], [[0, 1], 'string'])
  assert.equal([orders!.deferrableKey, lines!.deferrableKey], [false, true])
})

test('all faults are named at once', async () => {
  const tables = {
    'public.*': {},
    'public.lines': { partitionKey: ['bill'], text: ['nothing'] },
    'public.other': { partitionKey: ['missing'], history: true },
  }
  const error = await assert.refuses(
    () =>
      capture(
        tables,
        table('lines', column('bill', 'int4', { nullable: true })),
        table('other', column('end_date', 'date')),
      ),
    'TABLE_NOT_CAPTURABLE',
  )
  assert.equal(error.message.split('\n  '), [
    'public.lines: text names column nothing, which it does not have',
    'public.lines: its partition key has column bill, which may be NULL',
    'public.other: its key names column missing, which is not there or not replicated',
    'public.other: its column end_date has a name that its history needs; rename it, or leave history off',
  ])
})

test('tables of a group need the same partitions, and keys whose equal values have equal text', async () => {
  const group = (more: object) => ({ group: 'g', partitionKey: ['k'], ...more })
  const two =
    (a: string, b: string, partitions = 4) =>
    () =>
      capture(
        { 'public.a': group({}), 'public.bb': group({ partitions }) },
        table('a', column('k', a)),
        table('bb', column('k', b, b === 'varchar' ? { pgType: 'character varying(20)' } : {})),
      )
  assert.is(two('int4', 'int8')().length, 2)
  assert.is(two('text', 'varchar')().length, 2)
  await assert.refuses(two('int4', 'int8', 3), 'TABLE_NOT_CAPTURABLE', /have 4 and 3 partitions/)
  await assert.refuses(two('int4', 'text'), 'TABLE_NOT_CAPTURABLE', /types \(integer\) and \(text\)/)
  for (const type of ['numeric', 'public.citext', 'float8'])
    await assert.refuses(
      two(type, type),
      'TABLE_NOT_CAPTURABLE',
      /public\.a has k \(.*\) in its partition key, where equal/,
    )
  assert.is(capture({ 'public.*': { partitionKey: ['k'] } }, table('a', column('k', 'numeric'))).length, 1)
})

test('a configuration without captured tables is an error', async () => {
  await assert.refuses(() => capture({ 'public.*': {} }), 'TABLE_NOT_CAPTURABLE', /no table of the database matches/)
})

test.run()
