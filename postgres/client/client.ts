// postgres/client/client: connections whose sessions print every value in one fixed form, and which nothing waits on for ever.

import pg from 'pg'
import { readTlsFiles } from '../../runtime/config/tls-files.ts'
import { MillraceError } from '../../runtime/errors.ts'
import { statementText } from '../../runtime/printable.ts'
import { sleep } from '../../runtime/wait.ts'
import { postgresFailure, sqlState } from './errors.ts'
import { type Backend, connectFailure, readBackend, startupOptions } from './session.ts'

export type Client = pg.Client

/** Until the session can be used. */
const connectTimeoutMs = 15_000
/** A peer that vanished without a word is asked after so long a silence. */
const keepAliveMs = 30_000
/** So long a statement may be without an answer before somebody looks whether its backend is still at work. */
const lookAfterMs = 10_000
/** An answer that is on its way arrives within that time. */
const graceMs = 2_000
const goodbyeMs = 2_000

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

export interface ConnectOptions {
  /** `replication`: for replication commands as well; it takes statements without values only. */
  readonly mode?: 'sql' | 'replication'
  /** Cuts the connection, whatever it is at. */
  readonly signal?: AbortSignal | undefined
}

interface Session extends Backend {
  readonly url: string
}

const sessions = new WeakMap<Client, Session>()

/**
 * A connected client. When the connection breaks, its queries fail; nothing else happens.
 * @throws {MillraceError} POSTGRES_*; the signal's reason
 */
export async function connect(url: string, { mode = 'sql', signal }: ConnectOptions = {}): Promise<Client> {
  signal?.throwIfAborted()
  const client = new pg.Client({ ...clientConfig(url), ...(mode === 'replication' && { replication: 'database' }) })
  client.on('error', () => {})
  const cutNow = () => cut(client)
  signal?.addEventListener('abort', cutNow, { once: true })
  client.once('end', () => signal?.removeEventListener('abort', cutNow))
  const limit = setTimeout(cutNow, connectTimeoutMs)
  try {
    await client.connect()
    sessions.set(client, { url, ...(await readBackend(client, describeUrl(url))) })
    return client
  } catch (error) {
    cutNow()
    signal?.throwIfAborted()
    throw connectFailure(error, describeUrl(url))
  } finally {
    clearTimeout(limit)
  }
}

/** Says goodbye, which frees what the session holds before this resolves; a server that does not answer is left. Never rejects. */
export async function disconnect(client: Client): Promise<void> {
  const limit = setTimeout(() => cut(client), goodbyeMs)
  await client.end().catch(() => {})
  clearTimeout(limit)
}

/** Ends the connection without a word: everything that waits on it fails at once. */
export function cut(client: Client): void {
  client.connection.stream.destroy()
}

/** Process of the server that serves the client, for pg_cancel_backend and pg_blocking_pids. */
export function backendOf(client: Client): Backend {
  return sessions.get(client)!
}

/**
 * The rows of one statement. Without values it is sent as it stands, as a replication connection needs it. It may take as long as
 * its backend is at work on it, and no longer.
 * @throws {MillraceError} POSTGRES_*
 */
export async function query<Row extends object>(
  client: Client,
  text: string,
  values?: readonly unknown[],
): Promise<Row[]> {
  const attendance = new Attendance(client)
  try {
    const { rows } = await client.query<Row & pg.QueryResultRow>(text, values && [...values])
    return rows
  } catch (error) {
    throw postgresFailure(attendance.failure ?? error, statementText(text))
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
 * Something that keeps its connection once it is open; until then the signal cuts it.
 * @throws what `open` throws, when the connection is closed again; the signal's reason
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
 * Looks after a statement from another connection, every now and then, for as long as it is unanswered. A host that has frozen or
 * lost its network says nothing, and TCP may take its silence for patience for ever; a backend that works says nothing either, for hours.
 */
class Attendance {
  /** Why the connection was cut. */
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
        this.failure = new Error('no answer, and its backend is not at work on it, or cannot be asked')
        cut(this.#client)
      }
    }
    if (!signal.aborted) this.#lookLater()
  }
}

/** Whether the session's backend is busy with a statement, as far as can be told. Never rejects. */
async function isAtWork({ url, pid, startedAt }: Session, signal: AbortSignal): Promise<boolean> {
  let other: Client | undefined
  let limit: NodeJS.Timeout | undefined
  try {
    const client = await connect(url, { signal })
    other = client
    limit = setTimeout(() => cut(client), lookAfterMs)
    const { rows } = await client.query<{ idle: boolean | null }>(
      "SELECT state LIKE 'idle%' AS idle FROM pg_stat_activity WHERE pid = $1 AND backend_start = $2",
      [pid, startedAt],
    )
    return rows.length === 1 && rows[0]!.idle !== true
  } catch (error) {
    // A server that refuses the connection answers, and so says nothing against the statement.
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
 * Lifts `transaction_timeout`, which servers before 17 do not know and which therefore cannot be a startup option, from a
 * session that holds or reads a snapshot.
 */
export async function liftTransactionLimit(client: Client): Promise<void> {
  await query(client, "SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'transaction_timeout'")
}
