// verify/canonical: one canonical text of every value, computed inside Postgres and inside
// ClickHouse.
// Shares no code with the consumer, and reads the values from each database.

import { quoteName } from '../clickhouse/quote.ts'
import type { Column, Table } from '../contract/table.ts'
import { quoteName as quotePostgres } from '../postgres/client/quote.ts'
import { applyPolicy } from './policies.ts'

/** SQL expressions over one row, in both dialects. */
export interface RowSql {
  /** Text of the key. */
  readonly key: string
  /** First 64 bits of the MD5 of all columns' texts, as a signed integer. */
  readonly digest: string
}

export function postgresRow(table: Table): RowSql {
  // A chain of `||` nests as deep as the table is wide, and would exceed Postgres' stack depth
  // limit.
  const joined = (all: readonly Column[]) => `array_to_string(ARRAY[${all.map(postgresPiece).join(', ')}], ',')`
  return {
    key: joined(keyColumns(table)),
    digest: `('x' || left(md5(${joined(table.columns)}), 16))::bit(64)::bigint`,
  }
}

export function clickhouseRow(table: Table): RowSql {
  const joined = (all: readonly Column[]) => `concat(${all.map(clickhousePiece).join(`, ',', `)}, '')`
  return {
    key: joined(keyColumns(table)),
    digest: `reinterpretAsInt64(reverse(substring(MD5(${joined(table.columns)}), 1, 8)))`,
  }
}

/**
 * First hex digits of the key's MD5. Its ranges have even sizes, and do not depend on a collation.
 */
export const keyRange = {
  postgres: (key: string, digits: number): string => `left(md5(${key}), ${digits})`,
  clickhouse: (key: string, digits: number): string => `substring(lower(hex(MD5(${key}))), 1, ${digits})`,
}

function keyColumns({ columns, key }: Table): Column[] {
  const byName = new Map(columns.map(column => [column.name, column]))
  return key.map(name => byName.get(name)!)
}

/** `bytes:text`, or `~` for NULL, so that different rows have different texts. */
function postgresPiece(column: Column): string {
  const text = postgresText(column)
  return `coalesce(octet_length(convert_to(${text}, 'UTF8')) || ':' || (${text}), '~')`
}

function clickhousePiece(column: Column): string {
  const text = clickhouseText(column)
  const piece = `concat(toString(length(${text})), ':', ${text})`
  return column.nullable ? `if(isNull(${quoteName(column.name)}), '~', assumeNotNull(${piece}))` : piece
}

function postgresText(column: Column): string {
  return applyPolicy(plainPostgresText(column), column)
}

function plainPostgresText(column: Column): string {
  const name = quotePostgres(column.name)
  switch (column.encoding) {
    case 'boolean':
      return `${name}::int::text`
    case 'decimal': {
      // Only padded with zeros: digits that ClickHouse lacks must remain visible as a difference.
      const [exact, rounded] = [`${name}::numeric`, `round(${name}::numeric, ${column.scale})`]
      return `CASE WHEN ${exact} = ${rounded} THEN ${rounded} ELSE ${exact} END::text`
    }
    case 'float':
      return `CASE WHEN ${name} = 'NaN' THEN 'NaN' ELSE encode(float4send(${name}), 'hex') END`
    case 'double':
      return `CASE WHEN ${name} = 'NaN' THEN 'NaN' ELSE encode(float8send(${name}), 'hex') END`
    case 'date':
      return `CASE WHEN isfinite(${name}::date) THEN (${name}::date - date '1970-01-01')::text ELSE ${name}::text END`
    case 'timestamp':
    case 'timestamptz':
      return `trunc(extract(epoch FROM ${name}) * 1000000)::text`
    case 'bytes':
      return `encode(${name}, 'hex')`
    case 'string':
      return castPrints.test(column.pgType) ? `${name}::text` : printed(name)
    default:
      return `${name}::text`
  }
}

/**
 * Types whose cast to text equals their output. A cast of `character` drops the padding, one of
 * `inet` adds a netmask.
 */
const castPrints = /^(text|character varying|jsonb?|numeric)\b/

/**
 * The text of the type's output function. `num_nulls` is right for a composite of NULLs, and IS
 * NULL is not. `format` prints NULL as an empty text.
 */
function printed(name: string): string {
  return `CASE WHEN num_nulls(${name}) = 0 THEN format('%s', ${name}) END`
}

function clickhouseText(column: Column): string {
  const name = quoteName(column.name)
  switch (column.encoding) {
    case 'boolean':
      return `toString(toUInt8(${name}))`
    case 'decimal':
      return `toDecimalString(${name}, ${column.scale})`
    case 'float':
      return `if(isNaN(${name}), 'NaN', leftPad(lower(hex(reinterpretAsUInt32(${name}))), 8, '0'))`
    case 'double':
      return `if(isNaN(${name}), 'NaN', leftPad(lower(hex(reinterpretAsUInt64(${name}))), 16, '0'))`
    case 'date':
      return `toString(toInt32(${name}))`
    case 'timestamp':
    case 'timestamptz':
      return `toString(toUnixTimestamp64Micro(${name}))`
    case 'bytes':
      return `lower(hex(${name}))`
    default:
      return `toString(${name})`
  }
}
