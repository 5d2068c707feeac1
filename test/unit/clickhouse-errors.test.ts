// test/unit/clickhouse-errors.test: each failure of ClickHouse gets the right code and advice.

import { ClickHouseError } from '@clickhouse/client'
import { knownCodes } from '../../clickhouse/error-codes.ts'
import { clickhouseError } from '../../clickhouse/errors.ts'
import { assert, suite } from '../support/harness/suite.ts'

const test = suite('clickhouse errors')

const url = 'http://ch:8123'
const wrap = (code: number, message: string, carriesRecords = false) =>
  clickhouseError(new ClickHouseError({ message, code: String(code), type: 'X' }), url, 'SELECT 1', carriesRecords)
const library = (message: string, carriesRecords = false) =>
  clickhouseError(new Error(message), url, 'INSERT', carriesRecords)

test('passing failures are retried, whatever their code; failures that need an operator stop', () => {
  for (const code of [74, 75, 76, 173, 198, 201, 225, 241, 242, 243, 252, 279, 285, 289, 499, 745, 999])
    assert.is(wrap(code, 'm', true).retriable, true, `${code} ${knownCodes.get(code)?.name}`)
  for (const code of [60, 62, 164, 497, 516, 359, 40, 452])
    assert.is(wrap(code, 'm', true).retriable, false, `${code} ${knownCodes.get(code)?.name}`)
})

test('the error names the place in a statement without the texts in it', () => {
  const error = new ClickHouseError({ message: 'm', code: '60', type: 'X' })
  const { where } = clickhouseError(error, url, "SELECT count() FROM t WHERE name = 'Ada Lovelace'")
  assert.is(where, `${url}, statement: SELECT count() FROM t WHERE name = '…'`)
})

test('a full disk does not count as a bad record, although its exception has the same code', () => {
  const full = library(
    'std::exception. Code: 1001, type: std::filesystem::filesystem_error, No space left on device',
    true,
  )
  assert.is(full.code, 'CLICKHOUSE_BUSY')
  assert.match(full.next, /data directory/)
  const avro = library('std::exception. Code: 1001, type: avro::Exception, e.what() = Invalid data', true)
  assert.is(avro.code, 'CLICKHOUSE_REFUSED')
})

test('only an insert can fail because of a value, and its error does not show the value', () => {
  const message = "Cannot parse string 'n/a' as UInt32. Column values: a = 7, b = 'x'"
  const insert = wrap(6, message, true)
  assert.is(insert.code, 'CLICKHOUSE_REFUSED')
  assert.not.match(insert.message, /n\/a|7|'x'/)
  const select = wrap(407, 'Decimal convert overflow')
  assert.is(select.code, 'CLICKHOUSE_FAILED')
  assert.not.match(select.next, /isolated|dead.letter/)
})

test('each kind has an advice of its own', () => {
  const advice = (code: number) => wrap(code, 'm').next
  assert.match(advice(164), /profile without readonly.*CREATE TABLE.*INSERT/)
  assert.match(advice(516), /clickhouse\.user and clickhouse\.password/)
  assert.match(advice(201), /next interval of the quota/)
  assert.match(advice(60), /changed, dropped or made by hand/)
  assert.match(advice(359), /raise the limit/)
  assert.match(advice(36), /correct the SQL/)
  assert.match(wrap(62, 'Syntax error: Max query size exceeded').next, /raise the limit/)
  assert.match(advice(1002), /ClickHouse's own log/)
})

test.run()
