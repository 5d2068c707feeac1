// cli/forget/former-values: the forms of a person's former values downstream, by column policy.

import { type Column, type Table, tableName } from '../../contract/table.ts'
import { hashOf, maskOf } from '../../producer/capture/column-policy.ts'
import type { HashKey } from '../../runtime/config/hash-key.ts'
import type { OwnRow, SearchText } from '../../verify/residue-search.ts'
import type { FormerRow } from './erase-person.ts'

export interface Forms {
  /** Values that must not be found anywhere. */
  readonly texts: readonly SearchText[]
  /**
   * Masked and unchanged values belong to many people. They only must be gone from the person's own
   * rows.
   */
  readonly ownRows: readonly OwnRow[]
  /** Names of values that are too short: a match would prove nothing. */
  readonly tooShort: readonly string[]
}

/** Shorter texts occur by chance. */
const shortestText = 4

interface FormerValue {
  readonly label: string
  readonly text: string
  readonly table: Table | undefined
  /** The value's form downstream; undefined when the column is not sent. */
  readonly column: Column | undefined
}

/** @param hashKey called only when a column is hashed */
export function formsOf(rows: readonly FormerRow[], tables: readonly Table[], hashKey: () => HashKey): Forms {
  const texts: SearchText[] = []
  const ownRows: OwnRow[] = []
  const tooShort: string[] = []
  for (const [index, row] of rows.entries()) {
    const values = formerValues(row, tables, rows.length > 1 ? ` of row ${index + 1}` : '')
    for (const { label, text, column } of values) {
      if (column !== undefined && column.policy === undefined) continue
      if (text.length < shortestText) tooShort.push(label)
      else texts.push({ label, text })
      if (column?.policy === 'hash')
        texts.push({ label: `${label}, hashed`, text: hashOf(hashKey(), Buffer.from(text)) })
    }
    for (const table of new Set(values.flatMap(({ table }) => table ?? []))) {
      const own = ownRow(
        table,
        values.filter(value => value.table === table),
      )
      if (own) ownRows.push(own)
    }
  }
  return { texts, ownRows, tooShort }
}

function formerValues(row: FormerRow, tables: readonly Table[], of: string): FormerValue[] {
  return Object.entries(row).flatMap(([name, text]) => {
    const table = tables.find(each => name.startsWith(`${tableName(each)}.`))
    const column = table?.columns.find(each => name === `${tableName(table)}.${each.name}`)
    return text === null || text === '' ? [] : [{ label: `${name}${of}`, text, table, column }]
  })
}

/** A condition on all columns of the key. Only columns of text are compared as text. */
function ownRow(table: Table, values: readonly FormerValue[]): OwnRow | undefined {
  const key = Object.fromEntries(
    table.key.flatMap(name => values.filter(({ column }) => column?.name === name).map(({ text }) => [name, text])),
  )
  if (Object.keys(key).length < table.key.length) return undefined
  const columns = values.flatMap(({ label, text, column }): [string, SearchText][] => {
    if (column === undefined || column.encoding !== 'string' || table.key.includes(column.name)) return []
    if (column.policy === 'mask')
      return [[column.name, { label: `${label}, masked`, text: maskOf(Buffer.from(text)).toString() }]]
    return column.policy === undefined ? [[column.name, { label, text }]] : []
  })
  return { schema: table.schema, table: table.name, key, columns: Object.fromEntries(columns) }
}
