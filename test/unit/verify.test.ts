// test/unit/verify.test: how values of reports are normalized, how several attempts combine, which
// checks belong to a model, and the printed result.

import { describe, exitCodeOf } from '../../cli/verify.ts'
import type { Column, Table } from '../../contract/table.ts'
import { loadChecks, uncheckedViews, withPolicies } from '../../verify/checks.ts'
import { type ReportComparison, ReportVerdict } from '../../verify/compare-reports.ts'
import { normalize } from '../../verify/normalize-value.ts'
import type { DifferingRow } from '../../verify/reports.ts'
import type { Verification } from '../../verify/verify.ts'
import { writeFixture } from '../support/harness/program.ts'
import { assert, suite } from '../support/harness/suite.ts'

const test = suite('verify')

const look = (...keys: string[]) => ({
  rows: 10,
  differing: new Map(keys.map(key => [key, { key, state: 'missing' } satisfies DifferingRow])),
})

test('numbers are equal by their value, exactly', () => {
  const same = (...texts: unknown[]) =>
    assert.is(new Set(texts.map(text => normalize('number', text))).size, 1, `${texts}`)
  same('0.1000', '0.1', '00.10', 0.1)
  same('5', '5.00', 5, '5.')
  same('0', '0.00', '-0.00', 0)
  same('100', '100.0', 100)
  same('-12.30', '-12.3')
  assert.is(normalize('number', '12345678901234567890.10'), '12345678901234567890.1')
  assert.is.not(normalize('number', '9007199254740993'), normalize('number', '9007199254740992'))
  assert.is.not(normalize('number', '0.01'), normalize('number', '0.001'))
})

test('times, booleans and floats are equal in any spelling', () => {
  assert.is(normalize('time', '2025-01-31 10:00:00.5+00'), normalize('time', '2025-01-31T10:00:00.500000Z'))
  assert.is(normalize('time', '2025-01-31 10:00:00'), normalize('time', '2025-01-31T10:00:00Z'))
  assert.is.not(normalize('time', '2025-01-31 10:00:00'), normalize('time', '2025-01-31 10:00:01'))
  assert.equal(
    ['t', true, 1, 'f', false, 0].map(value => normalize('boolean', value)),
    [...['true', 'true', 'true'], ...['false', 'false', 'false']],
  )
  assert.is.not(normalize('boolean', 'f'), normalize('boolean', 2))
  assert.is(normalize('float', '1e-07'), normalize('float', 1e-7))
  assert.is(normalize('float', '-Infinity'), normalize('float', '-inf'))
})

test('no text looks like NULL or like a number', () => {
  assert.is(normalize('text', null), 'NULL')
  assert.is(normalize('text', 'NULL'), "'NULL'")
  assert.is(normalize('text', null), normalize('number', undefined))
  assert.is.not(normalize('text', '5.00'), normalize('text', '5'))
  assert.is(normalize('text', "it's, 'x"), "'it''s, ''x'")
})

test('a difference counts only where the source was at rest', () => {
  const trial = new ReportVerdict()
  trial.add(look('a', 'b'), false)
  assert.is(trial.state, 'undecided')
  trial.add(look('b'), true)
  assert.is(trial.state, 'different')
  assert.equal(trial.result(), { state: 'different', rows: 10, differing: 1, keys: [{ key: 'b', state: 'missing' }] })
})

test('a report is equal when every row was equal once, and undecided while some row never was', () => {
  const trial = new ReportVerdict()
  trial.add(look('today', 'yesterday'), false)
  trial.add(look('today', 'tomorrow'), false)
  assert.equal(trial.result(), {
    state: 'undecided',
    rows: 10,
    differing: 1,
    keys: [{ key: 'today', state: 'missing' }],
  })
  trial.add(look('tomorrow'), false)
  assert.is(trial.state, 'equal')
})

test('a row that differs at rest is different, though it was equal before', () => {
  const trial = new ReportVerdict()
  trial.add(look('a'), false)
  trial.add(look('b'), true)
  assert.equal(trial.result().keys, [{ key: 'b', state: 'missing' }])
})

const published = (database: string, ...names: string[]) => names.map(name => ({ database, name, source: name }))

