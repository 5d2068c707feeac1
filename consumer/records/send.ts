// consumer/records/send: sends the records of slices as the data of one INSERT.

import type { ClickHouseSettings } from '@clickhouse/client'
import type { AvroContainer } from '../../clickhouse/avro-file.ts'
import type { Clickhouse } from '../../clickhouse/client.ts'
import { wireHeaderBytes } from '../../contract/head.ts'
import type { Slice } from './slice.ts'

/**
 * @throws {MillraceError} CLICKHOUSE_REFUSED when ClickHouse cannot store a value; other
 *   CLICKHOUSE_*
 */
export async function sendRecords(
  clickhouse: Clickhouse,
  container: AvroContainer,
  { statement, settings }: { statement: string; settings: ClickHouseSettings },
  slices: readonly Slice[],
): Promise<void> {
  for (const { partition, records, from, to } of slices) {
    const { buffer, offsets, valueStarts, valueEnds } = records
    for (let index = from; index < to; index++) {
      container.append(partition, offsets[index]!, buffer, valueStarts[index]! + wireHeaderBytes, valueEnds[index]!)
    }
  }
  try {
    await clickhouse.insert(statement, container.chunks(), settings)
  } finally {
    container.reset()
  }
}
