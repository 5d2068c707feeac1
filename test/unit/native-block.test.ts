// test/unit/native-block: records as a block of ClickHouse's Native format, byte by byte.

import { NativeBlock } from '../../clickhouse/native-block.ts'
import { wireHeaderBytes } from '../../contract/head.ts'
import type { Column, Table } from '../../contract/table.ts'
import { RecordEncoder } from '../support/fixtures/encoded-record.ts'
import { assert, suite } from '../support/harness/suite.ts'

const test = suite('native block')

type Bare = Pick<Column, 'encoding'> & Partial<Column>

function tableOf(...columns: Bare[]): Table {
  const named = columns.map((column, index): Column => ({ name: `c${index}`, pgType: '', nullable: false, ...column }))
  return { schema: 's', name: 't', columns: named, key: ['c0'], partitionKey: ['c0'] }
}

/** The bytes of the block's first column after its name and type. */
function firstColumn(column: Bare, texts: readonly (string | null)[]): string {
  const table = tableOf(column)
  const encoder = new RecordEncoder(table)
  const block = new NativeBlock(table)
  for (const text of texts) assert.ok(append(block, encoder.value({ op: 'c' }, undefined, [text])), String(text))
  const [, , ...values] = block.chunks()
  return Buffer.concat(values.slice(0, column.nullable ? 2 : 1)).toString('hex')
}

function append(block: NativeBlock, value: Buffer): boolean {
  return block.append(0, 0, value, wireHeaderBytes, value.length)
}

test('numbers are little-endian, of the size of their type', () => {
  assert.is(firstColumn({ encoding: 'boolean' }, ['t', 'f']), '0100')
  assert.is(firstColumn({ encoding: 'int', pgType: 'smallint' }, ['-2', '300']), 'feff2c01')
  assert.is(firstColumn({ encoding: 'int', pgType: 'integer' }, ['-2147483648', '1']), '0000008001000000')
  assert.is(firstColumn({ encoding: 'long', pgType: 'oid' }, ['4294967295', '1']), 'ffffffff01000000')
  assert.is(
    firstColumn({ encoding: 'long', pgType: 'bigint' }, ['-9223372036854775808', '4294967296']),
    '00000000000000800000000001000000',
  )
  assert.is(firstColumn({ encoding: 'float' }, ['1', '-Infinity']), '0000803f000080ff')
  assert.is(firstColumn({ encoding: 'double' }, ['1']), '000000000000f03f')
  assert.is(firstColumn({ encoding: 'date' }, ['1970-01-02', '1969-12-31']), '01000000ffffffff')
  assert.is(
    firstColumn({ encoding: 'timestamptz' }, ['1970-01-01 00:00:01+00', '1969-12-31 23:59:59.999999+00']),
    '40420f0000000000ffffffffffffffff',
  )
})

test('a decimal has the size of its precision', () => {
  const decimal = (precision: number, text: string) => firstColumn({ encoding: 'decimal', precision, scale: 2 }, [text])
  assert.is(decimal(9, '-0.02'), 'feffffff')
  assert.is(decimal(10, '2.56'), '0001000000000000')
  assert.is(decimal(19, '-0.01'), 'ff'.repeat(16))
  assert.is(decimal(39, '1.28'), `80${'00'.repeat(31)}`)
})

test('a uuid is two little-endian numbers, and a text follows its length', () => {
  assert.is(
    firstColumn({ encoding: 'uuid' }, ['00112233-4455-6677-8899-aabbccddeeff']),
    '7766554433221100ffeeddccbbaa9988',
  )
  assert.is(firstColumn({ encoding: 'string' }, ['', 'ü', 'x'.repeat(128)]), `0002c3bc8001${'78'.repeat(128)}`)
  assert.is(firstColumn({ encoding: 'bytes' }, ['\\x00ff', '\\x']), '0200ff00')
})

test('a nullable column has a byte per row before its values, and a default value below each NULL', () => {
  const nullable = true
  assert.is(
    firstColumn({ encoding: 'int', pgType: 'integer', nullable }, ['7', null, '8']),
    '000100070000000000000008000000',
  )
  assert.is(firstColumn({ encoding: 'string', nullable }, [null, 'a', null]), '01000100016100')
})

