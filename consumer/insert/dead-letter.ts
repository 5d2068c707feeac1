// consumer/insert/dead-letter: writes records that cannot be inserted to the dead-letter topic,
// each whole and once.

import { type DeadLetter, deadLetterPartitions, recordLetterKey } from '../../contract/dead-letter.ts'
import type { KafkaConnection } from '../../kafka/client/cluster.ts'
import { openFetcher } from '../../kafka/consumer/fetcher.ts'
import { readRange } from '../../kafka/consumer/read-range.ts'
import { largestBatches } from '../../kafka/producer/broker-limits.ts'
import { type IdempotentProducer, openProducer } from '../../kafka/producer/idempotent-producer.ts'
import type { MillraceError } from '../../runtime/errors.ts'
import type { Log } from '../../runtime/log.ts'
import type { TargetTable } from '../records/tables.ts'
import type { Refused, RefusedHandler } from './inserter.ts'

type RecordLetter = DeadLetter & Required<Pick<DeadLetter, 'record'>>

/** Bytes for the headers that Kafka adds to a record and its batch. */
const batchMargin = 4096
/** Bytes of unacknowledged letters. Above this, further letters wait. */
const mostPending = 8 * 1024 * 1024
const partition = deadLetterPartitions.consumer

export interface DeadLettersOptions {
  readonly connection: KafkaConnection
  readonly topic: string
  readonly signal: AbortSignal
}

/**
 * @throws {MillraceError} TOPIC_MISSING when the producer has not made the topic; the signal's
 *   reason
 */
export async function openDeadLetters(options: DeadLettersOptions): Promise<DeadLetters> {
  const [limit] = await largestBatches(options.connection, [options.topic])
  return new DeadLetters(options, await openLetterProducer(options), limit! - batchMargin)
}

/** Its first error is final. The next write opens a new one. */
interface LetterProducer {
  readonly producer: IdempotentProducer
  failure?: MillraceError
}

async function openLetterProducer({ connection, topic, signal }: DeadLettersOptions): Promise<LetterProducer> {
  const topics = [{ name: topic, partitions: Object.keys(deadLetterPartitions).length, shared: true }]
  const onError = (error: MillraceError) => {
    opened.failure = error
  }
  const opened: LetterProducer = {
    producer: await openProducer(connection, { topics, compression: 'none', onDurable: () => {}, signal, onError }),
  }
  return opened
}

export class DeadLetters {
  readonly #options: DeadLettersOptions
  readonly #fetcher
  readonly #limit: number
  /** Keys of the letters in the topic. */
  readonly #known = new Set<string>()
  #readTo = 0
  #letters: LetterProducer
  /** Writes run one after the other. */
  #last: Promise<unknown> = Promise.resolve()

  constructor(options: DeadLettersOptions, letters: LetterProducer, limit: number) {
    this.#options = options
    this.#letters = letters
    this.#limit = limit
    this.#fetcher = openFetcher(options.connection)
  }

  /**
   * Writes the letters that the topic lacks. An earlier attempt, or another consumer, may have
   * written some. The key of a letter identifies its record, so the topic shows which letters
   * exist.
   * @throws {MillraceError} the Kafka producer's failure. The same call can be repeated
   */
  write(letters: readonly RecordLetter[]): Promise<void> {
    const written = this.#last.then(() => this.#write(letters))
    this.#last = written.catch(() => {})
    return written
  }

  async close(): Promise<void> {
    this.#fetcher.close()
    await this.#letters.producer.close()
  }

  async #write(letters: readonly RecordLetter[]): Promise<void> {
    if (this.#letters.failure !== undefined) {
      await this.#letters.producer.close()
      this.#letters = await openLetterProducer(this.#options)
    }
    await this.#catchUp()
    const { producer } = this.#letters
    for (const letter of letters) {
      const key = recordLetterKey(letter.record)
      if (this.#known.has(key)) continue
      const head = Buffer.from(key)
      const source = Buffer.concat([head, Buffer.from(JSON.stringify(fitted(letter, this.#limit - head.length)))])
      producer.append(0, partition, source, 0, head.length, head.length, source.length)
      await producer.drained(mostPending)
    }
    await producer.flush()
  }

  async #catchUp(): Promise<void> {
    const { topic, signal } = this.#options
    const end = (await this.#fetcher.endOffsets(topic))[partition]!
    const start = (await this.#fetcher.startOffsets(topic))[partition]!
    this.#readTo = Math.max(this.#readTo, start)
    while (this.#readTo < end) {
      for await (const records of readRange(this.#fetcher, { topic, partition, start: this.#readTo, end }, signal)) {
        for (let index = 0; index < records.count; index++)
          this.#known.add(records.buffer.toString('utf8', records.keyStarts[index], records.keyEnds[index]))
        this.#readTo = records.nextOffset
      }
    }
  }
}

/** The letter, with the record cut if necessary so that the letter fits into `limit` bytes. */
function fitted(letter: RecordLetter, limit: number): RecordLetter {
  const { record } = letter
  const base64Bytes = (record.key?.length ?? 0) + (record.value?.length ?? 0)
  const beside = Buffer.byteLength(JSON.stringify({ ...letter, record: { ...record, key: null, value: null } }))
  if (beside + base64Bytes <= limit) return letter
  const spare = 100
  // Base64 encodes three bytes as four characters.
  const groups = Math.max(0, Math.floor((limit - beside - spare) / 2 / 4))
  const cut = (text: string | null) => text?.slice(0, groups * 4) ?? null
  return { ...letter, record: { ...record, key: cut(record.key), value: cut(record.value), cutAfter: groups * 3 } }
}

/**
 * By the table's `onError`: `stop` throws the first record's error. `dead-letter` resolves when all
 * letters are durable.
 */
export function toDeadLetters(letters: DeadLetters, log: Log): RefusedHandler {
  return async (table, refused) => {
    const [first] = refused
    if (first === undefined) return
    if (table.onError === 'stop') throw first.error
    await letters.write(refused.map(each => letterOf(table, each)))
    table.deadLetters += refused.length
    log.warn('records were moved to the dead-letter topic', {
      ...placeOf(table, first),
      records: refused.length,
      reason: first.error.message,
    })
  }
}

function placeOf({ topic }: TargetTable, { record: { partition, records, from } }: Refused) {
  return { topic, partition, offset: records.offsets[from]! }
}

function letterOf(table: TargetTable, refused: Refused): RecordLetter {
  const { records, from } = refused.record
  const { code, message, next } = refused.error
  const bytes = (start: number, end: number) => (start === -1 ? null : records.buffer.toString('base64', start, end))
  return {
    code,
    what: message,
    next,
    at: new Date().toISOString(),
    schema: table.table.schema,
    table: table.table.name,
    record: {
      ...placeOf(table, refused),
      ...(refused.image === undefined ? {} : { image: refused.image }),
      key: bytes(records.keyStarts[from]!, records.keyEnds[from]!),
      value: bytes(records.valueStarts[from]!, records.valueEnds[from]!),
    },
  }
}
