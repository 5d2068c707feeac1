// verify/snapshot: opens a snapshot of Postgres as of one LSN.

import { randomBytes } from 'node:crypto'
import {
  describeTransaction,
  endingStatement,
  findBlocking,
  type OpenTransaction,
} from '../postgres/client/blocking.ts'
import { type Client, connect, disconnect, query, withClient } from '../postgres/client/client.ts'
import { type ExportedSnapshot, exportSnapshot } from '../postgres/replication/slot.ts'
import { MillraceError } from '../runtime/errors.ts'
import type { Log } from '../runtime/log.ts'
import { sleep } from '../runtime/wait.ts'

export interface SourceSnapshot {
  /** Exactly the transactions with a commit before this LSN are visible. */
  readonly lsn: number
  /** Is in a read-only transaction of the snapshot. */
  readonly client: Client
  close(): Promise<void>
}

export interface SnapshotOptions {
  readonly log: Log
  readonly signal: AbortSignal
  /** Time limit for other transactions to end. Default: one minute. */
  readonly limitMs?: number
}

/**
 * Only the creation of a logical slot gives a snapshot together with its LSN. The slot is dropped
 * when the snapshot has been taken. The signal ends a running statement of the client.
 * @see https://www.postgresql.org/docs/current/protocol-replication.html (CREATE_REPLICATION_SLOT,
 *   SNAPSHOT 'export')
 * @throws {MillraceError} POSTGRES_*; TIMED_OUT while another transaction stays open; the signal's
 *   reason
 */
export async function openSnapshot(url: string, waiting: SnapshotOptions): Promise<SourceSnapshot> {
  const slot = await createTemporarySlot(url, waiting)
  try {
    const client = await connect(url, { signal: waiting.signal })
    await endWithClient(client)
    await query(client, 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY')
    await query(client, `SET TRANSACTION SNAPSHOT '${slot.snapshotName}'`)
    return { lsn: slot.consistentPoint, client, close: () => disconnect(client) }
  } finally {
    await slot.release()
  }
}

const defaultLimitMs = 60_000
/**
 * Time until the first log line about the transaction that delays the snapshot. The time doubles
 * for each further line.
 */
const firstPauseMs = 2_000

async function createTemporarySlot(
  url: string,
  { log, signal, limitMs = defaultLimitMs }: SnapshotOptions,
): Promise<ExportedSnapshot> {
  const name = `millrace_verify_${randomBytes(6).toString('hex')}`
  const late = AbortSignal.timeout(limitMs)
  const made = new AbortController()
  let last: OpenTransaction | undefined
  const logBlocking = async () => {
    for (let pauseMs = firstPauseMs; ; pauseMs *= 2) {
      await sleep(pauseMs, made.signal)
      last = await withClient(url, client => findBlocking(client, name), made.signal)
      if (last !== undefined) log.warn('waiting for another transaction to end', { open: describeTransaction(last) })
    }
  }
  logBlocking().catch(() => {})
  try {
    return await exportSnapshot(url, name, { signal: AbortSignal.any([signal, late]) })
  } catch (error) {
    signal.throwIfAborted()
    throw late.aborted ? neverReady(last, limitMs) : error
  } finally {
    made.abort()
  }
}

function neverReady(open: OpenTransaction | undefined, limitMs: number): MillraceError {
  const why = open === undefined ? '' : `: ${describeTransaction(open)} is still open`
  return new MillraceError('TIMED_OUT', {
    what: `Postgres gave no snapshot within ${limitMs / 1000} s, since it waits for every transaction that has begun before${why}`,
    next:
      open === undefined
        ? 'verify again'
        : `wait for it to end, or end it with ${endingStatement(open)}, and verify again`,
  })
}

/**
 * During a long statement, the backend checks every 2 s that its client is connected, if the
 * server's system supports it.
 */
async function endWithClient(client: Client): Promise<void> {
  await query(client, "SET client_connection_check_interval = '2s'").catch(() => {})
}
