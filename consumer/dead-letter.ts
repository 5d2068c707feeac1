// consumer/dead-letter: a record that cannot be folded, set aside whole or brought to a halt at.
// May know: contract/dead-letter, kafka, consumer/{insert,slice,tables}.

import { type DeadLetter, deadLetterPartitions } from '../contract/dead-letter.ts'
import type { KafkaConnection } from '../kafka/cluster.ts'
import { openSink } from '../kafka/sink.ts'
import { MillraceError } from '../runtime/errors.ts'
import type { DivertRecord } from './insert.ts'

export interface DeadLetters {
  readonly write: WriteDeadLetter
  close(): Promise<void>
}

/** @throws {MillraceError} TOPIC_MISSING when the producer has not made the topic; the signal's reason */
export async function openDeadLetters(
  connection: KafkaConnection,
  topic: string,
  signal: AbortSignal,
): Promise<DeadLetters> {
  let failure: MillraceError | undefined
  const sink = await openSink(connection, {
    topics: [{ name: topic, partitions: Object.keys(deadLetterPartitions).length, shared: true }],
    compression: 'none',
    onDurable: () => {},
    signal,
    onError: error => {
      failure = error
    },
  })
  return {
    async write(value) {
      if (failure !== undefined) throw failure
      sink.append(0, deadLetterPartitions.consumer, value, -1, -1, 0, value.length)
      await sink.flush()
    },
    close: () => sink.close(),
  }
}

/** Writes one value durably to the dead-letter topic. */
export type WriteDeadLetter = (value: Buffer) => Promise<void>

/** By the table's policy: `stop` throws with the record's place, `divert` resolves once the record is safe. */
export function divertTo(write: WriteDeadLetter): DivertRecord {
  return async (table, slice, error) => {
    const { records, from, partition } = slice
    const offset = records.offsets[from]!
    const where = `topic ${table.topic}, partition ${partition}, offset ${offset}`
    if (table.onRefusal === 'stop') {
      throw new MillraceError('RECORD_UNREADABLE', {
        what: error.message,
        where,
        next: 'mend or remove the cause, or set onRefusal: divert for the table to move such records to the dead-letter topic; nothing after this record was folded',
        cause: error,
      })
    }
    const bytes = (start: number, end: number) => (start === -1 ? null : records.buffer.toString('base64', start, end))
    const letter: DeadLetter = {
      code: error.code,
      what: error.message,
      next: error.next,
      at: new Date().toISOString(),
      schema: table.table.schema,
      table: table.table.name,
      record: {
        topic: table.topic,
        partition,
        offset,
        key: bytes(records.keyStarts[from]!, records.keyEnds[from]!),
        value: bytes(records.valueStarts[from]!, records.valueEnds[from]!),
      },
    }
    await write(Buffer.from(JSON.stringify(letter)))
  }
}
