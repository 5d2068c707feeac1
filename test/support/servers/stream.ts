// test/support/servers/stream: a slot's changes, collected for a test to await and compare.

import type { ChangeReceiver, ChangeStream } from '../../../postgres/change-source.ts'
import { createPublication } from '../../../postgres/replication/publication.ts'
import { openStream, type StreamOptions } from '../../../postgres/replication/stream.ts'
import { until } from '../harness/suite.ts'
import { type TestDatabase, uniqueName } from './postgres.ts'
import { type Recorded, recordingHandler } from './recording-handler.ts'
import { quietLog } from './services.ts'

export interface Capture {
  readonly slot: string
  readonly publication: string
}

/** A slot and a publication of these `schema.table`s, both with unique names. */
export async function createCapture(db: TestDatabase, tables: readonly string[], kind = 'r'): Promise<Capture> {
  const capture = { slot: uniqueName('slot'), publication: uniqueName('pub') }
  const published = tables.map(table => ({ schema: table.split('.')[0]!, name: table.split('.')[1]!, kind }))
  await createPublication(db.client, { name: capture.publication, tables: published, comment: 'of a test' })
  await db.sql('SELECT pg_create_logical_replication_slot($1, $2)', [capture.slot, 'pgoutput'])
  return capture
}

/** One transaction as it arrived. */
export interface Transaction {
  readonly commitLsn: number
  readonly endLsn: number
  readonly changes: readonly Recorded[]
}

export interface RecordedStream {
  readonly stream: ChangeStream
  readonly events: readonly Recorded[]
  readonly transactions: readonly Transaction[]
  /** LSN of the last keepalive. */
  readonly keptAlive: () => number
  /**
   * Resolves with all transactions when there are this many. Rejects with the error that ended the
   * stream.
   */
  received(count: number): Promise<readonly Transaction[]>
}

/**
 * Opens the stream of a capture and records its events. `overrides` replaces any option, `on` any
 * handler.
 */
export async function recordStream(
  db: TestDatabase,
  { slot, publication }: Capture,
  { on, ...overrides }: Partial<StreamOptions> & { readonly on?: Partial<ChangeReceiver> } = {},
): Promise<RecordedStream> {
  const events: Recorded[] = []
  const transactions: Transaction[] = []
  let begunAt = 0
  let keptAlive = 0
  const record = (event: Recorded) => {
    events.push(event)
    if (event.kind === 'begin') begunAt = events.length
    if (event.kind !== 'commit') return
    transactions.push({ commitLsn: event.commitLsn, endLsn: event.endLsn, changes: events.slice(begunAt, -1) })
  }
  const stream = await openStream({
    url: db.url,
    slot,
    publication,
    receiver: {
      ...recordingHandler(record),
      started() {},
      keepalive(walEnd) {
        keptAlive = walEnd
      },
      ...on,
    },
    log: quietLog(),
    signal: new AbortController().signal,
    ...overrides,
  })
  return {
    stream,
    events,
    transactions,
    keptAlive: () => keptAlive,
    async received(count) {
      const arrived = until(() => transactions.length >= count, { what: `${count} transactions came` })
      await Promise.race([arrived, stream.ended.then(() => arrived)])
      return transactions
    },
  }
}
