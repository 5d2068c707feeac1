// verify/snapshot: Postgres as of one LSN.

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
  /** Exactly the transactions whose commit stands before this LSN are visible. */
  readonly lsn: number
  /** In a read-only transaction of that snapshot. */
  readonly client: Client
  close(): Promise<void>
}

export interface SnapshotOptions {
  readonly log: Log
  readonly signal: AbortSignal
  /** How long the transactions of others may take to end; default a minute. */
  readonly limitMs?: number
}

/**
 * Creating a logical slot is the one way to get a snapshot and the LSN that it stands at; the slot goes as soon as the snapshot is taken.
 * The signal ends whatever the client is at.
 * @see https://www.postgresql.org/docs/current/protocol-replication.html (CREATE_REPLICATION_SLOT, SNAPSHOT 'export')
 * @throws {MillraceError} POSTGRES_*; TIMED_OUT while another transaction stays open; the signal's reason
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
/** When the log says what is waited for; the pauses double from one line to the next. */
const firstPauseMs = 2_000

async function createTemporarySlot(
  url: string,
  { log, signal, limitMs = defaultLimitMs }: SnapshotOptions,
): Promise<ExportedSnapshot> {
  const name = `millrace_verify_${randomBytes(6).toString('hex')}`
  const late = AbortSignal.timeout(limitMs)
  const made = new AbortController()
  let last: OpenTransaction | undefined
  const tell = async () => {
    for (let pauseMs = firstPauseMs; ; pauseMs *= 2) {
      await sleep(pauseMs, made.signal)
      last = await withClient(url, client => findBlocking(client, name), made.signal)
      if (last !== undefined) log.warn('waiting for another transaction to end', { open: describeTransaction(last) })
    }
  }
  tell().catch(() => {})
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

/** A backend in a long statement looks now and then whether its client is still there, where the server's system lets it. */
async function endWithClient(client: Client): Promise<void> {
  await query(client, "SET client_connection_check_interval = '2s'").catch(() => {})
}
