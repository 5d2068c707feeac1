// test/service/export.test: `millrace export` gives exactly the rows of a view, whole or not at
// all.

import { existsSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parse } from 'csv-parse/sync'
import { type Clickhouse, connectClickhouse } from '../../clickhouse/client.ts'
import { publish } from '../../clickhouse/publish.ts'
import { quoteString } from '../../clickhouse/quote.ts'
import { generationDatabase } from '../../contract/generation.ts'
import { startCommand } from '../support/harness/program.ts'
import { assert, suite } from '../support/harness/suite.ts'
import { type Servers, shareServers } from '../support/servers/services.ts'

const bigRows = 2_000_000
const generation = generationDatabase('exports', 1)
const directory = mkdtempSync(join(tmpdir(), 'export-'))

let services: Servers
let clickhouse: Clickhouse

const test = suite('export', { timeoutMs: 90_000 })

test.before(async () => {
  services = await shareServers(['clickhouse'])
  clickhouse = connectClickhouse({ url: services.endpoints.clickhouse!, user: 'default', password: '' })
  await clickhouse.command(`CREATE DATABASE ${generation} ENGINE = Atomic`)
  for (const statement of [
    `CREATE TABLE ${generation}.sales (day Date, sold_at DateTime64(6, 'UTC'), shop String, note Nullable(String),
      revenue Decimal(15, 2), share Nullable(Decimal(9, 4)), units UInt32, online Bool, tags Array(String)) ENGINE = MergeTree ORDER BY day`,
    `INSERT INTO ${generation}.sales VALUES
      ('2025-03-02', '2025-03-02 01:02:03.000004', 'Say "hi", twice', 'two\\nlines', -0.05, NULL, 0, false, []),
      ('2025-03-01', '2025-03-01 00:00:00', 'Zoë; 東京 🚀', NULL, 9999999999999.99, 0.1, 4294967295, true, ['a,b', 'c"d']),
      ('2025-03-01', '2025-03-01 00:00:00', '', '', 10, -1, 1, true, ['\\\\N'])`,
    `CREATE TABLE ${generation}.big (id UInt32, text String) ENGINE = MergeTree ORDER BY id`,
    `INSERT INTO ${generation}.big SELECT number, repeat(hex(sipHash64(number)), 4) FROM numbers(${bigRows})`,
    `CREATE TABLE ${generation}.nothing (id UInt32, text Nullable(String)) ENGINE = MergeTree ORDER BY id`,
  ])
    await clickhouse.command(statement)
  const views = ['sales', 'big', 'nothing'].map(name => ({ database: 'reports', name, source: name }))
  await publish(clickhouse, { generation, views, publisher: { pipeline: 'exports', kafkaCluster: 'none' } })
})
test.after(async () => {
  await clickhouse?.close()
  await services?.stop()
})

function millrace(...args: string[]) {
  const settings = ['--set', 'name=exports', '--set', `clickhouse.url=${services.endpoints.clickhouse}`]
  return startCommand(['--data', directory, ...settings, 'export', ...args]).ended
}

async function exported(name: string, ...args: string[]): Promise<string> {
  const file = join(directory, name)
  const { code, stdout, stderr } = await millrace(...args, '--output', file)
  assert.is(code, 0, stderr)
  assert.is(stdout, '')
  return file
}

test('CSV read back equals the sorted rows of the view: quotes, lines, money, nulls and empty texts', async () => {
  const { code, stdout, stderr } = await millrace('reports.sales')
  assert.is(code, 0, stderr)
  const header = 'day,sold_at,shop,note,revenue,share,units,online,tags'.split(',')
  // NULL differs from an empty text by its missing quotes.
  const cast = (text: string, { quoting }: { quoting: boolean }) => (text === '' && !quoting ? null : text)
  assert.equal(parse(stdout, { cast }), [
    header,
    ['2025-03-01', '2025-03-01T00:00:00.000000Z', '', '', '10.00', '-1.0000', '1', 'true', "['\\\\N']"],
    [
      '2025-03-01',
      '2025-03-01T00:00:00.000000Z',
      'Zoë; 東京 🚀',
      null,
      '9999999999999.99',
      '0.1000',
      '4294967295',
      'true',
      `['a,b','c"d']`,
    ],
    ['2025-03-02', '2025-03-02T01:02:03.000004Z', 'Say "hi", twice', 'two\nlines', '-0.05', null, '0', 'false', '[]'],
  ])
})

