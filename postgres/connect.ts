// postgres/connect: connections whose sessions print every value in one fixed form.
// May know: postgres/failure, runtime/{errors,tls-files}.

import pg from 'pg'
import { MillraceError } from '../runtime/errors.ts'
import { readTlsFiles } from '../runtime/tls-files.ts'
import { postgresFailure } from './failure.ts'

export type Client = pg.Client

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
const sessionSettings: Readonly<Record<string, string>> = {
  datestyle: 'ISO',
  timezone: 'UTC',
  intervalstyle: 'iso_8601',
  extra_float_digits: '3',
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

const connectTimeoutMs = 15_000
/** A peer that vanished without a word is asked after so long a silence. */
const keepAliveMs = 30_000

/**
 * Configuration of a client. Settings that the URL itself asks for come first, so that ours win.
 * @throws {MillraceError} CONFIG_INVALID when the URL or a file that it names cannot be used; its text is not repeated, it may hold a
 *   password
 */
export function clientConfig(url: string): pg.ClientConfig {
  if (!URL.canParse(url)) {
    throw new MillraceError('CONFIG_INVALID', {
      what: 'the address of Postgres is not a URL',
      where: 'source.url',
      next: 'write it as postgres://user:password@host:5432/database, with special characters percent-encoded',
    })
  }
  const address = new URL(url)
  const file = (name: string) => address.searchParams.get(name) || undefined
  readTlsFiles({ ca: file('sslrootcert'), cert: file('sslcert'), key: file('sslkey') }, 'source.url')
  const settings = Object.entries(sessionSettings).map(([name, value]) => `-c ${name}=${value}`)
  address.searchParams.set('options', [address.searchParams.get('options') ?? '', ...settings].join(' ').trim())
  const config = {
    connectionString: address.href,
    fallback_application_name: 'millrace',
    keepAlive: true,
    keepAliveInitialDelayMillis: keepAliveMs,
    connectionTimeoutMillis: connectTimeoutMs,
  }
  requireConstructible(config)
  return config
}

/** The driver refuses combinations of TLS parameters when a client is made, which is no failure of a connection. */
function requireConstructible(config: pg.ClientConfig): void {
  try {
    new pg.Client(config)
  } catch (cause) {
    throw new MillraceError('CONFIG_INVALID', {
      what: `the address of Postgres cannot be used: ${cause instanceof Error ? cause.message : String(cause)}`,
      where: 'source.url',
      next: 'correct the parameters of the address; sslmode=verify-full encrypts and verifies',
      cause,
    })
  }
}

/** Host, port and database of the URL, for messages. */
export function describeUrl(url: string): string {
  const { host, pathname } = new URL(url)
  return `postgres://${host}${pathname}`
}

/**
 * A connected client. When the connection breaks, its queries fail; nothing else happens.
 * @throws {MillraceError} POSTGRES_*
 */
export async function connect(url: string, mode: 'sql' | 'replication' = 'sql'): Promise<Client> {
  const config = { ...clientConfig(url), ...(mode === 'replication' && { replication: 'database' }) }
  const client = new pg.Client(config)
  client.on('error', () => {})
  try {
    await client.connect()
    return client
  } catch (error) {
    throw postgresFailure(error, describeUrl(url))
  }
}

/**
 * The rows of one statement. Without values it is sent as it stands, as a replication connection needs it.
 * @throws {MillraceError} POSTGRES_*
 */
export async function query<Row extends object>(
  client: Client,
  text: string,
  values?: readonly unknown[],
): Promise<Row[]> {
  try {
    const { rows } = await client.query<Row & pg.QueryResultRow>(text, values && [...values])
    return rows
  } catch (error) {
    throw postgresFailure(error, text.trim().replace(/\s+/g, ' ').slice(0, 120))
  }
}

/** Runs `work` with a connection of its own. */
export async function withClient<T>(url: string, work: (client: Client) => Promise<T>): Promise<T> {
  const client = await connect(url)
  try {
    return await work(client)
  } finally {
    await client.end().catch(() => {})
  }
}

/**
 * Lifts `transaction_timeout`, which servers before 17 do not know and which therefore cannot be a startup option, from a
 * session that holds or reads a snapshot.
 */
export async function liftTransactionLimit(client: Client): Promise<void> {
  await query(client, "SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'transaction_timeout'")
}
