// producer/relation: what the stream says of a table, held against what was captured.
// May know: contract/table, postgres/pgoutput, runtime/errors, producer/{captured,output}.

import { tableName } from '../contract/table.ts'
import type { Relation } from '../postgres/pgoutput.ts'
import { MillraceError } from '../runtime/errors.ts'
import type { CapturedTable, Guard } from './captured.ts'
import type { TableOutput } from './output.ts'

/**
 * The output of the announced table; undefined for one that is not captured, such as a partition announced beside its root.
 * @throws {MillraceError} SCHEMA_CHANGED when a captured table was renamed, replaced, or has other columns; REPLICA_IDENTITY for a
 *   partition whose old rows would arrive as keys, although the root's identity says that they are whole
 */
export function checkRelation(relation: Relation, outputs: readonly TableOutput[]): TableOutput | undefined {
  const name = tableName(relation)
  const output = outputs.find(({ captured }) => captured.oid === relation.oid)
  if (!output) {
    if (outputs.some(({ captured }) => tableName(captured.table) === name)) {
      throw changed(name, 'it was replaced by another table of the same name')
    }
    if (relation.replicaIdentity !== 'f') throw keyOnly(name)
    return undefined
  }
  const known = tableName(output.captured.table)
  if (known !== name) throw changed(known, `it is now called ${name}`)
  const { guard } = output.captured
  const difference = guard
    ? compareGuarded(relation, output.captured, guard)
    : compareColumns(relation, output.captured)
  if (difference !== undefined) throw changed(known, difference)
  return output
}

function compareColumns(relation: Relation, captured: CapturedTable): string | undefined {
  const known = captured.columns
  const missing = known.find(({ name }) => !relation.columns.some(column => column.name === name))
  if (missing) return `column ${missing.name} is gone`
  const added = relation.columns.find(({ name }) => !known.some(column => column.name === name))
  if (added) return `column ${added.name} is new`
  const different = known.find(({ name, typeOid, typeModifier }, index) => {
    const column = relation.columns[index]!
    return column.name !== name || column.typeOid !== typeOid || column.typeModifier !== typeModifier
  })
  return different && `column ${different.name} has another type or place`
}

/** A gate takes columns by name, wherever they stand; what it does not know stays behind, unless it was to leave as it is. */
function compareGuarded(relation: Relation, { columns }: CapturedTable, guard: Guard): string | undefined {
  for (const { name, typeOid, typeModifier } of columns) {
    const column = relation.columns.find(candidate => candidate.name === name)
    if (!column) return `column ${name} is gone`
    if (column.typeOid !== typeOid || column.typeModifier !== typeModifier) return `column ${name} has another type`
  }
  const [added] = guard.personal ? [] : newColumns(relation, { columns, guard })
  return added === undefined ? undefined : `column ${added} is new`
}

/** Columns that neither leave nor are left out on purpose. */
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

/** A partition made after the load does not inherit its root's identity, and its changes are sent under the root's name. */
function keyOnly(name: string): MillraceError {
  return new MillraceError('REPLICA_IDENTITY', {
    what: 'a partition was added without REPLICA IDENTITY FULL, so that its old rows would arrive incomplete',
    where: `partition ${name}`,
    next: `ALTER TABLE ${name} REPLICA IDENTITY FULL, then start a new generation: millrace producer --new-generation`,
  })
}