test('Parquet read back by ClickHouse has the rows and the types of the view', async () => {
  const file = await exported('sales.parquet', 'reports.sales')
  const body = readFileSync(file)
  assert.is(body.subarray(0, 4).toString(), 'PAR1')
  await clickhouse.command(`CREATE TABLE ${generation}.back AS ${generation}.sales`)
  await clickhouse.insert(`INSERT INTO ${generation}.back FORMAT Parquet`, [body], {})
  const rows = (table: string) => clickhouse.rows(`SELECT * FROM ${table} ORDER BY ALL`)
  assert.equal(await rows(`${generation}.back`), await rows('reports.sales'))
  const types = await clickhouse.rows<{ name: string; type: string }>(
    `DESCRIBE TABLE format(Parquet, unhex(${quoteString(body.toString('hex'))}))`,
  )
  const type = Object.fromEntries(types.map(each => [each.name, each.type]))
  assert.match(type.day!, 'Date')
  assert.match(type.sold_at!, 'DateTime64(6')
  assert.match(type.revenue!, 'Decimal(15, 2)')
})

test('millions of rows need little memory; a condition selects rows, and equal rows give equal files', async () => {
  const file = await exported('big.csv', 'reports.big')
  const lines = readFileSync(file, 'utf8').split('\n')
  assert.equal([lines.length, lines[0], lines[1]!.slice(0, 2)], [bigRows + 2, '"id","text"', '0,'])
  const part = ['reports.big', '--where', 'id % 7 = 3 -- a comment', '--format', 'parquet']
  const [one, other] = await Promise.all([exported('one', ...part), exported('other', ...part)])
  assert.ok(readFileSync(one).equals(readFileSync(other)))
})

test('an empty view gives a file with a header, or an empty Parquet file', async () => {
  assert.is(readFileSync(await exported('nothing.csv', 'reports.nothing'), 'utf8'), '"id","text"\n')
  const parquet = readFileSync(await exported('nothing.parquet', 'reports.nothing'))
  await clickhouse.insert(`INSERT INTO ${generation}.nothing FORMAT Parquet`, [parquet], {})
  assert.equal(await clickhouse.rows('SELECT * FROM reports.nothing'), [])
})

test('export replaces an existing file only on demand, and never a directory', async () => {
  const file = join(directory, 'kept.csv')
  writeFileSync(file, 'mine')
  const refused = await millrace('reports.sales', '--output', file)
  assert.is(refused.code, 2)
  assert.match(refused.stderr, /USAGE: the file exists already[\s\S]*--force/)
  assert.is(readFileSync(file, 'utf8'), 'mine')
  await exported('kept.csv', 'reports.sales', '--force')
  assert.match(readFileSync(file, 'utf8'), /^"day"/)
  const device = await millrace('reports.sales', '--output', '/dev/null', '--force')
  assert.is(device.code, 2)
  assert.match(device.stderr, 'what is there is no file')
})

test('a failed export leaves no file: at the last row, in the condition, at the directory', async () => {
  const file = join(directory, 'never.csv')
  const late = await millrace('reports.big', '--output', file, '--where', `throwIf(id = ${bigRows - 1}, 'the end') = 0`)
  assert.is(late.code, 2)
  assert.match(late.stderr, 'the end')
  const piped = await millrace('reports.big', '--where', `throwIf(id = ${bigRows - 1}) = 0`)
  assert.equal([piped.code, piped.stdout], [2, ''])
  const condition = await millrace('reports.big', '--output', file, '--where', 'idd = 3')
  assert.match(condition.stderr, /USAGE: .*idd[\s\S]*where: --where idd = 3/)
  const drop = await millrace('reports.big', '--where', '1) ; DROP TABLE reports.big --')
  assert.match(drop.stderr, 'USAGE: ')
  const nowhere = await millrace('reports.big', '--output', join(directory, 'no/such/place.csv'))
  assert.match(nowhere.stderr, 'USAGE: the file cannot be written')
  assert.not(existsSync(file))
  assert.equal(
    readdirSync(directory).filter(name => name.endsWith('.part')),
    [],
  )
})

test('an unknown view is refused with a list of the existing views', async () => {
  const { code, stderr } = await millrace('reports.sale')
  assert.is(code, 2)
  assert.match(stderr, /NOT_FOUND: there is no view reports\.sale\. Did you mean "reports\.sales"\?/)
  assert.match(stderr, 'reports.big, reports.nothing, reports.sales')
  assert.match((await millrace(`${generation}.sales`)).stderr, 'NOT_FOUND')
})

test.run()
