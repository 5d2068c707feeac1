// producer/captured: a table as this pipeline captures it.
// May know: contract/table, postgres/catalog.

import type { Table } from '../contract/table.ts'
import type { SourceColumn } from '../postgres/catalog.ts'

export interface CapturedTable {
  readonly table: Table
  readonly oid: number
  /** `r` ordinary, `p` partitioned: `pg_class.relkind`. */
  readonly kind: string
  /** As Postgres announces them in the stream, in the order of `table.columns`. */
  readonly columns: readonly Pick<SourceColumn, 'name' | 'typeOid' | 'typeModifier'>[]
  /** Places of the primary and the partition key's columns: while their text stays, a row stays the same row. */
  readonly identityColumns: readonly number[]
  /** Places of the partition key's columns, in its order. */
  readonly partitionColumns: readonly number[]
  readonly partitions: number
  readonly group: string
  readonly onRefusal: 'stop' | 'divert'
  /** Two rows may have the same primary key until the end of a transaction. */
  readonly deferrableKey: boolean
}
