// test/unit/envelope.test: a record of the table is distinguished from every other record in its
// topic.
// avsc reads the values.

import fc from 'fast-check'
import { AvroWriter } from '../../contract/avro-writer.ts'
import { type Change, Encoder } from '../../contract/encode.ts'
import { Envelope } from '../../contract/envelope.ts'
import type { Column, Encoding, Table } from '../../contract/table.ts'
import { textRow } from '../support/fixtures/text-row.ts'
import { assert, suite } from '../support/harness/suite.ts'
import { createDecoder } from '../support/servers/decode.ts'

const test = suite('envelope')

const samples: Record<Encoding, readonly string[]> = {
  boolean: ['t', 'f'],
  int: ['0', '-1', '2147483647', '-2147483648', '63', '64'],
  long: ['0', '-1', '9223372036854775807', '-9223372036854775808'],
  float: ['1.5', 'NaN'],
  double: ['-0', 'Infinity'],
  decimal: ['0.00', '-99999999.99', '12.50'],
  date: ['2024-02-29', '1900-01-01'],
  timestamp: ['1970-01-01 00:00:00', '2024-06-01 12:00:00.123456'],
  timestamptz: ['2024-06-01 12:00:00+00', '1900-01-01 00:00:00+00'],
  uuid: ['00000000-0000-4000-8000-000000000000'],
  bytes: ['\\x', '\\x00ff'],
  string: ['', 'é', 'x'.repeat(200)],
}

const encodings = Object.keys(samples) as Encoding[]
const keyColumn = (name: string): Column => ({ name, pgType: 'integer', encoding: 'int', nullable: false })
const others = fc.array(fc.record({ encoding: fc.constantFrom(...encodings), nullable: fc.boolean() }), {
  maxLength: 8,
})
const tables = fc.tuple(others, fc.nat(8)).map(([columns, place]): Table => {
  const rest = columns.map(
    ({ encoding, nullable }, index): Column => ({
      ...{ name: `c${index}`, pgType: encoding, encoding, nullable },
      ...(encoding === 'decimal' ? { precision: 10, scale: 2 } : {}),
    }),
  )
  // The key's columns are among the others, in another order.
  const all = [...rest.slice(0, place), keyColumn('second'), ...rest.slice(place), keyColumn('first')]
  return { schema: 'S', name: 'a"b', columns: all, key: ['first', 'second'], partitionKey: ['first'] }
})
const operations = fc.constantFrom<Change['op']>('r', 'c', 'u', 'd', 't')
const records = fc
  .tuple(tables, operations, fc.nat(2 ** 31), fc.nat(9))
  .chain(([table, op, lsn, ordinal]) =>
    fc.tuple(rowOf(table), rowOf(table)).map(([before, after]) => encode(table, { op, lsn, ordinal }, before, after)),
  )

function rowOf({ columns }: Table) {
  return fc.tuple(
    ...columns.map(({ encoding, nullable, name }) => {
      const values = name === 'first' || name === 'second' ? ['7', '-300'] : samples[encoding]
      return nullable ? fc.constantFrom<string | null>(null, ...values) : fc.constantFrom<string | null>(...values)
    }),
  )
}

interface Encoded {
  readonly table: Table
  readonly change: Pick<Change, 'op' | 'lsn' | 'ordinal'>
  readonly key: Buffer | null
  readonly value: Buffer
}

const schemaId = 77

function encode(table: Table, change: Encoded['change'], before: (string | null)[], after: (string | null)[]): Encoded {
  const encoder = new Encoder({ table, keySchemaId: 76, valueSchemaId: schemaId, maxImageBytes: 1e6 }, new AvroWriter())
  const identity = table.columns.map(({ name }) => name === 'first' || name === 'second')
  const sameKey = after.map((value, index) => (identity[index] ? before[index]! : value))
  const whole = { ...change, txId: 9, commitTimeUs: 1_795_237_595_514_425, snapshot: change.op === 'r', madeAtMs: 5 }
  const has = { before: change.op === 'u' || change.op === 'd', after: change.op !== 'd' && change.op !== 't' }
  encoder.encode(whole, has.before ? textRow(before) : undefined, has.after ? textRow(sameKey) : undefined)
  const { writer, keyEnd, valueEnd } = encoder
  const key = change.op === 't' ? null : Buffer.from(writer.buffer.subarray(0, keyEnd))
  return { table, change, key, value: Buffer.from(writer.buffer.subarray(keyEnd, valueEnd)) }
}

