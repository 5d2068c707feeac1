// cli/model/dbt-package: a model's views as dbt sources and exposures, with descriptions and tests.
// It works for every model: all names are arguments.

import { stringify } from 'yaml'
import type { PublishedView } from '../../clickhouse/publish.ts'
import type { DescribedColumn, DescribedObject } from '../../modeling/describe.ts'
import type { Model } from '../../modeling/model.ts'
import { type Expectation, ownOf } from './expectations.ts'

export interface DbtParts {
  readonly model: Model
  /** Names of the published views that are reports. */
  readonly reports: readonly string[]
  /** By `database.view`. */
  readonly expectations: ReadonlyMap<string, Expectation>
  /** By the names in a generation's database. */
  readonly objects: ReadonlyMap<string, DescribedObject>
}

const header = '# Made by `npm run docs` from the model; a test compares.\n'

/**
 * Files below the package's directory: sources for each database whose rows have keys, and the
 * reports as exposures.
 * @see https://docs.getdbt.com/reference/source-properties
 */
export function dbtPackage(parts: DbtParts): Map<string, string> {
  const { model, expectations } = parts
  const databases = [...new Set(model.publish.map(({ database }) => database))].filter(database =>
    model.publish.some(view => view.database === database && expectations.get(viewName(view))?.key !== undefined),
  )
  const files = databases.map(database => {
    const views = model.publish.filter(view => view.database === database)
    const source = { name: database, schema: database, tables: views.map(view => sourceTable(parts, view)) }
    return [`models/sources/${database}.yml`, yaml({ version: 2, sources: [source] })] as const
  })
  const reports = model.publish.filter(({ name }) => parts.reports.includes(name))
  const exposures = reports.map(view => exposure(parts, view, databases))
  return new Map([...files, ['models/exposures.yml', yaml({ version: 2, exposures })]])
}

function viewName({ database, name }: PublishedView): string {
  return `${database}.${name}`
}

function yaml(value: object): string {
  const written = (_: unknown, part: unknown) => (typeof part === 'string' ? plain(part) : part)
  return header + stringify(value, written, { lineWidth: 130, aliasDuplicateObjects: false })
}

/**
 * Escapes double braces, which dbt would evaluate. Names and comments come from the source, so they
 * could otherwise print an environment variable.
 */
function plain(text: string): string {
  return text.replace(/\{[{%#]/g, braces => `{{ '${braces}' }}`)
}

function sourceTable({ objects, expectations }: DbtParts, view: PublishedView): object {
  const object = objects.get(view.source)!
  const expectation = expectations.get(viewName(view))!
  const { key } = expectation
  return {
    name: view.name,
    description: object.comment,
    ...(key !== undefined && key.length > 1 ? { data_tests: [{ unique_rows: { arguments: { columns: key } } }] } : {}),
    columns: object.columns.map(column => sourceColumn(column, expectation)),
  }
}

function sourceColumn({ name, type, comment }: DescribedColumn, expectation: Expectation): object {
  const tests = columnTests(name, type, expectation)
  return { name, description: comment, data_type: type, ...(tests.length > 0 ? { data_tests: tests } : {}) }
}

/** Omits the test for null where the type of the column has no null. */
function columnTests(
  column: string,
  type: string,
  { key, required, references, values }: Expectation,
): (string | object)[] {
  const isKey = key?.length === 1 && key[0] === column
  const target = ownOf(references, column)?.split('.')
  const accepted = ownOf(values, column)
  return [
    ...(isKey ? ['unique'] : []),
    ...(type.startsWith('Nullable(') && (isKey || required.includes(column)) ? ['not_null'] : []),
    ...(target ? [{ relationships: { arguments: { to: sourceOf(target[0]!, target[1]!), field: target[2] } } }] : []),
    ...(accepted ? [{ accepted_values: { arguments: { values: accepted } } }] : []),
  ]
}

function sourceOf(database: string, name: string): string {
  return `source('${database}', '${name}')`
}

/** A report depends on its view, and on the current tables that its columns come from. */
function exposure(
  { model, objects }: DbtParts,
  { database, name, source }: PublishedView,
  known: readonly string[],
): object {
  const object = objects.get(source)!
  const tables = new Set(object.columns.flatMap(column => column.sources.map(origin => origin.replace(/\.[^.]*$/, ''))))
  const current = model.publish.filter(view => tables.has(view.source) && known.includes(view.database))
  return {
    name,
    label: name,
    type: 'analysis',
    maturity: 'high',
    owner: { name: 'millrace' },
    description: object.comment,
    depends_on: [sourceOf(database, name), ...current.map(view => sourceOf(view.database, view.name)).sort()],
  }
}
