// consumer/insert/trial: tries an insert on a copy of the changelog with the engine Null, which
// stores nothing.

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
  /**
   * Why ClickHouse refuses the slices; undefined when it does not.
   * @throws {MillraceError} for errors that no value causes
   */
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

export async function withTrial<T>(
  { clickhouse, table, format }: Target,
  work: (trial: Trial) => Promise<T>,
): Promise<T> {
  const { schema, name } = table.table
  // If this process is killed, the empty copy remains until the database is dropped. Nothing reads
  // it.
  const trial = `${storageName(schema, name)}.trial.${randomUUID().slice(0, 8)}`
  const changelog = quoteName(changelogName(table.table))
  const statement = insertStatement(table.table, trial)
  await clickhouse.command(`CREATE TABLE ${quoteName(trial)} AS ${changelog} ENGINE = Null`)
  try {
    return await work({
      async fails(slices) {
        try {
          await sendRecords(clickhouse, format.container, { statement, settings: insertSettings(1) }, slices)
          return undefined
        } catch (error) {
          if (error instanceof MillraceError && error.code === 'CLICKHOUSE_REFUSED') return error
          throw error
        }
      },
    })
  } finally {
    await clickhouse.command(`DROP TABLE IF EXISTS ${quoteName(trial)} SYNC`)
  }
}

/** The refused records as slices of one record each. Stops after finding more than `most`. */
export async function findRefused(trial: Trial, slices: readonly Slice[], most: number): Promise<Slice[]> {
  if ((await trial.fails(slices)) === undefined) return []
  if (countRecords(slices) === 1) return [...slices]
  const [left, right] = halve(slices)
  const found = await findRefused(trial, left, most)
  return found.length > most ? found : [...found, ...(await findRefused(trial, right, most - found.length))]
}
