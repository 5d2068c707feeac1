// contract/table: what both ends know of a captured table.
// Made from Postgres' catalog by the producer, carried in the Avro schema, read back by the consumer.

/** How a column's text form becomes an Avro value, and what it is in ClickHouse. See types.ts for the closed table. */
export type Encoding =
  | 'boolean'
  | 'int'
  | 'long'
  | 'float'
  | 'double'
  | 'decimal'
  | 'date'
  | 'timestamp'
  | 'timestamptz'
  | 'uuid'
  | 'bytes'
  | 'string'

export interface Column {
  readonly name: string
  /** Postgres' own spelling, as `format_type` prints it: `numeric(15,2)`, `character varying(20)`, `mood[]`. */
  readonly pgType: string
  readonly encoding: Encoding
  readonly nullable: boolean
  /** Only for `decimal`. */
  readonly precision?: number
  readonly scale?: number
  /** What was done to the values before they left the source; without it they are as they were. */
  readonly policy?: 'mask' | 'hash'
  readonly comment?: string
}

export interface Table {
  readonly schema: string
  readonly name: string
  readonly columns: readonly Column[]
  /** Names of the primary key's columns, in key order; never empty. */
  readonly key: readonly string[]
  /** Names of the columns whose values choose the partition; by default the primary key. */
  readonly partitionKey: readonly string[]
  /** Identifier and fingerprint of the key that its hashed columns were made with; only where there are any. */
  readonly hashKey?: string
  readonly comment?: string
}

/**
 * `schema.name`, for messages and maps: no two tables have the same. A part with a dot, a quotation mark or a control character in it stands as
 * JSON text, `"a.b".c`, so that it neither passes for two parts nor ends a line. Never put it into SQL.
 */
export function tableName(table: { readonly schema: string; readonly name: string }): string {
  return `${namePart(table.schema)}.${namePart(table.name)}`
}

function namePart(name: string): string {
  return /[."\\\p{Cc}]/u.test(name) ? JSON.stringify(name) : name
}
