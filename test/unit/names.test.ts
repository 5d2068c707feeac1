// test/unit/names.test: reserved names, and arbitrary names of users.

import { changelogColumns, tableStatements } from '../../clickhouse/ddl.ts'
import { reservedColumns, topicName } from '../../contract/names.ts'
import { tableName } from '../../contract/table.ts'
import { mapType } from '../../contract/types.ts'
import type { MemberFacts, TableFacts } from '../../postgres/catalog/facts.ts'
import {
  quoteName,
  quoteOnly,
  quoteReplicationName,
  quoteReplicationString,
  quoteString,
  quoteTable,
} from '../../postgres/client/quote.ts'
import { compareMembers } from '../../producer/catalog/compare-members.ts'
import { assert, suite } from '../support/harness/suite.ts'

const test = suite('names')

test('no captured column may have the name of a column that the ClickHouse tables add', () => {
  for (const [name] of changelogColumns) assert.ok(reservedColumns.has(name), name)
  const column = { name: 'id', pgType: 'integer', encoding: 'int', nullable: false } as const
  const statements = tableStatements({ schema: 's', name: 't', columns: [column], key: ['id'], partitionKey: ['id'] })
  const added = statements.flatMap(sql => [...sql.matchAll(/^\s*(_\w+) \w|, (_\w+) \w/gm)].map(([, a, b]) => a ?? b!))
  assert.ok(added.includes('_deleted'))
  for (const name of added) assert.ok(reservedColumns.has(name), name)
})

test('no two tables have the same name in messages and maps, and no name breaks a line', () => {
  const table = (schema: string, name: string) => tableName({ schema, name })
  assert.is(table('public', 'Order items'), 'public.Order items')
  const pairs = [
    ...[
      ['a.b', 'c'],
      ['a', 'b.c'],
      ['"a', 'b"'],
      ['a', '"b"'],
      ['a', 'b'],
    ],
    ...[
      ['a\n', 'b'],
      ['a\\n', 'b'],
      ['a', '.'],
      ['a', '..'],
      ['', 'a'],
    ],
  ] as [string, string][]
  const names = pairs.map(([schema, name]) => table(schema, name))
  assert.is(new Set(names).size, names.length, names.join(' '))
  for (const name of names) assert.not.match(name, /\n/)
})

test('topics of two tables never differ only in characters that Kafka considers equal', () => {
  const parts = [
    'a',
    'b',
    'a_b',
    'b_c',
    'a.b',
    'b.c',
    '_',
    '__',
    '_x5f_',
    '_x2e_',
    'x_5f',
    '.',
    'a-b',
    'A',
    'ü',
    '_a',
    'a_',
    'a__b',
    'a._b',
  ]
  parts.push('2', '2_a', '-', '-x2d-', 'x2d')
  const pipelines = [
    ['p', 1],
    ['p_1', 2],
    ['p', 12],
    ['p_1_2', 2],
  ] as const
  const topics = pipelines.flatMap(([pipeline, generation]) =>
    parts.flatMap(schema => parts.map(name => topicName(pipeline, generation, schema, name))),
  )
  const collided = topics.map(topic => topic.replaceAll('.', '_'))
  assert.is(new Set(collided).size, topics.length)
  assert.is(topicName('p', 1, 'public', 'order_items'), 'p.1.public.order_items')
})

test('a name in a statement for copy and paste is one identifier on one line', () => {
  assert.is(quoteTable({ schema: 'public', name: 'x"; DROP TABLE y; --' }), '"public"."x""; DROP TABLE y; --"')
  assert.is(quoteName('a\nb\\c"'), 'U&"a\\000Ab\\\\c"""')
  assert.is(quoteOnly({ schema: 'a', name: 'b', kind: 'r' }), 'ONLY "a"."b"')
  assert.is(quoteOnly({ schema: 'a', name: 'b', kind: 'p' }), '"a"."b"')
  assert.equal([quoteString("it's"), quoteString("\\it's")], ["'it''s'", "E'\\\\it''s'"])
  assert.equal([quoteReplicationName('a\nb"'), quoteReplicationString("\\'")], ['"a\nb"""', "'\\'''"])
  const member: MemberFacts = {
    ...{ oid: 8, schema: 'public', name: 'x; DROP TABLE y; --', kind: 'r', persistence: 'p', identity: 'd' },
    ...{ link: '1', file: 1, toast: 1 },
  }
  const facts: TableFacts = {
    ...{ schema: 'public', name: 'items', kind: 'p', columns: [], key: undefined, members: [member], types: [] },
    ...{ published: undefined, publishedRoots: [] },
  }
  const [found] = compareMembers(facts, facts, []).differences
  assert.match(found!.what, /run: ALTER TABLE "public"\."x; DROP TABLE y; --" REPLICA IDENTITY FULL$/)
})

test('a type may have the name of a property of Object.prototype', () => {
  for (const name of ['constructor', '__proto__', 'toString', 'hasOwnProperty']) {
    for (const kind of ['b', 'c', 'r'])
      assert.is(typeof mapType({ name, kind, typeModifier: -1 }).reason, 'string', `${kind} ${name}`)
    assert.equal(mapType({ name, kind: 'e', typeModifier: -1 }), { fidelity: 'exact', encoding: 'string' })
    assert.is(mapType({ name, kind: 'b', typeModifier: -1 }).encoding, 'string')
  }
})

test.run()
