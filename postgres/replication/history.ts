// postgres/replication/history: compares the server's identity and WAL with what was captured
// before.

import { formatLsn, parseLsn } from '../../contract/position.ts'
import { MillraceError } from '../../runtime/errors.ts'
import { type Client, connect, disconnect, query } from '../client/client.ts'

export interface ServerIdentity {
  /**
   * System identifier of the database cluster, and name of the database. A copy of the cluster's
   * files has the same.
   */
  readonly source: string
  /**
   * Timeline. It grows by one when a standby is promoted, or a backup is recovered to a point in
   * time.
   */
  readonly timeline: number
  /** Everything before it was written to disk. */
  readonly walEnd: number
}

/** What was captured before: from which database, and up to which LSN. */
export interface Captured {
  /** As in `ServerIdentity`. */
  readonly source: string
  readonly timeline: number
  /** Everything committed before it is durable. */
  readonly durable: number
  /** Where `durable` is recorded, such as a topic. */
  readonly recorded: string
  /** Nothing was captured at this LSN or later. Never less than `durable`. */
  readonly end: number
}

/** Remedy for a source whose history differs from the captured one. */
export const otherHistoryRemedy =
  'the database was restored from an older copy, or is a standby that was promoted before it had everything. If source.url leads to the wrong server, correct it; otherwise load the present state: millrace producer --new-generation'

/**
 * @param client of a replication connection to the database
 * @throws {MillraceError} POSTGRES_*
 * @see https://www.postgresql.org/docs/current/protocol-replication.html (IDENTIFY_SYSTEM)
 */
export async function identifySystem(client: Client): Promise<ServerIdentity> {
  const [system] = await query<{ systemid: string; dbname: string; timeline: number; xlogpos: string }>(
    client,
    'IDENTIFY_SYSTEM',
  )
  const { systemid, dbname, timeline, xlogpos } = system!
  return { source: `${systemid}/${dbname}`, timeline: Number(timeline), walEnd: parseLsn(xlogpos) }
}

/** The same, on a new connection. */
export async function identify(url: string, signal?: AbortSignal): Promise<ServerIdentity> {
  const client = await connect(url, { mode: 'replication', signal })
  try {
    return await identifySystem(client)
  } finally {
    await disconnect(client)
  }
}

/** The LSN of the next WAL record, whatever the client's transaction can see. */
export async function walInsertLsn(client: Client): Promise<number> {
  const [row] = await query<{ lsn: string }>(client, 'SELECT pg_current_wal_insert_lsn()::text AS lsn')
  return parseLsn(row!.lsn)
}

/**
 * Checks that the server's WAL contains what was captured before.
 * @throws {MillraceError} GENERATION_CHANGED for another database; POSTGRES_READ_ONLY for a
 *   standby; SOURCE_WENT_BACK when the server's history ends, or leaves the captured timeline,
 *   before the end of what was captured
 */
export async function checkHistory(client: Client, captured: Captured): Promise<ServerIdentity> {
  const found = await identifySystem(client)
  if (found.source !== captured.source) throw otherDatabase(captured.source, found.source)
  await refuseStandby(client)
  const where = `timeline ${found.timeline}, WAL end ${formatLsn(found.walEnd)}`
  if (found.timeline !== captured.timeline) {
    const left = await endOfTimeline(client, captured.timeline, found.timeline)
    if (left === undefined) {
      const what = `everything before ${formatLsn(captured.end)} was captured on timeline ${captured.timeline}, which is no part of the history of this server's timeline ${found.timeline}`
      throw new MillraceError('SOURCE_WENT_BACK', { what, where, next: otherHistoryRemedy })
    }
    if (left < captured.end) {
      throw wentBack(captured, left, `timeline ${found.timeline} left timeline ${captured.timeline} at`, where)
    }
  }
  if (found.walEnd < captured.end) throw wentBack(captured, found.walEnd, 'its WAL ends at', where)
  return found
}

/**
 * A standby may lack the slot and the latest WAL. During a failover, that does not mean that the
 * future primary lacks them, so a standby is no reason to give up.
 */
async function refuseStandby(client: Client): Promise<void> {
  const [row] = await query<{ standby: boolean }>(client, 'SELECT pg_is_in_recovery() AS standby')
  if (!row!.standby) return
  throw new MillraceError('POSTGRES_READ_ONLY', {
    what: 'the server is a standby',
    where: 'source.url',
    next: 'it is tried again by itself; if it lasts, set source.url to the primary server',
  })
}

export function otherDatabase(loaded: string, found: string): MillraceError {
  return new MillraceError('GENERATION_CHANGED', {
    what: `the generation was loaded from ${loaded}, and this database is ${found}`,
    where: 'the source database (system identifier and name)',
    next: 'correct source.url, or give the pipeline of this database another name; if this database replaces the other one permanently, load it: millrace producer --new-generation',
  })
}

function wentBack({ end }: Captured, to: number, how: string, where: string): MillraceError {
  return new MillraceError('SOURCE_WENT_BACK', {
    what: `the source went back by ${end - to} bytes: everything before ${formatLsn(end)} was captured from it, and ${how} ${formatLsn(to)}`,
    where,
    next: otherHistoryRemedy,
  })
}

/**
 * Where a timeline ended and the next one of this server's history began; undefined when the
 * timeline is no part of that history. Each line of a history file contains a timeline and the LSN
 * at which the next one left it.
 * @see https://www.postgresql.org/docs/current/protocol-replication.html (TIMELINE_HISTORY)
 */
async function endOfTimeline(client: Client, timeline: number, current: number): Promise<number | undefined> {
  if (timeline > current) return undefined
  const [file] = await query<{ content: unknown }>(client, `TIMELINE_HISTORY ${current}`)
  for (const line of String(file?.content).split('\n')) {
    const [, number, lsn] = /^\s*(\d+)\s+([\dA-Fa-f]+\/[\dA-Fa-f]+)/.exec(line) ?? []
    if (Number(number) === timeline) return parseLsn(lsn!)
  }
  return undefined
}