test('a value that is NULL in a block leaves nothing of the block before it', () => {
  const table = tableOf({ encoding: 'long', pgType: 'bigint', nullable: true }, { encoding: 'string', nullable: true })
  const encoder = new RecordEncoder(table)
  const block = new NativeBlock(table)
  append(block, encoder.value({ op: 'c' }, undefined, ['-1', 'long text']))
  block.reset()
  append(block, encoder.value({ op: 'c' }, undefined, [null, null]))
  const fresh = new NativeBlock(table)
  append(fresh, encoder.value({ op: 'c' }, undefined, [null, null]))
  assert.is(Buffer.concat(block.chunks()).toString('hex'), Buffer.concat(fresh.chunks()).toString('hex'))
})

test('an update is two rows, and every row has the position and the place of its record', () => {
  const table = tableOf({ encoding: 'boolean' })
  const encoder = new RecordEncoder(table)
  const block = new NativeBlock(table)
  const [lsn, ordinal, commitTimeUs] = [2 ** 40 + 1, 2 ** 33 + 2, 3]
  const value = encoder.value({ op: 'u', lsn, ordinal, commitTimeUs }, ['f'], ['t'])
  assert.ok(block.append(7, 2 ** 34 + 4, value, wireHeaderBytes, value.length))
  assert.is(block.count, 1)
  assert.is(block.rows, 2)
  const [counts, ...rest] = block.chunks().map(chunk => chunk.toString('hex'))
  assert.is(counts, '0902')
  const values = rest.filter((_, index) => index % 2 === 1)
  const [position, number] = ['0100000000010000', '0200000002000000']
  assert.equal(values, [
    '0001',
    'ff01',
    '01750175',
    position.repeat(2),
    number.repeat(2),
    (number + position).repeat(2),
    '07000000'.repeat(2),
    '0400000004000000'.repeat(2),
    '0300000000000000'.repeat(2),
  ])
})

test('a delete is one row of its old image, and a record is refused as a TRUNCATE', () => {
  const table = tableOf({ encoding: 'boolean' })
  const encoder = new RecordEncoder(table)
  const block = new NativeBlock(table)
  assert.ok(append(block, encoder.value({ op: 'd' }, ['t'], undefined)))
  const [, , image, , sign] = block.chunks().map(chunk => chunk.toString('hex'))
  assert.equal([image, sign], ['01', 'ff'])
  assert.not(append(block, encoder.value({ op: 't' }, undefined, undefined)))
})

test('a value that the type of its column may not hold is not sent as Native', () => {
  const long = (text: string, column: Bare) => {
    const wide = tableOf({ encoding: 'long', pgType: 'bigint' })
    return append(new NativeBlock(tableOf(column)), new RecordEncoder(wide).value({ op: 'c' }, undefined, [text]))
  }
  const fits = (least: string, most: string, column: Bare) => {
    for (const text of [least, most]) assert.ok(long(text, column), text)
    for (const text of [BigInt(least) - 1n, BigInt(most) + 1n]) assert.not(long(String(text), column), String(text))
  }
  fits('-32768', '32767', { encoding: 'int', pgType: 'smallint' })
  fits('-2147483648', '2147483647', { encoding: 'int', pgType: 'integer' })
  fits('0', '4294967295', { encoding: 'long', pgType: 'oid' })
  fits('-25567', '120529', { encoding: 'date' })
  fits('-2208988800000000', '10413791999999999', { encoding: 'timestamp' })
  const text = (value: string, column: Bare) => {
    const wide = tableOf({ encoding: 'string' })
    return append(new NativeBlock(tableOf(column)), new RecordEncoder(wide).value({ op: 'c' }, undefined, [value]))
  }
  assert.ok(text('00112233-4455-6677-8899-AABBCCDDEEFF', { encoding: 'uuid' }))
  for (const value of ['', '00112233445566778899aabbccddeeff', '00112233-4455-6677-8899-aabbccddeefg'])
    assert.not(text(value, { encoding: 'uuid' }), value)
  assert.ok(text('1234', { encoding: 'decimal', precision: 9, scale: 0 }))
  for (const value of ['', '12345']) assert.not(text(value, { encoding: 'decimal', precision: 9, scale: 0 }), value)
  const twice = new RecordEncoder(tableOf({ encoding: 'string' })).value({ op: 'c' }, undefined, ['\u0002'])
  assert.not(append(new NativeBlock(tableOf({ encoding: 'boolean' })), twice), 'a boolean of 2')
})

test.run()
