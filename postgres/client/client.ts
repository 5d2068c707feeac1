// postgres/client/client: connections that print every value in one fixed form and never wait for
// ever.

import pg from 'pg'
import { readTlsFiles } from '../../runtime/config/tls-files.ts'
import { MillraceError } from '../../runtime/errors.ts'
import { statementText } from '../../runtime/printable.ts'
import { sleep } from '../../runtime/wait.ts'
import { postgresError, sqlState } from './errors.ts'
import { type Backend, connectError, readBackend, startupOptions } from './session.ts'

export type Client = pg.Client

/** Time limit for a new connection, until its session can be used. */
const connectTimeoutMs = 15_000
/** TCP keepalives begin after this much silence, so that a peer that vanished is noticed. */
const keepAliveMs = 30_000
/**
 * A statement may be unanswered for this long. Then another connection checks whether its backend
 * is still at work.
 */
const lookAfterMs = 10_000
/** An answer that is already on its way arrives within this time. */
const graceMs = 2_000
const goodbyeMs = 2_000

/**
 * Configuration of a client. Settings of the URL come first, so that ours override them.
 * @throws {MillraceError} CONFIG_INVALID when the URL, or a file that it names, cannot be used. The
 *   URL is not repeated, because it may contain a password.
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
  address.searchParams.set('options', `${address.searchParams.get('options') ?? ''} ${startupOptions()}`.trim())
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

/**
 * The driver rejects some combinations of TLS parameters when a client is made. This is no failure
 * of a connection.
 */
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

export interface ConnectOptions {
  /** `replication`: accepts replication commands too, but no statements with values. */
  readonly mode?: 'sql' | 'replication'
  /** Ends the connection at once, even in the middle of a statement. */
  readonly signal?: AbortSignal | undefined
}

interface Session extends Backend {
  readonly url: string
}

const sessions = new WeakMap<Client, Session>()

/**
 * Opens a connection. When it breaks later, its queries fail; nothing else happens.
 * @throws {MillraceError} POSTGRES_*; the signal's reason
 */
export async function connect(url: string, { mode = 'sql', signal }: ConnectOptions = {}): Promise<Client> {
  signal?.throwIfAborted()
  const client = new pg.Client({ ...clientConfig(url), ...(mode === 'replication' && { replication: 'database' }) })
  client.on('error', () => {})
  const destroyNow = () => destroy(client)
  signal?.addEventListener('abort', destroyNow, { once: true })
  client.once('end', () => signal?.removeEventListener('abort', destroyNow))
  const limit = setTimeout(destroyNow, connectTimeoutMs)
  try {
    await client.connect()
    sessions.set(client, { url, ...(await readBackend(client, describeUrl(url))) })
    return client
  } catch (error) {
    destroyNow()
    signal?.throwIfAborted()
    throw connectError(error, describeUrl(url))
  } finally {
    clearTimeout(limit)
  }
}

/**
 * Ends the session and waits until the server has freed its locks. Does not wait for a server that
 * does not answer. Never rejects.
 */
export async function disconnect(client: Client): Promise<void> {
  const limit = setTimeout(() => destroy(client), goodbyeMs)
  await client.end().catch(() => {})
  clearTimeout(limit)
}

/** Ends the connection at once. Everything that waits on it fails. */
export function destroy(client: Client): void {
  client.connection.stream.destroy()
}

/** The server process of the client, for pg_cancel_backend and pg_blocking_pids. */
export function backendOf(client: Client): Backend {
  return sessions.get(client)!
}

/**
 * The rows of one statement. A statement without values uses the simple protocol, which a
 * replication connection needs. There is no time limit while the backend is at work on it.
 * @throws {MillraceError} POSTGRES_*
 */
