// producer/capture/captured-table: the description of a table that this pipeline captures.

import type { Table } from '../../contract/table.ts'
import type { SourceColumn } from '../../postgres/catalog/catalog.ts'
import type { HashKey } from '../../runtime/config/hash-key.ts'
import type { ColumnPolicy } from './column-policy.ts'

/** What happens to the columns of a table before its rows leave the producer. */
export interface Guard {
  /** Policy of each column of `table.columns`. */
  readonly policies: readonly ColumnPolicy[]
  readonly hashKey: HashKey | undefined
  /**
   * The configuration names every column that may be sent. Other columns are withheld, and the
   * table's changes go on.
   */
  readonly personal: boolean
  /** Columns that are withheld, because the configuration does not classify them. */
  readonly unclassified: readonly string[]
  /** Columns that the configuration drops. */
  readonly dropped: readonly string[]
}

export interface CapturedTable {
  readonly table: Table
  readonly oid: number
  /** `r` ordinary, `p` partitioned: `pg_class.relkind`. */
  readonly kind: string
  /** The sent columns as Postgres announces them in the stream, in the order of `table.columns`. */
  readonly columns: readonly Pick<SourceColumn, 'name' | 'typeOid' | 'typeModifier'>[]
  /**
   * Indexes of the columns of the primary and the partition key. A row whose text in them is
   * unchanged is the same row.
   */
  readonly identityColumns: readonly number[]
  /** Indexes of the partition key's columns, in the order of the key. */
  readonly partitionColumns: readonly number[]
  readonly partitions: number
  readonly group: string
  readonly onError: 'stop' | 'dead-letter'
  /** Two rows may have the same primary key until the end of a transaction. */
  readonly deferrableKey: boolean
  /** Only where a column is not sent unchanged. */
  readonly guard?: Guard
}
