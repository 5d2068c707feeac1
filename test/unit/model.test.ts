// test/unit/model.test: the files of the sales model fit together and follow the rules of a model.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { loadModel, unrebuildable } from '../../modeling/model.ts'
import { loadConfig, tableOptions } from '../../runtime/config/config.ts'
import { packagePath } from '../../runtime/files.ts'
import { loadChecks, uncheckedViews } from '../../verify/checks.ts'
import { assert, suite } from '../support/harness/suite.ts'

const directory = packagePath('model/sales')
const model = loadModel(directory, 'Europe/Berlin')
const checks = loadChecks(model, 'Europe/Berlin')
const withoutComments = (sql: string) => sql.replace(/^\s*--.*$/gm, '').trim()

function files(): string[] {
  const folders = ['clickhouse', 'checks', 'source']
  return folders.flatMap(folder => readdirSync(join(directory, folder)).map(file => join(directory, folder, file)))
}

const test = suite('sales model files')

test('every statement creates an object, and has a semicolon only at its end', () => {
  assert.ok(model.statements.length > 0)
  for (const statement of model.statements.map(withoutComments)) {
    assert.match(statement, /^CREATE (TABLE|MATERIALIZED VIEW|VIEW) IF NOT EXISTS /)
    assert.not.match(statement, /;/)
  }
})

test('every table is an aggregate, every report has a check', () => {
  const tables = model.statements.flatMap(statement => /^CREATE TABLE IF NOT EXISTS (\w+)/m.exec(statement)?.[1] ?? [])
  assert.equal([...model.aggregates.keys()].sort(), tables.sort())
  assert.equal(unrebuildable(model), [])
  assert.equal(uncheckedViews(model, checks), [])
})

test('the time zone is filled in, and a check has one more placeholder', () => {
  const selects = [...model.aggregates.values()].map(({ contributions }) => contributions)
  const texts = [...model.statements, ...selects, ...checks.map(({ sql }) => sql)]
  assert.ok(texts.some(text => text.includes("'Europe/Berlin'")))
  for (const text of texts) assert.not.match(text.replaceAll('{as_of}', ''), /\{\w+\}/)
})

test('the check of a report reads only tables, never aggregates', () => {
  for (const { name, sql } of checks) {
    assert.match(withoutComments(sql), /shop\.orders/, name)
    assert.not.match(sql, /changelog|current|sales_cube|sales_fresh|visits_by_month/, name)
  }
})

test('the configuration captures every table that the model requires, the joined ones as a group', () => {
  const config = loadConfig({ file: join(directory, 'millrace.yaml'), env: {}, cwd: directory })
  assert.is(config.model, directory)
  for (const name of model.requires) {
    const [schema, table] = name.split('.')
    assert.ok(tableOptions(config, schema!, table!), name)
  }
  const [orders, items] = ['orders', 'order_items'].map(table => tableOptions(config, 'shop', table)!)
  assert.is(orders!.group, items!.group)
  assert.equal(orders!.partitionKey, items!.partitionKey)
})

test('every file has a header', () => {
  for (const file of files())
    assert.match(readFileSync(file, 'utf8'), /^(-- key: .*\n)?-- model\/sales\/[\w/]+:?/, file)
})

test.run()
