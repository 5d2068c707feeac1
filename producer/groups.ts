// producer/groups: tables that are folded together must put rows of the same partition key into the same partition number.
// May know: contract/table, producer/captured.

import { type Column, tableName } from '../contract/table.ts'
import type { CapturedTable } from './captured.ts'

/** What keeps the tables of a group from meeting, as sentences. */
export function checkGroups(tables: readonly CapturedTable[]): string[] {
  const faults: string[] = []
  for (const group of new Set(tables.map(table => table.group))) {
    const [first, ...others] = tables.filter(table => table.group === group) as [CapturedTable, ...CapturedTable[]]
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

/** Partitions are chosen by text, so types count as equal when equal values have equal text. */
function keyForm({ table, partitionColumns }: CapturedTable): string {
  return partitionColumns.map(place => textForm(table.columns[place]!)).join(', ')
}

function textForm({ encoding, pgType, policy }: Column): string {
  const isInteger = encoding === 'int' || encoding === 'long' || /^(smallint|integer|bigint|oid)$/.test(pgType)
  const isText = pgType === 'text' || pgType.startsWith('character varying')
  const form = isInteger ? 'integer' : isText ? 'text' : pgType
  return policy === undefined ? form : `${policy} of ${form}`
}
