// test/unit/config-names.test: names in a configuration that would have another meaning than the
// user expects.

import { tableOptions } from '../../runtime/config/config.ts'
import { load, refusal } from '../support/fixtures/config-text.ts'
import { assert, suite } from '../support/harness/suite.ts'

const test = suite('config names')

test('a key such as __proto__ is refused, not ignored', () => {
  const next = 'personal: true'
  assert.match(
    refusal('tables:\n  s.t:\n    columns:\n      __proto__: drop\n'),
    /__proto__ cannot be a key\n {2}where: millrace\.yaml:4:7/,
  )
  assert.match(refusal('__proto__: 1\n'), next)
  const config = load('tables: { s.t: { columns: { constructor: drop } }, "s.__proto__": {} }\n').config
  assert.equal(Object.entries(config.tables['s.t']!.columns!), [['constructor', 'drop']])
  assert.ok(tableOptions(config, 's', '__proto__'))
})

test('a time zone must be spelled as in ClickHouse, and the right spelling is suggested', () => {
  for (const zone of ['Europe/Berlin', 'UTC', 'EST5EDT', 'Asia/Calcutta', 'Asia/Kolkata', 'US/Pacific'])
    assert.is(load(`reportTimeZone: ${zone}\n`).config.reportTimeZone, zone)
  const suggested = {
    'europe/berlin': 'Europe/Berlin',
    utc: 'UTC',
    'Us/Pacific': 'US/Pacific',
    'Asia/Calcuta': 'Asia/Calcutta',
  }
  for (const [zone, right] of Object.entries(suggested))
    assert.match(refusal(`reportTimeZone: ${zone}\n`), `Did you mean "${right}"?`)
  for (const zone of ['CET', '+02:00', 'GMT+2', 'Mars/Base', '__proto__'])
    assert.not.match(refusal(`reportTimeZone: "${zone}"\n`), /Did you mean/)
})

test("the name of an existing publication must be one that Postgres keeps, and not one of the pipeline's own", () => {
  const named = (publication: string) => JSON.stringify({ name: 'shop', source: { publication } })
  for (const name of ['to_millrace', 'shop', 'shop_x1', 'shop_1_x', 'A "b"', 'ü'.repeat(31)])
    assert.is(load(named(name)).config.source.publication, name)
  for (const name of ['shop_1', 'shop_007'])
    assert.match(
      refusal(named(name)),
      /source\.publication: has the form of .* publications of its own, such as shop_1/,
    )
  assert.match(refusal(named('ü'.repeat(32))), /source\.publication: is longer than the 63 bytes/)
})

test.run()
