// producer/generation/load: the initial load: every row as of the slot's snapshot, before the
// stream.

import type { Change } from '../../contract/encode.ts'
import type { Generation, Watermark } from '../../contract/generation.ts'
import { Refusal } from '../../contract/refusal.ts'
import { tableName } from '../../contract/table.ts'
import { type Client, query, withClient } from '../../postgres/client/client.ts'
import type { Tuple } from '../../postgres/protocol/tuple.ts'
import { createSlot, type ExportedSnapshot } from '../../postgres/replication/slot.ts'
import { copyTables } from '../../postgres/replication/snapshot.ts'
import type { MillraceError } from '../../runtime/errors.ts'
import { orAborted } from '../../runtime/wait.ts'
import type { RowMasker } from '../capture/column-policy.ts'
import type { RegisteredTable } from '../capture/schemas.ts'
import type { ProducerContext } from '../context.ts'
import type { ProducerProgress } from '../progress.ts'
import { reportBlocked } from '../waits.ts'
import { openTopicWriters, type TopicWriters } from '../write/topic-writers.ts'

export interface LoadOptions {
  readonly generation: Generation
  readonly tables: readonly RegisteredTable[]
  /** Rejects when the load must stop. */
  readonly lost: Promise<never>
}

/**
 * Creates the slot and copies all tables. When it resolves, the snapshot is durable in Kafka.
 * @returns the first watermark; its LSN is where the stream begins
 * @throws {MillraceError} VALUE_REFUSED, SNAPSHOT_LOST, POSTGRES_*, or the Kafka producer's failure
 */
export async function loadTables(
  context: ProducerContext,
  { generation, tables, lost }: LoadOptions,
): Promise<Watermark> {
  const { url, log, config, progress } = context
  const stop = new AbortController()
  const signal = AbortSignal.any([context.signal, stop.signal])
  lost.catch(error => stop.abort(error))
  const onError = (error: MillraceError) => stop.abort(error)
  const opening = { ...context, generation, tables, watermark: undefined, onDurable: () => {}, onError, signal }
  const topics = await openTopicWriters(opening)
  let snapshot: ExportedSnapshot | undefined
  try {
    const onBlocked = (doing: string) => reportBlocked(context, doing)
    const making = createSlot(url, generation.slot, { signal, onBlocked: onBlocked('making the slot') })
    snapshot = await progress.pulse.during(making)
    const { consistentPoint, snapshotName } = snapshot
    const commitTimeUs = await sourceTimeUs(url, signal)
    log.info('loading', { generation: generation.number, tables: tables.length, slot: generation.slot })
    const loader = new Loader(topics, { lsn: consistentPoint - 1, commitTimeUs })
    progress.begin('loading', {
      ...topics,
      received: () => consistentPoint,
      durable: () => 0,
      commitTimeUs: () => commitTimeUs,
      pendingBytes: () => topics.kafkaProducer.pendingBytes,
    })
    await copyTables({
      url,
      snapshotName,
      tables: tables.map(({ captured }) => snapshotTable(captured)),
      readers: config.source.readers,
      onRow: (table, row) => loader.row(table, row),
      onBlocked: onBlocked('locking the tables'),
      pressure: () => pressureOf(topics, progress),
      onTableDone: index => {
        const { captured, records } = topics.writers[index]!
        log.info('loaded', { table: tableName(captured.table), records })
      },
      signal,
    })
    await snapshot.release()
    snapshot = undefined
    await progress.pulse.during(orAborted(topics.kafkaProducer.flush(), signal))
    return { lsn: consistentPoint, commitTimeUs, timeline: generation.timeline, ...topics.ends() }
  } finally {
    progress.end()
    await snapshot?.release()
    await topics.kafkaProducer.close()
  }
}

/** Each piece that is read counts as progress. A wait for Kafka has no time limit. */
function pressureOf({ backPressure }: TopicWriters, { pulse }: ProducerProgress): Promise<void> | undefined {
  pulse.beat()
  return backPressure.pressure && pulse.during(backPressure.pressure)
}

/**
 * Numbers the rows of each table in the order of their arrival, which is also the order within each
 * partition.
 */
class Loader {
  readonly #topics: TopicWriters
  readonly #maskers: readonly (RowMasker | undefined)[]
  readonly #changes: (Omit<Change, 'ordinal' | 'madeAtMs'> & { ordinal: number; madeAtMs: number })[]

  constructor(topics: TopicWriters, at: Pick<Change, 'lsn' | 'commitTimeUs'>) {
    this.#topics = topics
    const first = { op: 'r', ordinal: -1, txId: 0, snapshot: true, madeAtMs: 0, ...at } as const
    this.#changes = topics.writers.map(() => ({ ...first }))
    this.#maskers = topics.writers.map(writer => writer.masker(writer.captured.columns.map(({ name }) => name)))
  }

  row(table: number, copied: Tuple): void {
    const row = this.#maskers[table]?.after(copied) ?? copied
    const writer = this.#topics.writers[table]!
    const change = this.#changes[table]!
    change.ordinal++
    change.madeAtMs = Date.now()
    try {
      writer.write(change, undefined, row)
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      this.#topics.deadLetters.refuse({ captured: writer.captured, change, image: 'after', row, refusal: error })
    }
  }
}

function snapshotTable({ table, oid, kind, columns }: RegisteredTable['captured']) {
  return { oid, schema: table.schema, name: table.name, kind, columns: columns.map(({ name }) => name) }
}

/** The source's clock, µs since the Unix epoch. */
function sourceTimeUs(url: string, signal: AbortSignal): Promise<number> {
  const statement = 'SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::int8 AS us'
  const ask = async (client: Client) => Number((await query<{ us: string }>(client, statement))[0]!.us)
  return withClient(url, ask, signal)
}