function read(table: Table, key: Buffer | null, value: Buffer | null): { why: string | undefined; envelope: Envelope } {
  const envelope = new Envelope(table, id => id === schemaId)
  // Other bytes surround the value, as in a batch.
  const around = Buffer.from([0xff, 0, 2])
  const buffer = Buffer.concat([around, key ?? Buffer.alloc(0), value ?? Buffer.alloc(0), around])
  const keyEnd = 3 + (key?.length ?? 0)
  const valueStart = value === null ? -1 : keyEnd
  const why = envelope.read(buffer, key === null ? -1 : 3, keyEnd, valueStart, keyEnd + (value?.length ?? 0))
  return { why, envelope }
}

test('every record of the producer is recognized, with its position', () => {
  fc.assert(
    fc.property(records, ({ table, change, key, value }) => {
      const { why, envelope } = read(table, key, value)
      assert.is(why, undefined)
      assert.equal({ op: envelope.op, lsn: envelope.lsn, ordinal: envelope.ordinal }, { ...change })
    }),
  )
})

test('a record of another table, with another key or none, truncated, or with trailing bytes is foreign', () => {
  fc.assert(
    fc.property(records, ({ table, change, key, value }) => {
      const isForeign = (some: Buffer | null, other: Buffer | null, of = table) =>
        assert.type(read(of, some, other).why, 'string')
      isForeign(key, null)
      isForeign(key, value.subarray(0, -1))
      isForeign(key, Buffer.concat([value, Buffer.from([0])]))
      isForeign(key, value, { ...table, name: 'a"c' })
      isForeign(change.op === 't' ? Buffer.from('key') : null, value)
      const anotherId = Buffer.from(value)
      anotherId.writeUInt32BE(schemaId + 1, 1)
      isForeign(key, anotherId)
      if (key === null) return
      const anotherKey = Buffer.from(key)
      anotherKey[key.length - 1]! ^= 2
      isForeign(anotherKey, value)
      isForeign(Buffer.concat([key, Buffer.from([0])]), value)
      isForeign(key.subarray(5), value)
    }),
  )
})

test('bytes that are accepted are an Avro value with that position', () => {
  let passed = 0
  fc.assert(
    fc.property(records, fc.nat(), fc.nat(255), ({ table, key, value }, at, byte) => {
      const changed = Buffer.from(value)
      changed[at % changed.length] = byte
      const { why, envelope } = read(table, key, changed)
      if (why !== undefined) return
      passed++
      const { lsn, ordinal, op, schema, table: name } = createDecoder(table).head(changed)
      assert.equal([lsn, ordinal, op, schema, name], [envelope.lsn, envelope.ordinal, envelope.op, 'S', 'a"b'])
    }),
    { numRuns: 400 },
  )
  assert.ok(passed > 20, `${passed} changed records passed`)
})

test('a decimal of zero bytes is foreign, however its length is encoded', () => {
  const amount: Column = {
    name: 'amount',
    pgType: 'numeric(10,2)',
    encoding: 'decimal',
    nullable: false,
    precision: 10,
    scale: 2,
  }
  const columns = [keyColumn('first'), keyColumn('second'), amount]
  const table: Table = { schema: 'S', name: 'a"b', columns, key: ['first', 'second'], partitionKey: [] }
  const { key, value } = encode(table, { op: 'c', lsn: 1, ordinal: 0 }, [], ['7', '7', '0.00'])
  assert.is(read(table, key, value).why, undefined)
  assert.equal([...value.subarray(-2)], [2, 0], 'it is the last: its length, and one byte')
  for (const length of [[0], [0x80, 0]])
    assert.type(read(table, key, Buffer.concat([value.subarray(0, -2), Buffer.from(length)])).why, 'string')
})

test('text, JSON and random bytes are foreign', () => {
  const { table, key } = encode(
    {
      schema: 'S',
      name: 'a"b',
      columns: [keyColumn('second'), keyColumn('first')],
      key: ['first', 'second'],
      partitionKey: [],
    },
    { op: 'c', lsn: 1, ordinal: 0 },
    ['1', '2'],
    ['1', '2'],
  )
  for (const text of ['', 'hi', 'hello, this is a text', '{"id":1,"amount":2}'])
    for (const some of [null, key, Buffer.from('k1')]) assert.type(read(table, some, Buffer.from(text)).why, 'string')
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.boolean(), (noise, ours) => {
      const start = ours ? Buffer.from([0, 0, 0, 0, schemaId]) : Buffer.alloc(0)
      assert.type(read(table, key, Buffer.concat([start, noise])).why, 'string')
    }),
  )
})

test.run()
