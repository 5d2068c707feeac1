// modeling/inputs: what a SELECT reads: tables, their columns, and functions.

import type { Clickhouse } from '../clickhouse/client.ts'
import { nodesBelow, readQueryTree } from './query-tree.ts'

export interface Inputs {
  /** Name of a table or view, without its database → columns of it that the SELECT mentions. */
  readonly columns: ReadonlyMap<string, ReadonlySet<string>>
  /** Table functions, such as `numbers`. */
  readonly tableFunctions: readonly string[]
  /** Names of functions, aggregate functions included. */
  readonly functions: ReadonlySet<string>
}

/** Views that the SELECT reads are not followed further. */
export async function readInputs(clickhouse: Clickhouse, select: string): Promise<Inputs> {
  const nodes = [...nodesBelow(await readQueryTree(clickhouse, select))]
  const tables = new Map<number, string>()
  const columns = new Map<string, Set<string>>()
  for (const node of nodes.filter(({ kind }) => kind === 'TABLE')) {
    const path = node.attributes.get('table_name') ?? ''
    const name = path.slice(path.indexOf('.') + 1)
    tables.set(node.id, name)
    if (!columns.has(name)) columns.set(name, new Set())
  }
  for (const node of nodes.filter(({ kind }) => kind === 'COLUMN')) {
    const table = tables.get(Number(node.attributes.get('source_id')))
    const column = node.attributes.get('column_name')
    if (table !== undefined && column !== undefined) columns.get(table)!.add(column)
  }
  const named = (kind: string, attribute: string) =>
    nodes.filter(node => node.kind === kind).map(node => node.attributes.get(attribute) ?? '')
  return {
    columns,
    tableFunctions: named('TABLE_FUNCTION', 'table_function_name'),
    functions: new Set(named('FUNCTION', 'function_name')),
  }
}
