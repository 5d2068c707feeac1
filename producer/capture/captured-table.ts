// producer/capture/captured-table: a table as this pipeline captures it.

import type { Table } from '../../contract/table.ts'
import type { SourceColumn } from '../../postgres/catalog/catalog.ts'
import type { HashKey } from '../../runtime/config/hash-key.ts'
import type { ColumnPolicy } from './column-policy.ts'

/** What stands between the rows of a table and everything that leaves. */
export interface Guard {
  /** By column of `table.columns`. */
  readonly policies: readonly ColumnPolicy[]
  readonly hashKey: HashKey | undefined
  /** Every column of the source that is to leave is named, so that others can be held back while the rest goes on. */
  readonly personal: boolean
  /** Columns that are held back because nobody has classified them. */
  readonly unclassified: readonly string[]
  /** Columns that are left out on purpose. */
  readonly dropped: readonly string[]
}

export interface CapturedTable {
  readonly table: Table
  readonly oid: number
  /** `r` ordinary, `p` partitioned: `pg_class.relkind`. */
  readonly kind: string
  /** As Postgres announces them in the stream, in the order of `table.columns`; columns that do not leave are missing. */
  readonly columns: readonly Pick<SourceColumn, 'name' | 'typeOid' | 'typeModifier'>[]
  /** Places of the primary and the partition key's columns: while their text stays, a row stays the same row. */
  readonly identityColumns: readonly number[]
  /** Places of the partition key's columns, in its order. */
  readonly partitionColumns: readonly number[]
  readonly partitions: number
  readonly group: string
  readonly onError: 'stop' | 'dead-letter'
  /** Two rows may have the same primary key until the end of a transaction. */
  readonly deferrableKey: boolean
  /** Only where some column does not leave as it is. */
  readonly guard?: Guard
}
