// test/support/fetched-records: records of a table with one column, as a fetch gives them.

import { AvroWriter } from '../../contract/avro-writer.ts'
import { Encoder } from '../../contract/encode.ts'
import { Envelope } from '../../contract/envelope.ts'
import type { Table } from '../../contract/table.ts'
import type { FetchedPartition } from '../../kafka/consumer/fetcher.ts'
import type { RecordSet } from '../../kafka/protocol/record-batch.ts'
import { textRow } from './text-row.ts'

const table: Table = {
  schema: 'public',
  name: 'counted',
  columns: [{ name: 'id', pgType: 'integer', encoding: 'int', nullable: false }],
  key: ['id'],
  partitionKey: ['id'],
}
const encoder = new Encoder({ table, keySchemaId: 1, valueSchemaId: 2, maxImageBytes: 1000 }, new AvroWriter())

/** Reads them. */
export const envelope = new Envelope(table, id => id === 2)

export interface Sample {
  readonly offset: number
  readonly lsn: number
  readonly kind?: 'truncate' | 'foreign'
}

/** Of topic `t`, partition 0. @param fromOffset where the fetch began */
export function fetchedRecords(samples: readonly Sample[], fromOffset = samples[0]?.offset ?? 0): FetchedPartition {
  const bytes = samples.flatMap(({ lsn, kind }) => {
    const op = kind === 'truncate' ? 't' : 'c'
    const change = { op, lsn, ordinal: 0, txId: 1, commitTimeUs: 1, snapshot: false, madeAtMs: 1 } as const
    encoder.encode(change, undefined, op === 't' ? undefined : textRow(['7']))
    const key = Buffer.from(encoder.writer.buffer.subarray(0, encoder.keyEnd))
    const value = Buffer.from(encoder.writer.buffer.subarray(encoder.keyEnd, encoder.valueEnd))
    // A position as ours, and a schema id that is not.
    if (kind === 'foreign') value.writeUInt32BE(99, 1)
    return [key, value]
  })
  const ends: number[] = []
  for (const part of bytes) ends.push((ends.at(-1) ?? 0) + part.length)
  const endsOf = (index: number) => Int32Array.from(samples, (_, record) => ends[record * 2 + index]!)
  const records: RecordSet = {
    count: samples.length,
    buffer: Buffer.concat(bytes),
    offsets: Float64Array.from(samples, ({ offset }) => offset),
    timestamps: new Float64Array(samples.length),
    keyStarts: Int32Array.from(samples, ({ kind }, record) => (kind === 'truncate' ? -1 : (ends[record * 2 - 1] ?? 0))),
    keyEnds: endsOf(0),
    valueStarts: endsOf(0),
    valueEnds: endsOf(1),
    nextOffset: (samples.at(-1)?.offset ?? 0) + 1,
  }
  return { topic: 't', partition: 0, end: 100, records, fromOffset }
}
