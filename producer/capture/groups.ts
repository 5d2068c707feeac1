// producer/capture/groups: tables of one group must put rows with the same partition key into the
// same partition.

import { type Column, tableName } from '../../contract/table.ts'
import type { CapturedTable } from './captured-table.ts'

/**
 * Why rows of the group's tables may be in different partitions, as sentences.
 * @param loose by table, the columns of its partition key in which equal values may print
 *   differently
 */
export function checkGroups(
  tables: readonly CapturedTable[],
  loose: ReadonlyMap<CapturedTable, readonly string[]>,
): string[] {
  const groups = new Map<string, CapturedTable[]>()
  for (const table of tables) {
    const group = groups.get(table.group)
    if (group) group.push(table)
    else groups.set(table.group, [table])
  }
  const faults: string[] = []
  for (const [group, members] of groups) {
    const [first, ...others] = members as [CapturedTable, ...CapturedTable[]]
    for (const table of others.length === 0 ? [] : members) {
      const columns = loose.get(table) ?? []
      if (columns.length === 0) continue
      const types = columns.map(name => `${name} (${table.table.columns.find(each => each.name === name)?.pgType})`)
      faults.push(
        `group ${group}: ${tableName(table.table)} has ${types.join(', ')} in its partition key, where equal values may print differently and so be in different partitions; choose another partitionKey`,
      )
    }
    for (const other of others) {
      const pair = `group ${group}: ${tableName(first.table)} and ${tableName(other.table)}`
      if (other.partitions !== first.partitions)
        faults.push(`${pair} have ${first.partitions} and ${other.partitions} partitions`)
      if (keyForm(other) !== keyForm(first))
        faults.push(`${pair} have partition keys of types (${keyForm(first)}) and (${keyForm(other)})`)
    }
  }
  return faults
}

/** The text chooses the partition. So two types are equal when equal values have equal text. */
function keyForm({ table, partitionColumns }: CapturedTable): string {
  return partitionColumns.map(place => textForm(table.columns[place]!)).join(', ')
}

function textForm({ encoding, pgType, policy }: Column): string {
  const isInteger = encoding === 'int' || encoding === 'long' || /^(smallint|integer|bigint|oid)$/.test(pgType)
  const isText = pgType === 'text' || pgType.startsWith('character varying')
  const form = isInteger ? 'integer' : isText ? 'text' : pgType
  return policy === undefined ? form : `${policy} of ${form}`
}
