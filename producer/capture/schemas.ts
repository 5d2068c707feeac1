// producer/capture/schemas: Avro schemas of a generation's tables: registered at its begin,
// compared at every start.

import { isDeepStrictEqual } from 'node:util'
import type { GenerationTable } from '../../contract/generation.ts'
import { keySchema, parseValueSchema, valueSchema } from '../../contract/schema.ts'
import { type Table, tableName } from '../../contract/table.ts'
import type { SchemaStore } from '../../kafka/registry/registry.ts'
import type { CapturedTable } from './captured-table.ts'
import { unclassifiedError } from './column-classification.ts'
import { generationChanged } from './source.ts'

export interface RegisteredTable {
  readonly captured: CapturedTable
  readonly schemaIds: { readonly key: number; readonly value: number }
}

/**
 * Registers key and value as `<topic>-key` and `<topic>-value`. The two lists of tables correspond
 * one to one.
 */
export async function registerTables(
  schemas: SchemaStore,
  topics: readonly GenerationTable[],
  tables: readonly CapturedTable[],
): Promise<RegisteredTable[]> {
  const registered: RegisteredTable[] = []
  for (const [index, captured] of tables.entries()) {
    const { topic } = topics[index]!
    const key = await schemas.register(`${topic}-key`, JSON.stringify(keySchema(captured.table)))
    const value = await schemas.register(`${topic}-value`, JSON.stringify(valueSchema(captured.table)))
    registered.push({ captured, schemaIds: { key, value } })
  }
  return registered
}

/**
 * Finds the schemas of the generation's records.
 * @throws {MillraceError} GENERATION_CHANGED when a table has other columns, types, policies or
 *   keys than when they were registered; TABLE_NOT_CAPTURABLE when one of them is no longer
 *   classified
 */
export async function findRegistered(
  schemas: SchemaStore,
  topics: readonly GenerationTable[],
  tables: readonly CapturedTable[],
): Promise<RegisteredTable[]> {
  const registered: RegisteredTable[] = []
  const latest = await schemas.latestOf(topics.flatMap(({ topic }) => [`${topic}-key`, `${topic}-value`]))
  for (const [index, captured] of tables.entries()) {
    const { topic } = topics[index]!
    const [key, value] = latest.slice(2 * index)
    if (!key || !value)
      throw generationChanged(`the registry has no schema for topic ${topic}`, tableName(captured.table))
    const { guard } = captured
    const then = readTable(value.schema, topic)
    const undecided = guard?.unclassified.filter(name => then.columns.some(column => column.name === name)) ?? []
    if (undecided.length > 0) throw unclassifiedError([{ name: tableName(captured.table), columns: undecided }])
    const difference = describeDifference(then, captured.table)
    if (difference !== undefined) throw generationChanged(difference, tableName(captured.table))
    registered.push({ captured, schemaIds: { key: key.id, value: value.id } })
  }
  return registered
}

/** @throws {MillraceError} GENERATION_CHANGED when another program has registered the schema */
function readTable(schema: string, topic: string): Table {
  try {
    return parseValueSchema(schema)
  } catch (error) {
    throw generationChanged(
      `the newest schema is none that this version has registered: ${(error as Error).message}`,
      topic,
    )
  }
}

/** Comments may differ; everything else must be equal. */
function describeDifference(then: Table, now: Table): string | undefined {
  const columns = new Map(now.columns.map(column => [column.name, column]))
  for (const { comment: _then, ...column } of then.columns) {
    const found = columns.get(column.name)
    if (!found) return `column ${column.name} is gone`
    const { comment: _now, ...current } = found
    if (!isDeepStrictEqual(column, current))
      return `column ${column.name} was ${describe(column)} and is ${describe(current)}`
    columns.delete(column.name)
  }
  if (then.hashKey !== now.hashKey)
    return `its columns were hashed with the key ${then.hashKey} and would be with ${now.hashKey}`
  const [added] = columns.keys()
  if (added !== undefined) return `column ${added} is new`
  if (!isDeepStrictEqual(then.key, now.key)) return `the primary key was (${then.key}) and is (${now.key})`
  if (!isDeepStrictEqual(then.partitionKey, now.partitionKey))
    return `the partition key was (${then.partitionKey}) and is (${now.partitionKey})`
  const order = (table: Table) => table.columns.map(({ name }) => name)
  return isDeepStrictEqual(order(then), order(now)) ? undefined : 'the columns are in another order'
}

function describe(column: Omit<Table['columns'][number], 'comment'>): string {
  const policy = column.policy === undefined ? '' : ` (${column.policy})`
  return `${column.pgType}${column.nullable ? '' : ' not null'}, sent as ${column.encoding}${policy}`
}
