// test/unit/import.test: lines, records and values of a CSV file, split at any byte and with any
// fault.
// The tests of Postgres are in test/service.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { readHeader, readVisit } from '../../import/columns.ts'
import { inspectFile } from '../../import/file.ts'
import { LineCutter, longestLine } from '../../import/lines.ts'
import { type CsvRecord, RecordJoiner } from '../../import/records.ts'
import { writeFixture } from '../support/harness/program.ts'
import { assert, suite } from '../support/harness/suite.ts'

const start = { bytes: 0, line: 0 }

/** The records of a text that arrives in pieces of this size. */
function records(text: string | Buffer, piece = 1_000): { found: CsvRecord[]; done: { bytes: number; line: number } } {
  const bytes = Buffer.from(text)
  const cutter = new LineCutter(start)
  const joiner = new RecordJoiner(start)
  const found: CsvRecord[] = []
  for (let at = 0; at < bytes.length; at += piece) {
    // A copy, since the reader reuses one buffer.
    for (const line of cutter.cut(Buffer.from(bytes.subarray(at, at + piece)))) joiner.push(line, found)
  }
  for (const line of cutter.end()) joiner.push(line, found)
  joiner.end(found)
  return { found, done: joiner.done }
}

/** Values by line; a string for a fault. */
function values(text: string | Buffer, piece?: number): [number, readonly string[] | string][] {
  return records(text, piece).found.map(({ line, fields }) => [line, 'fault' in fields ? fields.fault : fields])
}

const test = suite('CSV import')

test('LF, CR LF and CR end lines, mixed and split anywhere; empty lines count and are skipped', () => {
  const text = 'a,b\r\nc,d\ne,f\r\r\n\ng,h'
  const expected = [
    [1, ['a', 'b']],
    [2, ['c', 'd']],
    [3, ['e', 'f']],
    [6, ['g', 'h']],
  ]
  for (let piece = 1; piece < 20; piece++) assert.equal(values(text, piece), expected, `in pieces of ${piece}`)
  assert.equal(records(text).done, { bytes: text.length, line: 6 })
})

test('values in quotes keep commas, quotes and line ends, and the next line its number', () => {
  const text = '"a,1","say ""so"""\n"two\r\nlines",x\nlast,y\n'
  for (const piece of [1, 3, 7, 100]) {
    assert.equal(values(text, piece), [
      [1, ['a,1', 'say "so"']],
      [2, ['two\r\nlines', 'x']],
      [4, ['last', 'y']],
    ])
  }
})

test('a stray quote spoils its own line, not the next ones', () => {
  const open = values('a,"b\nc,"d,e"\nf,g\n')
  assert.equal(
    open.map(([line]) => line),
    [1, 2, 3],
  )
  assert.match(String(open[0]![1]), /quote/)
  assert.equal(open.slice(1), [
    [2, ['c', 'd,e']],
    [3, ['f', 'g']],
  ])
  const never = values(`a,"b\n${'x,y\n'.repeat(300)}`)
  assert.equal(never[0], [1, 'a quote is opened and not closed'])
  assert.is(never.length, 301)
  assert.equal(
    values('x"y\nz"w\nok,1\n').map(([line, found]) => [line, typeof found]),
    [
      [1, 'string'],
      [2, 'string'],
      [3, 'object'],
    ],
  )
})

test('a line that is too long is one fault, of any size and split anywhere', () => {
  const long = 'x'.repeat(longestLine + 1)
  for (const piece of [1_000, longestLine, 3 * longestLine]) {
    const found = values(`a,b\n${long}\r\nc,d\n"${long}`, piece)
    assert.equal(
      found.map(([line]) => line),
      [1, 2, 3, 4],
      `in pieces of ${piece}`,
    )
    assert.is(found[1]![1], `the line has ${longestLine + 1} bytes, and ${longestLine} are the most`)
    assert.equal(found[2]![1], ['c', 'd'])
  }
  const [, record] = records(`a\n${long}\n`).found
  assert.ok(record!.original().length < 1_100)
})

test('invalid UTF-8 and NUL are named with their place; the kept line shows them', () => {
  const text = Buffer.concat([Buffer.from('größe,é💥\n'), Buffer.from('gr\xf6\xdfe,x\na\0b,c\n', 'latin1')])
  for (const piece of [1, 5, 100]) {
    const found = values(text, piece)
    assert.equal(found[0], [1, ['größe', 'é💥']])
    assert.match(String(found[1]![1]), /no UTF-8/)
    assert.match(String(found[2]![1]), /NUL byte at byte 2/)
  }
  assert.equal(
    records(text)
      .found.slice(1)
      .map(({ original }) => original()),
    ['gr\\xf6\\xdfe,x', 'a\\x00b,c'],
  )
})