test('a check belongs to a published view; a view beside checked ones must have one', () => {
  const check = '-- key: day, name\nSELECT {as_of}, {time_zone}'
  const directory = writeFixture({ 'checks/b.sql': check, 'checks/a.sql': check, 'checks/README.md': 'no check' })
  const publish = [...published('reports', 'b', 'a', 'c'), ...published('raw', 'log')]
  const checks = loadChecks({ directory, publish }, 'Europe/Berlin')
  assert.equal(
    checks.map(({ name, key }) => [name, ...key]),
    [
      ['a', 'day', 'name'],
      ['b', 'day', 'name'],
    ],
  )
  assert.match(checks[0]!.sql, 'SELECT {as_of}, Europe/Berlin')
  assert.equal(uncheckedViews({ publish }, checks), ['c'])
  assert.equal(loadChecks({ directory: `${directory}/nowhere`, publish }, 'UTC'), [])
})

test('personal columns are computed from the sent values, in any check', () => {
  const column = (name: string, policy?: 'mask' | 'hash') => ({ name, ...(policy && { policy }) }) as Column
  const columns = [column('id'), column('name', 'mask'), column('email', 'hash')]
  const sql = '{s.people.id} {s.people.name} {s.people.email} {s.people.phone} {s.other.name} {as_of}'
  const check = { name: 'a', database: 'reports', key: ['id'], sql }
  const [filled] = withPolicies([check], [{ schema: 's', name: 'people', columns } as unknown as Table])
  assert.match(
    filled!.sql,
    /^people.id regexp_replace\(people.name, .*'g'\) current_setting\(.*people.email.*\) NULL other.name \{as_of\}$/,
  )
})

test('a model without checks has no checked view', () => {
  assert.equal(uncheckedViews({ publish: [...published('a', 'x'), ...published('b', 'y')] }, []), ['x', 'y'])
})

test('a check without a key, of an unpublished view, or of a view in two databases, is refused', async () => {
  const directory = writeFixture({ 'checks/a.sql': 'SELECT 1' })
  await assert.refuses(
    () => loadChecks({ directory, publish: published('reports', 'a') }, 'UTC'),
    'CONFIG_INVALID',
    /key columns/,
  )
  const twice = [...published('raw', 'a'), ...published('reports', 'a')]
  await assert.refuses(() => loadChecks({ directory, publish: twice }, 'UTC'), 'CONFIG_INVALID', /more than one/)
  await assert.refuses(() => loadChecks({ directory, publish: [] }, 'UTC'), 'CONFIG_INVALID', /does not publish/)
})

const equal: ReportComparison = { state: 'equal', rows: 7, differing: 0, keys: [] }
const undecided: ReportComparison = {
  state: 'undecided',
  rows: 8,
  differing: 1,
  keys: [{ key: '1', state: 'missing' }],
}

function verification(outcome: Verification['outcome'], reports: Verification['reports']): Verification {
  const rows = { postgres: 3, clickhouse: 3, differing: 0, exact: true, keys: [] }
  const table = { ...rows, state: 'equal', problems: [], leftBehind: [], failures: [] } as const
  const nothing = { names: {}, uncaptured: [], unchecked: [] }
  return { ok: outcome === 'equal', outcome, lsn: '0/1', tables: { 't.t': table }, reports, ...nothing }
}

test('under load, equal tables and reports are reported, and the rest is undecided', () => {
  const result = verification('undecided', { calm: equal, busy: undecided })
  const text = describe(result).join('\n')
  assert.match(text, /^UNDECIDED at 0\/1\n {2}t\.t +3 rows in Postgres, 3 in ClickHouse, 0 differ\n/)
  assert.match(text, /calm +7 rows, 0 differ/)
  assert.match(text, /busy +8 rows, 1 undecided, the others equal/)
  assert.match(text, /pause the writers/)
  assert.is(exitCodeOf(result), 2)
  assert.is(exitCodeOf(verification('equal', {})), 0)
})

test('a difference names the row and the columns', () => {
  const keys = [{ key: "'DE', NULL", state: 'different', columns: { revenue: ['5', '6'] } }] as const
  const result = verification('different', { wrong: { state: 'different', rows: 1, differing: 1, keys }, undecided })
  const text = describe(result).join('\n')
  assert.match(text, /^DIFFERENT at/)
  assert.match(text, "    different 'DE', NULL\n      revenue: 5 in Postgres, 6 in ClickHouse")
  assert.is(exitCodeOf(result), 1)
})

test.run()
