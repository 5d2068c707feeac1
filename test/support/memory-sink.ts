// test/support/memory-sink: a sink that keeps its records in order, for tests without a broker.

import type { RecordSink } from '../../producer/write/table-writer.ts'

export interface KeptRecord {
  readonly topicIndex: number
  readonly partition: number
  readonly key: Buffer | null
  readonly value: Buffer
}

export class MemorySink implements RecordSink {
  readonly records: KeptRecord[] = []

  append(...[topicIndex, partition, source, keyStart, keyEnd, valueStart, valueEnd]: Parameters<RecordSink['append']>) {
    const key = keyStart < 0 ? null : Buffer.from(source.subarray(keyStart, keyEnd))
    this.records.push({ topicIndex, partition, key, value: Buffer.from(source.subarray(valueStart, valueEnd)) })
  }
}
