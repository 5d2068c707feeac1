// contract/table: the definition of a captured table that the producer and the consumer share.
// The producer makes it from Postgres' catalog and writes it into the Avro schema, from which the
// consumer reads it.

/**
 * How a column's text becomes an Avro value and a ClickHouse value. See types.ts for the complete
 * list.
 */
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
  /**
   * Postgres' own spelling, as `format_type` prints it: `numeric(15,2)`, `character varying(20)`,
   * `mood[]`.
   */
  readonly pgType: string
  readonly encoding: Encoding
  readonly nullable: boolean
  /** Only for `decimal`. */
  readonly precision?: number
  readonly scale?: number
  /** How the values were changed before they left the source; absent for unchanged values. */
  readonly policy?: 'mask' | 'hash'
  readonly comment?: string
}

export interface Table {
  readonly schema: string
  readonly name: string
  readonly columns: readonly Column[]
  /** Names of the primary key's columns, in key order; never empty. */
  readonly key: readonly string[]
  /** Names of the columns whose values determine the partition; by default the primary key. */
  readonly partitionKey: readonly string[]
  /** Identifier and fingerprint of the key of its hashed columns; absent without hashed columns. */
  readonly hashKey?: string
  readonly comment?: string
}

/**
 * `schema.name`, unique, for messages and as a map key. A part with a dot, a quotation mark or a
 * control character is written as JSON text, `"a.b".c`, so that it cannot be read as two parts or
 * end a line. Do not use it in SQL.
 */
export function tableName(table: { readonly schema: string; readonly name: string }): string {
  return `${namePart(table.schema)}.${namePart(table.name)}`
}

function namePart(name: string): string {
  return /[."\\\p{Cc}]/u.test(name) ? JSON.stringify(name) : name
}
