// contract/schema: a table as Avro schemas, and the table from its schemas.
// The value schema alone contains everything needed to create the table elsewhere.

import { avroName } from './names.ts'
import type { Column, Encoding, Table } from './table.ts'

export type AvroSchema = string | AvroSchema[] | { readonly [attribute: string]: unknown }

/**
 * A field of the row record. Its attributes are strings, because avro-cpp, which ClickHouse uses,
 * refuses others.
 */
interface RowField {
  readonly name: string
  readonly type: AvroSchema
  readonly pg_name: string
  readonly pg_type: string
  /** Needed besides the Avro type: `timestamp` and `timestamptz` have the same one. */
  readonly encoding: Encoding
  /** `mask` or `hash`, for a column whose values were changed before they left the source. */
  readonly policy?: string
  readonly doc?: string
}

interface AvroDecimal {
  readonly precision: number
  readonly scale: number
}

const avroTypes: Record<Exclude<Encoding, 'decimal'>, AvroSchema> = {
  boolean: 'boolean',
  int: 'int',
  long: 'long',
  float: 'float',
  double: 'double',
  date: { type: 'int', logicalType: 'date' },
  timestamp: { type: 'long', logicalType: 'timestamp-micros' },
  timestamptz: { type: 'long', logicalType: 'timestamp-micros' },
  uuid: { type: 'string', logicalType: 'uuid' },
  bytes: 'bytes',
  string: 'string',
}

/** Avro type of a column; a nullable column is the union `["null", type]`. */
function columnSchema(column: Column): AvroSchema {
  const bare =
    column.encoding === 'decimal'
      ? { type: 'bytes', logicalType: 'decimal', precision: column.precision, scale: column.scale }
      : avroTypes[column.encoding]
  return column.nullable ? ['null', bare] : bare
}

/**
 * Schema of a record's value, in Debezium's field names: `{source: {lsn, ordinal, txId, ts_us,
 * snapshot, schema, table}, op, ts_ms, before, after}`. The position comes first, so that it can be
 * read without decoding the rest. `op` is r (snapshot), c, u, d or t (truncate).
 * @see
 *   https://debezium.io/documentation/reference/stable/connectors/postgresql.html#postgresql-events
 */
export function valueSchema(table: Table): AvroSchema {
  const namespace = `${avroName(table.schema)}.${avroName(table.name)}`
  const row = { type: 'record', name: 'Value', fields: table.columns.map(rowField) }
  const source = {
    type: 'record',
    name: 'Source',
    fields: [
      { name: 'lsn', type: 'long' },
      { name: 'ordinal', type: 'long' },
      { name: 'txId', type: 'long' },
      { name: 'ts_us', type: 'long' },
      { name: 'snapshot', type: 'boolean' },
      { name: 'schema', type: 'string' },
      { name: 'table', type: 'string' },
    ],
  }
  return {
    type: 'record',
    name: 'Envelope',
    namespace,
    millrace: JSON.stringify({
      schema: table.schema,
      table: table.name,
      key: table.key,
      partitionKey: table.partitionKey,
      ...(table.hashKey === undefined ? {} : { hashKey: table.hashKey }),
      ...(table.comment === undefined ? {} : { comment: table.comment }),
    }),
    fields: [
      { name: 'source', type: source },
      { name: 'op', type: 'string' },
      { name: 'ts_ms', type: 'long' },
      { name: 'before', type: ['null', row], default: null },
      { name: 'after', type: ['null', 'Value'], default: null },
    ],
  }
}

/** Schema of a record's key: the primary key's columns, in key order. */
export function keySchema(table: Table): AvroSchema {
  return {
    type: 'record',
    name: 'Key',
    namespace: `${avroName(table.schema)}.${avroName(table.name)}`,
    fields: table.key.map(name => rowField(table.columns.find(column => column.name === name)!)),
  }
}

/**
 * The table that `valueSchema` was made from.
 * @throws {TypeError} when the schema was not written by millrace; the message says what is missing
 */
export function parseValueSchema(json: string): Table {
  const envelope = JSON.parse(json) as { millrace?: unknown; fields?: { name: string; type: unknown }[] }
  if (typeof envelope.millrace !== 'string') throw new TypeError('the schema has no "millrace" attribute')
  const before = envelope.fields?.find(field => field.name === 'before')?.type
  const row = Array.isArray(before) ? (before[1] as { fields?: RowField[] } | undefined) : undefined
  if (!row?.fields) throw new TypeError('the schema has no row record in "before"')
  const bare = row.fields.find(field => field.encoding !== 'decimal' && !Object.hasOwn(avroTypes, field.encoding ?? ''))
  if (bare) throw new TypeError(`the schema does not say how its field ${bare.name} is encoded`)
  const { schema, table, key, partitionKey, hashKey, comment } = JSON.parse(envelope.millrace) as {
    schema: string
    table: string
    key: string[]
    partitionKey: string[]
    hashKey?: string
    comment?: string
  }
  const columns = row.fields.map(parseField)
  return {
    ...{ schema, name: table, columns, key, partitionKey },
    ...(hashKey === undefined ? {} : { hashKey }),
    ...(comment === undefined ? {} : { comment }),
  }
}

function rowField(column: Column): RowField {
  return {
    name: avroName(column.name),
    type: columnSchema(column),
    pg_name: column.name,
    pg_type: column.pgType,
    encoding: column.encoding,
    ...(column.policy === undefined ? {} : { policy: column.policy }),
    ...(column.nullable ? { default: null } : {}),
    ...(column.comment === undefined ? {} : { doc: column.comment }),
  }
}

function parseField(field: RowField): Column {
  const nullable = Array.isArray(field.type)
  const bare: unknown = nullable ? (field.type as readonly AvroSchema[])[1] : field.type
  const { precision, scale } = bare as AvroDecimal
  return {
    name: field.pg_name,
    pgType: field.pg_type,
    encoding: field.encoding,
    nullable,
    ...(field.encoding === 'decimal' ? { precision, scale } : {}),
    ...(field.policy === undefined ? {} : { policy: field.policy as 'mask' | 'hash' }),
    ...(field.doc === undefined ? {} : { comment: field.doc }),
  }
}
