// producer/tables: types only for now
import type { Table } from '../contract/table.ts'

export interface SourceColumn {
  readonly name: string
  readonly typeOid: number
  readonly typeModifier: number
}

/** A table as this pipeline captures it. */
export interface CapturedTable {
  readonly table: Table
  readonly oid: number
  /** As Postgres announces them in the stream, in the order of `table.columns`. */
  readonly columns: readonly SourceColumn[]
  /** Places of the primary and the partition key's columns: while their text stays, a row stays the same row. */
  readonly identityColumns: readonly number[]
  /** Places of the partition key's columns, in its order. */
  readonly partitionColumns: readonly number[]
  readonly partitions: number
  readonly group: string
  readonly onRefusal: 'stop' | 'divert'
}
