// modeling/describe: the tables and views of a model, their columns, and the source columns of
// each.
// Read from ClickHouse, so it is right for any SQL of a model.

import type { Clickhouse } from '../clickhouse/client.ts'
import { changelogName, currentName, storageName } from '../clickhouse/ddl.ts'
import { historyName, versionsName } from '../clickhouse/history.ts'
import { type Table, tableName } from '../contract/table.ts'
import { type Lineage, readLineage } from './lineage.ts'
import { contributionsSuffix, rowsSuffix } from './model.ts'

export interface DescribedColumn {
  readonly name: string
  readonly type: string
  readonly comment: string
  /**
   * Source columns that its value is computed from, as `schema.table.column`; none for constants
   * and counts of rows.
   */
  readonly sources: readonly string[]
}

export interface DescribedObject {
  readonly name: string
  /**
   * `captured`: made by millrace for a source table; `table`: filled by materialized views; `view`:
   * computed when read.
   */
  readonly kind: 'captured' | 'table' | 'view'
  readonly comment: string
  readonly columns: readonly DescribedColumn[]
  /**
   * The objects that it reads directly: other objects of the model, and captured tables as
   * `schema.table`.
   */
  readonly reads: readonly string[]
}

interface ObjectRow {
  readonly name: string
  readonly engine: string
  readonly comment: string
  readonly as_select: string
  readonly create_table_query: string
}

interface ColumnRow {
  readonly table: string
  readonly name: string
  readonly type: string
  readonly comment: string
}

/**
 * All objects of the session's database, by name. A materialized view is part of the table that it
 * fills, as is the view of the contributions to an aggregate.
 */
export async function describeModel(
  clickhouse: Clickhouse,
  tables: readonly Table[],
): Promise<Map<string, DescribedObject>> {
  const objects = await clickhouse.rows<ObjectRow>(
    'SELECT name, engine, comment, as_select, create_table_query FROM system.tables WHERE database = currentDatabase() ORDER BY name',
  )
  const columns = await clickhouse.rows<ColumnRow>(
    'SELECT table, name, type, comment FROM system.columns WHERE database = currentDatabase() ORDER BY table, position',
  )
  const captured = new Map(tables.flatMap(table => objectNames(table).map(name => [name, table] as const)))
  const steps = new Map<string, Lineage[]>()
  for (const { name, engine, as_select, create_table_query } of objects) {
    if (as_select === '' || captured.has(name)) continue
    const target = engine === 'MaterializedView' ? targetOf(create_table_query) : aggregateOf(name)
    if (!captured.has(target))
      steps.set(target, [...(steps.get(target) ?? []), await readLineage(clickhouse, as_select)])
  }
  const sources = new ColumnSources(captured, steps)
  const described = objects
    .filter(({ name, engine }) => engine !== 'MaterializedView' && (captured.has(name) || steps.has(name)))
    .filter(({ name }) => captured.has(name) || aggregateOf(name) === name)
    .map(({ name, engine, comment }): DescribedObject => {
      const own = columns.filter(({ table }) => table === name)
      return {
        name,
        kind: captured.has(name) ? 'captured' : engine === 'View' ? 'view' : 'table',
        comment,
        columns: own.map(column => ({ ...column, sources: sources.of(name, column.name) })),
        reads: captured.has(name) ? [tableName(captured.get(name)!)] : sources.reads(name),
      }
    })
  return new Map(described.map(object => [object.name, object]))
}

/** Names of all objects that millrace makes for a table. */
function objectNames(table: Table): string[] {
  const made = [changelogName, currentName, versionsName, historyName].map(name => name(table))
  const own = storageName(table.schema, table.name)
  return [own, own + rowsSuffix, ...made]
}

/** The aggregate that a view fills, or the name itself. */
function aggregateOf(name: string): string {
  return name.endsWith(contributionsSuffix) ? name.slice(0, -contributionsSuffix.length) : name
}

/** The table that a materialized view fills, without its database. */
function targetOf(statement: string): string {
  const [, name] = /^CREATE MATERIALIZED VIEW \S+ TO [^.]+\.(`(?:[^`\\]|\\.)+`|\w+)/.exec(statement) ?? []
  return (name ?? '').replace(/^`|`$/g, '').replace(/\\(.)/g, '$1')
}

/** Follows columns back through the model to the source. */
class ColumnSources {
  readonly #captured: ReadonlyMap<string, Table>
  readonly #steps: ReadonlyMap<string, readonly Lineage[]>

  constructor(captured: ReadonlyMap<string, Table>, steps: ReadonlyMap<string, readonly Lineage[]>) {
    this.#captured = captured
    this.#steps = steps
  }

  /** Columns that millrace adds, such as positions and times of versions, have no source column. */
  of(object: string, column: string): string[] {
    const table = this.#captured.get(object)
    if (table !== undefined) {
      const isOwn = table.columns.some(({ name }) => name === column)
      return isOwn ? [`${tableName(table)}.${column}`] : []
    }
    const origins = (this.#steps.get(object) ?? []).flatMap(step => step.columns.get(column) ?? [])
    return [...new Set(origins.flatMap(origin => this.of(withoutDatabase(origin.table), origin.column)))].sort()
  }

  reads(object: string): string[] {
    const read = (this.#steps.get(object) ?? []).flatMap(step => step.reads.map(withoutDatabase))
    const names = read.map(name => (this.#captured.has(name) ? tableName(this.#captured.get(name)!) : name))
    return [...new Set(names)].filter(name => name !== object).sort()
  }
}

/** A name of the query tree without its database. */
function withoutDatabase(table: string): string {
  return table.slice(table.indexOf('.') + 1)
}
