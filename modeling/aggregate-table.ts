// modeling/aggregate-table: adds the engine's columns to the CREATE TABLE of an aggregate.
// Its markers are rows of the same table, so that sums and markers are inserted as one part.

import { quoteString } from '../clickhouse/quote.ts'
import { clauseStart, closingParenthesis } from './sql-text.ts'

/** A row of sums has the empty `_table`. */
const keyColumns = [
  ['_table', 'LowCardinality(String)', 'Of a marker: the captured table, and empty for a row of sums'],
  ['_partition', 'Int32', "Of a marker: the partition of the table's topic"],
] as const

const sumColumns = [
  ['_folded', 'Int64', 'Of a marker: sums up to the first offset whose change the aggregate lacks'],
] as const

export const engineKey = keyColumns.map(([name]) => name)
export const engineColumns: readonly string[] = [...keyColumns, ...sumColumns].map(([name]) => name)

/**
 * The statement with the engine's columns, the first two at the start of the sorting key.
 * @throws {Error} when the statement has no list of columns or no ORDER BY
 */
export function withEngineColumns(statement: string): string {
  const open = clauseStart(statement, statement.search(/^CREATE TABLE/m), /^\(/)
  const close = closingParenthesis(statement, open)
  const order = clauseStart(statement, close + 1, /^ORDER\s+BY\b/i)
  if (open === -1 || close === -1 || order === -1) {
    throw new Error('a CREATE TABLE of an aggregate has a list of columns and an ORDER BY')
  }
  const added = [...keyColumns, ...sumColumns].map(
    ([name, type, comment]) => `${name} ${type} COMMENT ${quoteString(comment)}`,
  )
  const columns = `${statement.slice(0, close).trimEnd()},\n    ${added.join(',\n    ')}\n`
  const { key, rest } = splitOrder(statement, order)
  return `${columns}${statement.slice(close, order)}ORDER BY (${[...engineKey, ...key].join(', ')})${rest}`
}

const nextClause = /^(?:PARTITION\s+BY|PRIMARY\s+KEY|SAMPLE\s+BY|TTL|SETTINGS|COMMENT)\b/i

function splitOrder(statement: string, order: number): { key: string[]; rest: string } {
  const start = order + /^ORDER\s+BY\s*/i.exec(statement.slice(order))![0].length
  const found = clauseStart(statement, start, nextClause)
  const end = found === -1 ? statement.length : found
  const text = statement.slice(start, end).trim()
  const isList = text.startsWith('(') && closingParenthesis(text, 0) === text.length - 1
  const key = isList ? text.slice(1, -1).trim() : text
  return { key: /^(?:tuple\s*\(\s*\))?$/i.test(key) ? [] : [key], rest: `\n${statement.slice(end)}`.trimEnd() }
}
