// test/support/value-tables: tables with a column for each kind of type, and how both databases spell what is in them.
// Shares nothing with the encoder: each database prints its own values.

import { escapeIdentifier as quote } from 'pg'
import { quoteName } from '../../clickhouse/quote.ts'
import type { Pipeline } from './pipeline.ts'
import { type TypeCase, typeCases } from './postgres-values.ts'

export const rowCount = Math.max(...typeCases.map(({ values }) => values.length))

/** How sessions print, for the oracle: the form that the documentation promises. */
const printedForm =
  "SET datestyle = ISO; SET timezone = UTC; SET intervalstyle = iso_8601; SET extra_float_digits = 3; SET bytea_output = hex; SET search_path = ''"

/** One column per type, named as the type; row k holds every type's k-th value, and NULL where there is none. */
export function createWide(table: string): string {
  return `CREATE TABLE ${table} (id int PRIMARY KEY, ${typeCases.map(({ type }) => `${quote(type)} ${type}`).join(', ')});
ALTER TABLE ${table} REPLICA IDENTITY FULL;`
}

export function fillWide(table: string): string {
  const rows = Array.from({ length: rowCount }, (_, k) => {
    const values = typeCases.map(({ type, values }) => (values[k] === undefined ? 'NULL' : `(${values[k]})::${type}`))
    return `(${[k, ...values].join(', ')})`
  })
  return `INSERT INTO ${table} VALUES ${rows.join(',\n')};`
}

/** Gives every row the values of the next one. */
export function rotateWide(table: string): string {
  const sets = typeCases.map(({ type }) => `${quote(type)} = other.${quote(type)}`)
  return `UPDATE ${table} SET ${sets.join(', ')} FROM ${table} AS other WHERE other.id = (${table}.id + 1) % ${rowCount};`
}

/** The same with NOT NULL everywhere and a single row of first values. */
export function createStrict(table: string): string {
  const columns = typeCases.map(({ type }) => `${quote(type)} ${type} NOT NULL`)
  return `CREATE TABLE ${table} (id int PRIMARY KEY, ${columns.join(', ')}); ALTER TABLE ${table} REPLICA IDENTITY FULL;`
}

export function fillStrict(table: string): string {
  return `INSERT INTO ${table} VALUES (1, ${typeCases.map(({ type, values }) => `(${values[0]})::${type}`).join(', ')});`
}

export const keyCases = typeCases.filter(({ key }) => key)

/** Table of a type's values as primary keys. */
export function keyTable({ type }: TypeCase): string {
  return `public.${quote(`key ${type}`)}`
}

/** Spellings by row and column that differ between Postgres and ClickHouse; empty when all are equal. */
export async function differingCells(pipeline: Pipeline, table: string): Promise<string[]> {
  const source = typeCases.map(({ type, postgres }) => {
    const name = quote(type)
    // A composite of NULLs is itself NULL to IS NULL, and format spells NULL as nothing.
    const text = postgres?.replaceAll('$', () => name) ?? `format('%s', ${name})`
    return `CASE WHEN num_nulls(${name}) = 0 THEN (${text})::text END AS ${name}`
  })
  const target = typeCases.map(({ type, clickhouse }) => {
    const name = quoteName(type)
    return `if(isNull(${name}), NULL, ${clickhouse?.replaceAll('$', () => `assumeNotNull(${name})`) ?? `toString(${name})`}) AS ${quoteName(`${type} `)}`
  })
  await pipeline.sql(printedForm)
  const expected = await pipeline.sql<Cells>(`SELECT id, ${source.join(', ')} FROM ${table} ORDER BY id`)
  const actual = await pipeline.clickhouse<Cells>(`SELECT id, ${target.join(', ')} FROM \`${table}\` ORDER BY id`)
  await pipeline.sql('RESET ALL')
  const sides = [expected, actual].map(rows => new Map(rows.map(row => [Number(row.id), row])))
  const ids = new Set(sides.flatMap(side => [...side.keys()]))
  return [...ids].flatMap(id => {
    const [left, right] = sides.map(side => side.get(id))
    if (!left || !right) return [`row ${id} is only in ${left ? 'Postgres' : 'ClickHouse'}`]
    return typeCases
      .map(({ type }) => ({ type, postgres: left[type] ?? null, clickhouse: right[`${type} `] ?? null }))
      .filter(cell => cell.postgres !== cell.clickhouse)
      .map(cell => `row ${id}, ${cell.type}: ${shorten(cell.postgres)} is ${shorten(cell.clickhouse)} in ClickHouse`)
  })
}

type Cells = Readonly<Record<string, string | null>>

function shorten(text: string | null): string {
  if (text === null) return 'NULL'
  return text.length > 120 ? `${JSON.stringify(text.slice(0, 120))}… (${text.length})` : JSON.stringify(text)
}
