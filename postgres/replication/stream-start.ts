// postgres/replication/stream-start: the checks before a stream begins, and the command that begins
// it.

import { formatLsn, parseLsn } from '../../contract/position.ts'
import { MillraceError } from '../../runtime/errors.ts'
import type { StreamStart } from '../change-source.ts'
import { backendOf, type Client, query } from '../client/client.ts'
import { quoteReplicationName, quoteReplicationString } from '../client/quote.ts'
import { type Captured, checkHistory, identifySystem } from './history.ts'

interface ReadinessRow {
  readonly plugin: string | null
  readonly wal_status: string | null
  readonly other_database: string | null
  readonly publication: boolean
  readonly confirmed_flush_lsn: string | null
  readonly wal_sender_timeout: string
}

export interface StreamTarget {
  readonly slot: string
  readonly publication: string
  /** What was captured before; undefined where it does not matter. */
  readonly captured: Captured | undefined
}

export interface Readiness extends StreamStart {
  /** 0 when the server has no limit. */
  readonly walSenderTimeoutMs: number
}

/** Remedy after the loss of a slot. Changes that Postgres has removed cannot be read again. */
const beginAnew =
  'changes since then can no longer be read from Postgres: begin a new generation with `millrace producer --new-generation`'

/**
 * Checks history, slot and publication on the connection that is to stream. The errors of
 * START_REPLICATION come late or do not name the cause, and Postgres streams without an error from
 * a slot that is too far ahead.
 * @throws {MillraceError} GENERATION_CHANGED, SOURCE_WENT_BACK, SLOT_LOST, PUBLICATION_MISSING
 */
export async function checkReadiness(client: Client, target: StreamTarget): Promise<Readiness> {
  const { slot, publication, captured } = target
  const { timeline } = captured ? await checkHistory(client, captured) : await identifySystem(client)
  const [found] = await query<ReadinessRow>(
    client,
    `SELECT s.plugin, s.wal_status, s.confirmed_flush_lsn, nullif(s.database, current_database()) AS other_database,
       EXISTS (SELECT FROM pg_publication WHERE pubname = ${quoteReplicationString(publication)}) AS publication,
       (SELECT setting FROM pg_settings WHERE name = 'wal_sender_timeout') AS wal_sender_timeout
     FROM (VALUES (1)) one LEFT JOIN pg_replication_slots s ON s.slot_name = ${quoteReplicationString(slot)}`,
  )
  const where = `slot ${slot}`
  if (!found?.plugin || found.other_database !== null) {
    const elsewhere = found?.other_database ? `, but in the database ${found.other_database}` : ''
    const lost = captured ? `; changes committed from ${formatLsn(captured.durable)} on were not captured` : ''
    const what = `there is no such logical slot${elsewhere}${lost}`
    throw new MillraceError('SLOT_LOST', { what, where, next: beginAnew })
  }
  if (found.plugin !== 'pgoutput') {
    throw new MillraceError('SLOT_LOST', {
      what: `the slot was made for the output plugin ${found.plugin}, not for pgoutput`,
      where,
      next: 'configure another name, or drop that slot if nobody needs it',
    })
  }
  if (found.wal_status === 'lost') {
    throw new MillraceError('SLOT_LOST', {
      what: 'Postgres has invalidated the slot, because it kept more WAL, or kept it for longer, than is allowed',
      where,
      next: `${beginAnew}; raise max_slot_wal_keep_size or idle_replication_slot_timeout before`,
    })
  }
  const confirmedLsn = found.confirmed_flush_lsn === null ? 0 : parseLsn(found.confirmed_flush_lsn)
  if (captured && confirmedLsn > captured.durable) throw slotAhead(slot, confirmedLsn, captured)
  if (!found.publication) throw publicationMissing(publication)
  return {
    confirmedLsn,
    timeline,
    pid: backendOf(client).pid,
    walSenderTimeoutMs: Number(found.wal_sender_timeout),
  }
}

/**
 * millrace acknowledges only what is durable downstream. So another program has moved the slot or
 * created it again.
 */
function slotAhead(slot: string, confirmedLsn: number, { durable, recorded }: Captured): MillraceError {
  const [from, to] = [formatLsn(durable), formatLsn(confirmedLsn)]
  return new MillraceError('SLOT_LOST', {
    what: `the slot is at ${to}, and only changes committed before ${from} are known to be captured: the slot was dropped and created again, or was moved forward, or the last records of ${recorded} are lost. Changes committed between ${from} and ${to} may be missing`,
    where: `slot ${slot}, ${recorded}`,
    next: beginAnew,
  })
}

export function publicationMissing(publication: string, cause?: unknown): MillraceError {
  return new MillraceError('PUBLICATION_MISSING', {
    what: 'the publication does not exist, or did not yet exist when the next change was made',
    where: `publication ${publication}`,
    next: `creating it now does not recover the changes made meanwhile; ${beginAnew}`,
    cause,
  })
}

/**
 * Starts at 0/0, which means the slot's confirmed position. Postgres ignores any lower LSN that a
 * client asks for.
 * @see https://www.postgresql.org/docs/current/protocol-logical-replication.html
 */
export function startCommand(slot: string, publication: string): string {
  const options = [
    "proto_version '1'",
    `publication_names ${quoteReplicationString(quoteReplicationName(publication))}`,
    "messages 'true'",
  ]
  return `START_REPLICATION SLOT ${quoteReplicationName(slot)} LOGICAL 0/0 (${options.join(', ')})`
}