test('the output of a CSV writer is read back, split anywhere', () => {
  const field = fc.string({ unit: fc.constantFrom('a', ',', '"', '\n', '\r', 'é', '💥', ' '), maxLength: 6 })
  const rows = fc.array(fc.array(field, { minLength: 2, maxLength: 4 }), { minLength: 1, maxLength: 6 })
  fc.assert(
    fc.property(rows, fc.constantFrom('\n', '\r\n', '\r'), fc.integer({ min: 1, max: 9 }), (table, eol, piece) => {
      const text = table.map(row => row.map(value => `"${value.replaceAll('"', '""')}"`).join(',') + eol).join('')
      assert.equal(
        records(text, piece).found.map(({ fields }) => fields),
        table,
      )
    }),
  )
})

test('a header names each column once, in any order; every fault of it is named', async () => {
  const header = readHeader(['cost', ' landing_page ', 'visited_at', 'customer_id', 'traffic_source'], 'x.csv')
  assert.equal(header, { visited_at: 2, traffic_source: 4, customer_id: 3, landing_page: 1, cost: 0 })
  const bad = () => readHeader(['visited_at', 'traffic_sorce', 'cost', 'cost', 'customer_id'], 'x.csv')
  const { message } = await assert.refuses(bad, 'IMPORT_UNREADABLE')
  for (const part of [
    'landing_page is missing',
    '"traffic_sorce" is no column. Did you mean "traffic_source"?',
    'cost is there twice',
  ]) {
    assert.match(message, part)
  }
  const semicolons = await assert.refuses(() => readHeader(['visited_at;cost'], 'x.csv'), 'IMPORT_UNREADABLE')
  assert.match(semicolons.next, 'commas')
})

test('values are checked to the last digit, and never rounded or carried over', () => {
  const header = readHeader(['visited_at', 'traffic_source', 'customer_id', 'landing_page', 'cost'], 'x.csv')
  const read = (change: Record<number, string>) => {
    const fields = ['2025-11-21T09:30:00Z', 'Search', '7', '/', '0.35']
    for (const [at, value] of Object.entries(change)) fields[Number(at)] = value
    return readVisit(fields, header)
  }
  assert.equal(read({}), {
    visitedAt: '2025-11-21T09:30:00Z',
    source: 'Search',
    customer: '7',
    page: '/',
    cost: '0.35',
  })
  const good = [
    { 0: '2024-02-29 23:59' },
    { 0: '2000-01-01T00:00:00.123456+00:00' },
    { 0: '2025-01-01T00:00:00-0930' },
    { 2: '' },
    { 2: '9223372036854775807' },
    { 4: '0' },
    { 4: '9999999999999.99' },
  ]
  for (const change of good) assert.type(read(change), 'object', JSON.stringify(change))
  const bad = [
    ...[
      '',
      '2025-02-29T00:00:00Z',
      '2025-13-01',
      '2025-01-01T24:00:00Z',
      '2025-01-01T00:00:60Z',
      '1999-12-31T23:59:59Z',
      '2100-01-01T00:00:00Z',
      '2000-01-01T00:00:00+01:00',
      '2025-01-01T00:00:00+16:00',
      '21.11.2025 09:30',
      'now',
      'infinity',
    ].map(value => ({ 0: value })),
    ...[''].map(value => ({ 1: value })),
    ...['0', '-1', '1.0', '9223372036854775808', 'x', ' 7'].map(value => ({ 2: value })),
    ...['', 'x'.repeat(2_049)].map(value => ({ 3: value })),
    ...['', '-1', '1,50', '0.001', '1e3', '10000000000000', 'NaN', '1.'].map(value => ({ 4: value })),
  ]
  for (const change of bad) assert.type(read(change), 'string', JSON.stringify(change))
  assert.match(String(readVisit(['a'], header)), '1 value where the header names 5 columns')
})

test('a missing, empty, UTF-16 or compressed file is refused as a whole', async () => {
  const directory = writeFixture({})
  const refuse = async (bytes: readonly number[], part: RegExp) => {
    const path = join(directory, 'f.csv')
    writeFileSync(path, Buffer.from(bytes))
    await assert.refuses(() => inspectFile(path), 'IMPORT_UNREADABLE', part)
  }
  await refuse([], /empty/)
  await refuse([0xff, 0xfe, 0x61, 0x00], /UTF-16/)
  await refuse([0xfe, 0xff, 0x00, 0x61], /UTF-16/)
  await refuse([0x1f, 0x8b, 8, 0], /gzip/)
  await assert.refuses(() => inspectFile(directory), 'IMPORT_UNREADABLE')
  await assert.refuses(() => inspectFile(join(directory, 'none.csv')), 'IMPORT_UNREADABLE', /no such file/)
})

test.run()
