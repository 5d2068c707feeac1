// consumer/insert/trial: an insert tried on a copy of the changelog that keeps nothing, with no view behind it or with one.
// Nothing of a trial is left, and nothing of it counts.

import { randomUUID } from 'node:crypto'
import type { Clickhouse } from '../../clickhouse/client.ts'
import { changelogName, storageName } from '../../clickhouse/ddl.ts'
import { insertSettings, insertStatement } from '../../clickhouse/insert.ts'
import { quoteName } from '../../clickhouse/quote.ts'
import { MillraceError } from '../../runtime/errors.ts'
import { sendRecords } from '../records/send.ts'
import { countRecords, halve, type Slice } from '../records/slice.ts'
import type { RecordFormat, TargetTable } from '../records/tables.ts'

export interface Trial {
  /** Why the slices cannot be inserted; undefined when they can. @throws {MillraceError} for everything that is not about their values */
  fails(slices: readonly Slice[]): Promise<MillraceError | undefined>
}

interface Target {
  readonly clickhouse: Clickhouse
  readonly table: TargetTable
  readonly format: RecordFormat
}

export interface TriedInsert extends Target {
  readonly slices: readonly Slice[]
}

interface TrialOf extends Target {
  /** SELECT of a materialized view over the changelog, in ClickHouse's own spelling; undefined for the table alone. */
  readonly view?: string
}

export async function withTrial<T>(
  { clickhouse, table, format, view }: TrialOf,
  work: (trial: Trial) => Promise<T>,
): Promise<T> {
  const { schema, name } = table.table
  // It goes with its table if this process is killed: nobody reads it, and nothing is in it.
  const trial = `${storageName(schema, name)}.trial.${randomUUID().slice(0, 8)}`
  const changelog = quoteName(changelogName(table.table))
  const statement = insertStatement(table.table, trial)
  await clickhouse.command(`CREATE TABLE ${quoteName(trial)} AS ${changelog} ENGINE = Null`)
  try {
    if (view !== undefined) {
      const select = view.replaceAll(changelog, quoteName(trial))
      await clickhouse.command(`CREATE MATERIALIZED VIEW ${quoteName(`${trial}.view`)} ENGINE = Null AS ${select}`)
    }
    return await work({
      async fails(slices) {
        try {
          await sendRecords(clickhouse, format.container, { statement, settings: insertSettings(trial, 1) }, slices)
          return undefined
        } catch (error) {
          if (error instanceof MillraceError && error.code === 'CLICKHOUSE_REFUSED') return error
          throw error
        }
      },
    })
  } finally {
    if (view !== undefined) await clickhouse.command(`DROP TABLE IF EXISTS ${quoteName(`${trial}.view`)} SYNC`)
    await clickhouse.command(`DROP TABLE IF EXISTS ${quoteName(trial)} SYNC`)
  }
}

/** Slices of one record each that fail alone; stops looking beyond `most`. */
export async function findRefused(trial: Trial, slices: readonly Slice[], most: number): Promise<Slice[]> {
  if ((await trial.fails(slices)) === undefined) return []
  if (countRecords(slices) === 1) return [...slices]
  const [left, right] = halve(slices)
  const found = await findRefused(trial, left, most)
  return found.length > most ? found : [...found, ...(await findRefused(trial, right, most - found.length))]
}
