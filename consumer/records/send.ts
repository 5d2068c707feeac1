// consumer/records/send: sends the records of slices as the data of one INSERT.

import type { ClickHouseSettings } from '@clickhouse/client'
import type { AvroContainer } from '../../clickhouse/avro-file.ts'
import type { Clickhouse } from '../../clickhouse/client.ts'
import { insertSettings, insertStatement, nativeStatement } from '../../clickhouse/insert.ts'
import { wireHeaderBytes } from '../../contract/head.ts'
import { countRecords, type Slice } from './slice.ts'
import type { RecordFormat } from './tables.ts'

/**
 * Up to this many records, this process decodes them, because a small INSERT costs ClickHouse more
 * to plan than to run. ClickHouse decodes larger ones, with several threads.
 */
const mostDecoded = 5_000

/**
 * Inserts the records into the table's changelog.
 * @param guard SQL condition that fails the statement when the records must not be inserted
 * @throws {MillraceError} CLICKHOUSE_REFUSED when ClickHouse cannot store a value; other
 *   CLICKHOUSE_*
 */
export async function insertRecords(
  clickhouse: Clickhouse,
  { block, container, table }: RecordFormat,
  { slices, guard }: { slices: readonly Slice[]; guard: string },
): Promise<void> {
  const records = countRecords(slices)
  const settings = insertSettings(records)
  if (records > mostDecoded || !appendAll(slices, (...record) => block.append(...record))) {
    block.reset()
    const statement = insertStatement(table, undefined, guard)
    return sendRecords(clickhouse, container, { statement, settings }, slices)
  }
  try {
    await clickhouse.insert(nativeStatement(table, undefined, guard), block.chunks(), settings)
  } finally {
    block.reset()
  }
}

/**
 * Sends the records as an Avro file.
 * @throws {MillraceError} as `insertRecords`
 */
export async function sendRecords(
  clickhouse: Clickhouse,
  container: AvroContainer,
  { statement, settings }: { statement: string; settings: ClickHouseSettings },
  slices: readonly Slice[],
): Promise<void> {
  appendAll(slices, (...record) => {
    container.append(...record)
    return true
  })
  try {
    await clickhouse.insert(statement, container.chunks(), settings)
  } finally {
    container.reset()
  }
}

type Append = (partition: number, offset: number, source: Buffer, start: number, end: number) => boolean

/** @returns false after the first record that is not appended */
function appendAll(slices: readonly Slice[], append: Append): boolean {
  for (const { partition, records, from, to } of slices) {
    const { buffer, offsets, valueStarts, valueEnds } = records
    for (let index = from; index < to; index++) {
      const start = valueStarts[index]! + wireHeaderBytes
      if (!append(partition, offsets[index]!, buffer, start, valueEnds[index]!)) return false
    }
  }
  return true
}
