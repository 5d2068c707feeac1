// producer/stream/relation-check: compares the columns that the stream announces with the captured
// ones.

import { tableName } from '../../contract/table.ts'
import { type DeclaredType, isWidened } from '../../postgres/catalog/widened.ts'
import type { Relation } from '../../postgres/protocol/pgoutput.ts'
import { MillraceError } from '../../runtime/errors.ts'
import type { CapturedTable, Guard } from '../capture/captured-table.ts'
import type { TableWriter } from '../write/table-writer.ts'

/**
 * The writer of the announced table; undefined for one that is not captured itself, such as a
 * partition that is announced after its root.
 * @param writers by oid of the table
 * @throws {MillraceError} SCHEMA_CHANGED when a captured table was renamed, replaced, or has other
 *   columns
 */
export function checkRelation(relation: Relation, writers: ReadonlyMap<number, TableWriter>): TableWriter | undefined {
  const name = tableName(relation)
  const writer = writers.get(relation.oid)
  if (!writer) {
    for (const { captured } of writers.values()) {
      if (tableName(captured.table) === name) throw changed(name, 'it was replaced by another table of the same name')
    }
    return undefined
  }
  const known = tableName(writer.captured.table)
  if (known !== name) throw changed(known, `it is now called ${name}`)
  const { guard } = writer.captured
  const difference = guard
    ? compareGuarded(relation, writer.captured, guard)
    : compareColumns(relation, writer.captured)
  if (difference !== undefined) throw changed(known, difference)
  return writer
}

/** A widened type keeps all values, so it counts as the same. */
function hasOtherType(was: DeclaredType, is: DeclaredType): boolean {
  const same = was.typeOid === is.typeOid && was.typeModifier === is.typeModifier
  return !same && !isWidened(was, is)
}

function compareColumns(relation: Relation, captured: CapturedTable): string | undefined {
  const known = captured.columns
  const missing = known.find(({ name }) => !relation.columns.some(column => column.name === name))
  if (missing) return `column ${missing.name} is gone`
  const added = relation.columns.find(({ name }) => !known.some(column => column.name === name))
  if (added) return `column ${added.name} is new`
  const different = known.find((was, index) => {
    const is = relation.columns[index]!
    return is.name !== was.name || hasOtherType(was, is)
  })
  return different && `column ${different.name} has another type or place`
}

/**
 * A masker takes columns by name, in any order. It does not send a column that it does not know. A
 * new column is an error only where the table is not personal.
 */
function compareGuarded(relation: Relation, { columns }: CapturedTable, guard: Guard): string | undefined {
  for (const was of columns) {
    const is = relation.columns.find(({ name }) => name === was.name)
    if (!is) return `column ${was.name} is gone`
    if (hasOtherType(was, is)) return `column ${was.name} has another type`
  }
  const [added] = guard.personal ? [] : newColumns(relation, { columns, guard })
  return added === undefined ? undefined : `column ${added} is new`
}

/** Columns that are neither sent nor dropped by the configuration. */
export function newColumns(relation: Relation, { columns, guard }: Pick<CapturedTable, 'columns' | 'guard'>): string[] {
  const known = new Set([...columns.map(({ name }) => name), ...(guard?.dropped ?? [])])
  return relation.columns.map(({ name }) => name).filter(name => !known.has(name))
}

function changed(name: string, difference: string): MillraceError {
  return new MillraceError('SCHEMA_CHANGED', {
    what: `the table is no longer as it was captured: ${difference}`,
    where: `table ${name}`,
    next: 'start a new generation: millrace producer --new-generation',
  })
}

/**
 * The error for a change of a partitioned table while one of its partitions logs keys instead of
 * old rows. The change does not name its partition, and its announcement says that old rows are
 * complete.
 */
export function keyOnlyPartition(partition: string): MillraceError {
  return new MillraceError('REPLICA_IDENTITY', {
    what: 'a partition without REPLICA IDENTITY FULL has been written to, so that the old row of this update or delete may be incomplete',
    where: `partition ${partition}`,
    next: 'set REPLICA IDENTITY FULL on all partitions (millrace check --fix), then start a new generation: millrace producer --new-generation',
  })
}
