// consumer/insert/inserter: what every insert into a generation's database needs.

import type { Clickhouse } from '../../clickhouse/client.ts'
import type { MillraceError } from '../../runtime/errors.ts'
import type { Image } from '../records/images.ts'
import type { Slice } from '../records/slice.ts'
import type { TargetTable } from '../records/tables.ts'
import { guardOf } from '../warehouse/epoch.ts'

/** A slice of one record, and why the record, or one image of it, cannot be inserted. */
export interface Refused {
  readonly record: Slice
  readonly image?: Image
  readonly error: MillraceError
}

/**
 * Writes records of a table to the dead-letter topic. Resolves when they are durable, each once.
 * Throws when the table's `onError` is `stop`.
 */
export type RefusedHandler = (table: TargetTable, refused: readonly Refused[]) => Promise<void>

export interface Inserter {
  /** The query ids of its statements begin with `insertQueryPrefix(database)`. */
  readonly clickhouse: Clickhouse
  /** The generation's database. */
  readonly database: string
  readonly onRefused: RefusedHandler
  /**
   * Called right before each insert.
   * @throws {MillraceError} FENCED when another member may own the partitions
   */
  requireOwnership(): void
  /** Every insert fails with FENCED when another epoch has begun; undefined before a takeover. */
  epoch: string | undefined
}

/** SQL condition of every statement that writes. */
export function guard({ epoch }: Pick<Inserter, 'epoch'>): string {
  return guardOf(epoch ?? 'none')
}

/** Prefix of the query ids of all inserts into a generation's database. */
export function insertQueryPrefix(database: string): string {
  return `insert-${database}-`
}