export async function query<Row extends object>(
  client: Client,
  text: string,
  values?: readonly unknown[],
): Promise<Row[]> {
  const attendance = new StatementMonitor(client)
  try {
    const { rows } = await client.query<Row & pg.QueryResultRow>(text, values && [...values])
    return rows
  } catch (error) {
    throw postgresError(attendance.failure ?? error, statementText(text))
  } finally {
    attendance.end()
  }
}

/** Runs `work` with a connection of its own. */
export async function withClient<T>(
  url: string,
  work: (client: Client) => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  const client = await connect(url, { signal })
  try {
    return await work(client)
  } finally {
    await disconnect(client)
  }
}

/**
 * Opens something that keeps its connection. The signal ends the connection only until then.
 * @throws what `open` throws, once the connection is closed again; the signal's reason
 */
export async function openOn<T>(
  url: string,
  { mode = 'sql', signal }: ConnectOptions,
  open: (client: Client) => Promise<T>,
): Promise<T> {
  signal?.throwIfAborted()
  const opening = new AbortController()
  const giveUp = () => opening.abort(signal?.reason)
  signal?.addEventListener('abort', giveUp, { once: true })
  try {
    const client = await connect(url, { mode, signal: opening.signal })
    try {
      return await open(client)
    } catch (error) {
      await disconnect(client)
      throw error
    }
  } catch (error) {
    signal?.throwIfAborted()
    throw error
  } finally {
    signal?.removeEventListener('abort', giveUp)
  }
}

/**
 * Checks an unanswered statement periodically from another connection. A host that froze or lost
 * its network sends nothing, and TCP may wait for it for ever. A backend that works for hours sends
 * nothing either.
 */
class StatementMonitor {
  /** Why the connection was ended. */
  failure: Error | undefined
  readonly #client: Client
  readonly #over = new AbortController()
  #timer: NodeJS.Timeout | undefined

  constructor(client: Client) {
    this.#client = client
    this.#lookLater()
  }

  end(): void {
    clearTimeout(this.#timer)
    this.#over.abort()
  }

  #lookLater(): void {
    const session = sessions.get(this.#client)
    if (session) this.#timer = setTimeout(() => void this.#look(session), lookAfterMs)
  }

  async #look(session: Session): Promise<void> {
    const { signal } = this.#over
    const before = bytesRead(this.#client)
    if (!(await isAtWork(session, signal))) {
      await sleep(graceMs, signal).catch(() => {})
      if (!signal.aborted && bytesRead(this.#client) === before) {
        this.failure = new Error('no answer, and its backend is not working on it or cannot be reached')
        destroy(this.#client)
      }
    }
    if (!signal.aborted) this.#lookLater()
  }
}

/**
 * Whether the session's backend is busy with a statement, as far as it can be found out. Never
 * rejects.
 */
async function isAtWork({ url, pid, startedAt }: Session, signal: AbortSignal): Promise<boolean> {
  let other: Client | undefined
  let limit: NodeJS.Timeout | undefined
  try {
    const client = await connect(url, { signal })
    other = client
    limit = setTimeout(() => destroy(client), lookAfterMs)
    const { rows } = await client.query<{ idle: boolean | null }>(
      "SELECT state LIKE 'idle%' AS idle FROM pg_stat_activity WHERE pid = $1 AND backend_start = $2",
      [pid, startedAt],
    )
    return rows.length === 1 && rows[0]!.idle !== true
  } catch (error) {
    // A server that refuses the connection is alive, so the statement may still be answered.
    return sqlState(error instanceof MillraceError ? error.cause : error) !== undefined
  } finally {
    clearTimeout(limit)
    if (other) await disconnect(other)
  }
}

function bytesRead({ connection: { stream } }: Client): number {
  return 'bytesRead' in stream ? Number(stream.bytesRead) : 0
}

/**
 * Sets `transaction_timeout` to unlimited, for a session that exports or reads a snapshot. Servers
 * before 17 do not have the setting, so it cannot be a startup option.
 */
export async function liftTransactionLimit(client: Client): Promise<void> {
  await query(client, "SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'transaction_timeout'")
}
