// postgres/client/session: the settings of our sessions, the check that they are in effect, and the
// backend.

import type pg from 'pg'
import { MillraceError } from '../../runtime/errors.ts'
import { postgresError } from './errors.ts'

/**
 * Set when the session starts, so that the settings apply to COPY and to the replication stream
 * too, whatever the server, the database or the role set. Values print exactly and always in the
 * same form:
 * - ISO dates in UTC, intervals in ISO 8601 (the other styles lose signs or are ambiguous),
 *   shortest exact floats, hex bytea;
 * - names of regclass and similar types always qualified (an empty search path);
 * - row level security raises an error instead of hiding rows;
 * - warnings arrive, since Postgres 18 only warns when it skips a missing publication;
 * - no time limit ends a long copy.
 * @see https://www.postgresql.org/docs/current/runtime-config-client.html
 */
const settings: Readonly<Record<string, string>> = {
  datestyle: 'ISO',
  timezone: 'UTC',
  intervalstyle: 'iso_8601',
  extra_float_digits: '3',
  lc_monetary: 'C',
  bytea_output: 'hex',
  search_path: '',
  quote_all_identifiers: 'off',
  row_security: 'off',
  client_min_messages: 'warning',
  statement_timeout: '0',
  lock_timeout: '0',
  idle_in_transaction_session_timeout: '0',
  idle_session_timeout: '0',
}

/**
 * Postgres asks after 10 s of silence whether a client is still there, and gives up a client whose
 * host is dead after 25 s. The locks of such a client are then free, not only after the usual two
 * hours. The settings have no effect on a Unix socket. `tcp_user_timeout` is not set: it would also
 * end a connection whose client stopped reading because Kafka accepts nothing.
 * @see https://www.postgresql.org/docs/current/runtime-config-connection.html
 */
const keepAlives = { tcp_keepalives_idle: '10', tcp_keepalives_interval: '5', tcp_keepalives_count: '3' }

/** Value of the startup parameter `options`. */
export function startupOptions(): string {
  return Object.entries({ ...settings, ...keepAlives })
    .map(([name, value]) => `-c ${name}=${value}`)
    .join(' ')
}

/**
 * The server process of a session. A pid alone is ambiguous: another server, or a later time, may
 * have the same pid.
 */
export interface Backend {
  readonly pid: number
  /** As Postgres prints it, in UTC. */
  readonly startedAt: string
}

/**
 * Reads which backend serves the session, and checks that the session has our settings. A
 * connection pooler may drop them. Then values print differently, row level security hides rows,
 * and the next statement may run in another session.
 * @param where the address, for the message
 * @throws {MillraceError} POSTGRES_POOLER
 */
export async function readBackend(client: pg.Client, where: string): Promise<Backend> {
  const names = Object.keys(settings)
  const { rows } = await client.query<Record<string, string>>(
    `SELECT pid, backend_start::text AS started_at, ${names.map(name => `current_setting('${name}') AS ${name}`).join(', ')}
     FROM pg_stat_activity WHERE pid = pg_backend_pid()`,
  )
  const [row] = rows
  // Postgres prints the order of day and month after the style.
  const differing = names.filter(name => row?.[name]?.split(',')[0] !== settings[name])
  if (row && differing.length === 0) return { pid: Number(row.pid), startedAt: row.started_at! }
  const found = differing.map(name => `${name} is "${row?.[name] ?? ''}" and not "${settings[name]}"`).join(', ')
  throw poolerError(`the session does not have the settings that it was opened with: ${found}`, where)
}

/** Wraps an error of connecting. A pooler names the startup parameters that it does not support. */
export function connectError(error: unknown, where: string): MillraceError {
  const text = error instanceof Error ? error.message : ''
  if (/unsupported startup parameter/i.test(text))
    return poolerError(`the connection was refused: ${text}`, where, error)
  return postgresError(error, where)
}

function poolerError(what: string, where: string, cause?: unknown): MillraceError {
  return new MillraceError('POSTGRES_POOLER', {
    what: `${what}; a connection pooler is in between`,
    where,
    next: 'set source.url to the address of Postgres itself, not to that of PgBouncer or another pooler',
    cause,
  })
}
