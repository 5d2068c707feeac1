// postgres/client/session: how our sessions are set, whether Postgres really has them set so, and which backend serves one.

import type pg from 'pg'
import { MillraceError } from '../../runtime/errors.ts'
import { postgresFailure } from './errors.ts'

/**
 * Set when the session starts, so that they hold for COPY and for the replication stream alike, whatever the server, the
 * database or the role say. Values print exactly and the same everywhere:
 * - ISO dates in UTC, intervals in ISO 8601 (the other styles lose signs or are ambiguous), shortest exact floats, hex bytea;
 * - names of regclass and its like always qualified (an empty search path);
 * - row level security raises an error instead of hiding rows;
 * - warnings arrive, since Postgres 18 merely warns when it skips a missing publication;
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
 * Seconds after which Postgres asks whether an idle client is still there, and after 25 of which it gives one up whose host has died:
 * what such a client had locked is free then, and not after the two hours that are usual. They are without effect on a Unix socket.
 * `tcp_user_timeout` is not set: it would also end a connection whose client has stopped reading because Kafka takes nothing.
 * @see https://www.postgresql.org/docs/current/runtime-config-connection.html
 */
const keepAlives = { tcp_keepalives_idle: '10', tcp_keepalives_interval: '5', tcp_keepalives_count: '3' }

/** Value of the startup parameter `options`. */
export function startupOptions(): string {
  return Object.entries({ ...settings, ...keepAlives })
    .map(([name, value]) => `-c ${name}=${value}`)
    .join(' ')
}

/** The server's process for a session. A pid alone may be another process's on another server, or later. */
export interface Backend {
  readonly pid: number
  /** As Postgres prints it, in UTC. */
  readonly startedAt: string
}

/**
 * Which backend serves the session, once it is certain that the session has our settings: a connection pooler may have kept them
 * to itself, and then values print otherwise, row level security hides rows, and the next statement may meet another session.
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
  // Postgres prints the order of day and month behind the style.
  const differing = names.filter(name => row?.[name]?.split(',')[0] !== settings[name])
  if (row && differing.length === 0) return { pid: Number(row.pid), startedAt: row.started_at! }
  const found = differing.map(name => `${name} is "${row?.[name] ?? ''}" and not "${settings[name]}"`).join(', ')
  throw poolerError(`the session does not have the settings that it was opened with: ${found}`, where)
}

/** What a failed attempt to connect means. Poolers name the startup parameters that they do not pass on. */
export function connectFailure(error: unknown, where: string): MillraceError {
  const text = error instanceof Error ? error.message : ''
  if (/unsupported startup parameter/i.test(text))
    return poolerError(`the connection was refused: ${text}`, where, error)
  return postgresFailure(error, where)
}

function poolerError(what: string, where: string, cause?: unknown): MillraceError {
  return new MillraceError('POSTGRES_POOLER', {
    what: `${what}; a connection pooler stands in between`,
    where,
    next: 'set source.url to the address of Postgres itself, not to that of PgBouncer or another pooler',
    cause,
  })
}
