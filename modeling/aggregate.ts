// modeling/aggregate: an aggregate of a model, as ClickHouse has created it.
// An aggregate is a table of sums. It equals its `contributions` over the rows of its captured
// tables at the position of its markers.

import type { Clickhouse } from '../clickhouse/client.ts'
import { currentName } from '../clickhouse/ddl.ts'
import { type Table, tableName } from '../contract/table.ts'
import { type FoundColumn, type FoundTable, refuseUnfit, type UsedColumns } from './aggregate-rules.ts'
import { engineColumns } from './aggregate-table.ts'
import { readInputs } from './inputs.ts'
import type { AggregateSource, Model } from './model.ts'
import { contributionsSuffix, rowsSuffix } from './model.ts'

export interface Source {
  readonly table: Table
  /** Columns that the SELECT reads, with the primary key and `by`. */
  readonly columns: readonly string[]
}

export interface Aggregate {
  readonly database: string
  readonly name: string
  /** Columns of every source. Rows with the same values make one key, and are folded together. */
  readonly by: readonly string[]
  readonly fresh: boolean
  readonly sources: readonly Source[]
  /** SELECT over `schema.table.rows`, which have the columns of the source and `_sign`. */
  readonly contributions: string
  /** The author's columns of the sorting key. */
  readonly keys: readonly string[]
  readonly measures: readonly string[]
  /** Type of each key and measure. */
  readonly types: ReadonlyMap<string, string>
}

/**
 * The aggregates of the model. Its objects must exist in the session's database.
 * @throws {MillraceError} CONFIG_INVALID when the engine cannot keep one of them exact
 */
export async function readAggregates(
  clickhouse: Clickhouse,
  model: Model,
  tables: readonly Table[],
): Promise<Aggregate[]> {
  if (model.aggregates.size === 0) return []
  const wanted = [...model.aggregates.keys()]
  const names = wanted.flatMap(name => [name, `${name}${contributionsSuffix}`])
  const found = await clickhouse.rows<FoundTable>(
    `SELECT database, name, engine, engine_full, partition_key, sorting_key, as_select FROM system.tables
WHERE database = currentDatabase() AND name IN {names:Array(String)}`,
    { names },
  )
  const columns = await clickhouse.rows<FoundColumn>(
    `SELECT table, name, type, toUInt8(is_in_sorting_key) AS key FROM system.columns
WHERE database = currentDatabase() AND table IN {names:Array(String)} ORDER BY table, position`,
    { names },
  )
  const captured = new Map(tables.map(table => [tableName(table), table]))
  const aggregates: Aggregate[] = []
  for (const [name, source] of model.aggregates) {
    const inputs = await readInputs(clickhouse, source.contributions)
    const parts = { name, source, captured, found, columns, inputs, where: model.directory }
    await refuseUnfit(clickhouse, parts)
    aggregates.push(toAggregate(name, { ...parts, database: found[0]!.database, used: inputs.columns }))
  }
  return aggregates
}

interface Parts {
  readonly source: AggregateSource
  readonly captured: ReadonlyMap<string, Table>
  readonly columns: readonly FoundColumn[]
  readonly database: string
  readonly used: UsedColumns
}

function toAggregate(name: string, { source, captured, columns, database, used }: Parts): Aggregate {
  const own = columns.filter(column => column.table === name && !engineColumns.includes(column.name))
  return {
    ...{ database, name, by: source.by, fresh: source.fresh, contributions: source.contributions },
    sources: source.of.map(of => {
      const table = captured.get(of)!
      const read = used.get(currentName(table).replace(/\.current$/, rowsSuffix)) ?? new Set()
      const needed = ({ name }: { name: string }) =>
        read.has(name) || table.key.includes(name) || source.by.includes(name)
      return { table, columns: table.columns.filter(needed).map(column => column.name) }
    }),
    keys: own.filter(({ key }) => key === 1).map(column => column.name),
    measures: own.filter(({ key }) => key === 0).map(column => column.name),
    types: new Map(own.map(column => [column.name, column.type])),
  }
}
