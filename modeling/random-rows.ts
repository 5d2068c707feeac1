// modeling/random-rows: SELECTs of random rows of a captured table, the same for the same seed.

import { quoteName, quoteString } from '../clickhouse/quote.ts'
import type { Column, Table } from '../contract/table.ts'
import { tableName } from '../contract/table.ts'
import { clickhouseType } from '../contract/types.ts'
import type { Aggregate, Source } from './aggregate.ts'

/** One of the sets of rows that a check uses. Sets of one seed share many rows. */
export interface RowSet {
  readonly seed: number
  readonly count: number
  /** Two states of the same tables. Between them rows come, go and change. */
  readonly state: 'before' | 'after'
}

/** Values of `by` are few, so that rows of different tables meet. */
const keyValues = 7

/**
 * The source's columns of random rows. Texts are often those that the SELECT compares with, since
 * others would seldom count.
 */
export function randomRows(aggregate: Aggregate, { table, columns }: Source, set: RowSet): string {
  const texts = ["''", "'a'", ...(aggregate.contributions.match(/'(?:\\.|''|[^'\\])*'/g) ?? [])]
  const { state, seed } = set
  /** A row's value stays the same from one state to the other in three of four columns. */
  const hashOf = (name: string) => {
    const salt = (own: string) => `cityHash64(${seed}, ${quoteString(`${tableName(table)}.${name} ${own}`)}, number)`
    return state === 'before' ? salt('') : `if(${salt('moves')} % 4 = 0, ${salt('after')}, ${salt('')})`
  }
  const isThere = `cityHash64(${seed}, ${quoteString(`${tableName(table)} ${state}`)}, number) % 4 != 0`
  const values = table.columns
    .filter(({ name }) => columns.includes(name))
    .map(
      column =>
        `${sqlValue(column, numberOf(aggregate, table, { column, hash: hashOf(column.name) }), { texts })} AS ${quoteName(column.name)}`,
    )
  return `SELECT ${values.join(', ')} FROM numbers(${set.count}) WHERE ${isThere}`
}

/** An SQL integer that decides about the value: unique in a primary key, small in `by`. */
function numberOf({ by }: Aggregate, { key }: Table, { column, hash }: { column: Column; hash: string }): string {
  const isUnique = key.every(name => by.includes(name)) || !by.includes(column.name)
  if (key.includes(column.name) && isUnique) return 'number'
  return by.includes(column.name) ? `${hash} % ${keyValues}` : hash
}

function sqlValue(column: Column, number: string, { texts }: { texts: readonly string[] }): string {
  const type = quoteString(clickhouseType({ ...column, nullable: false }))
  const small = `toInt64((${number}) % 23)`
  const value = {
    boolean: `CAST((${number}) % 2, 'Bool')`,
    int: `CAST(${small}, ${type})`,
    long: `CAST(${small}, ${type})`,
    float: `CAST(${small} / 4, ${type})`,
    double: `CAST(${small} / 4, ${type})`,
    decimal: `accurateCastOrDefault(${small}, ${type})`,
    date: `toDate32('2024-02-20') + ${small}`,
    timestamp: `toDateTime64('2024-02-20 00:00:00', 6, 'UTC') + toIntervalHour(${small} * 31)`,
    timestamptz: `toDateTime64('2024-02-20 00:00:00', 6, 'UTC') + toIntervalHour(${small} * 31)`,
    uuid: `reinterpretAsUUID(toUInt128(${small}))`,
    bytes: `toString(${small})`,
    string: `[${texts.join(', ')}][toUInt64(${number}) % ${texts.length} + 1]`,
  }[column.encoding]
  return column.nullable ? `if(cityHash64(${number}) % 5 = 0, NULL, ${value})` : value
}
