// clickhouse/client: the connection to ClickHouse. Every failure is a MillraceError.

import { randomUUID } from 'node:crypto'
import { Agent } from 'node:http'
import { Agent as SecureAgent } from 'node:https'
import { Readable } from 'node:stream'
import { type ClickHouseClient, type ClickHouseSettings, createClient } from '@clickhouse/client'
import type { TlsFiles } from '../runtime/config/tls-files.ts'
import { clickhouseError } from './errors.ts'

export interface ClickhouseOptions {
  readonly url: string
  readonly user: string
  readonly password: string
  /** PEM texts, for an https address. */
  readonly tls?: TlsFiles
  /** Current database of every statement. Unqualified names of a model resolve against it. */
  readonly database?: string
  /** Sent with every statement. A statement's own settings take precedence. */
  readonly settings?: ClickHouseSettings
  /**
   * Prefix of every statement's query id. It finds statements that still run after their client has
   * gone.
   */
  readonly queryPrefix?: string
}

export interface Clickhouse {
  readonly url: string
  /**
   * Rows of a SELECT as objects. 64-bit integers and decimals are strings. `parameters` fill
   * `{name:Type}`.
   */
  rows<Row>(sql: string, parameters?: Record<string, unknown>, settings?: ClickHouseSettings): Promise<Row[]>
  /**
   * Of all statements with one `queryId`, the server runs one at a time, and refuses the others
   * with exception 216.
   */
  command(sql: string, settings?: ClickHouseSettings, queryId?: string): Promise<void>
  /**
   * The result of a SELECT with a FORMAT, as the server writes it. The first byte arrives only
   * after the whole SELECT has succeeded.
   */
  stream(sql: string, settings: ClickHouseSettings, signal: AbortSignal): Promise<ResultStream>
  /**
   * Sends `chunks` as the data of an `INSERT INTO … FORMAT …`. Resolves when the server has
   * finished the statement.
   * @throws {MillraceError} CLICKHOUSE_REFUSED when ClickHouse cannot store the data
   */
  insert(sql: string, chunks: readonly Buffer[], settings: ClickHouseSettings): Promise<void>
  close(): Promise<void>
}

export interface ResultStream {
  readonly body: Readable
  readonly rows: number
}

/**
 * Longer than any insert takes. After this time the outcome of a statement is unknown, and the
 * consumer looks for its rows before it sends them again.
 */
const requestTimeoutMs = 120_000

/**
 * The server keeps a result on its disk until it is complete. Progress headers, sent periodically,
 * keep the request from timing out.
 */
const wholeResult: ClickHouseSettings = {
  wait_end_of_query: 1,
  send_progress_in_http_headers: 1,
  http_headers_progress_interval_ms: String(requestTimeoutMs / 4),
}

/**
 * Opens no socket and throws nothing. The first statement fails with CLICKHOUSE_UNREACHABLE
 * (retriable) when the server does not answer.
 */
export function connectClickhouse(options: ClickhouseOptions): Clickhouse {
  const client = createClient({
    url: options.url,
    username: options.user,
    password: options.password,
    ...(options.database === undefined ? {} : { database: options.database }),
    ...(options.settings === undefined ? {} : { clickhouse_settings: options.settings }),
    request_timeout: requestTimeoutMs,
    keep_alive: { enabled: true, idle_socket_ttl: 2000, eagerly_destroy_stale_sockets: true },
    log: { level: 127 },
    ...(options.url.startsWith('http:')
      ? { http_agent: new Agent({ keepAlive: true, maxSockets: 8, noDelay: true }) }
      : { http_agent: new SecureAgent({ keepAlive: true, maxSockets: 8, noDelay: true, ...options.tls }) }),
  })
  const withErrors = async <Result>(
    sql: string,
    work: () => Promise<Result>,
    carriesRecords = false,
  ): Promise<Result> => {
    try {
      return await work()
    } catch (error) {
      throw clickhouseError(error, options.url, sql, carriesRecords)
    }
  }
  const newQueryId = () => `${options.queryPrefix ?? ''}${randomUUID()}`
  return {
    url: options.url,
    rows: (sql, parameters = {}, settings = {}) =>
      withErrors(sql, async () => {
        const result = await client.query({
          query: sql,
          format: 'JSONEachRow',
          query_params: parameters,
          clickhouse_settings: {
            output_format_json_quote_64bit_integers: 1,
            output_format_json_quote_decimals: 1,
            ...limitsFor(sql),
            ...settings,
          },
        })
        return result.json()
      }),
    command: (sql, settings = {}, queryId = newQueryId()) =>
      withErrors(sql, async () => {
        const clickhouse_settings = { wait_end_of_query: 1, ...limitsFor(sql), ...settings } as const
        await client.command({ query: sql, clickhouse_settings, query_id: queryId })
      }),
    stream: (sql, settings, signal) => withErrors(sql, () => openStream(client, sql, settings, signal)),
    insert: (sql, chunks, settings) =>
      withErrors(sql, () => insertRecords(client, { sql, chunks, settings, query_id: newQueryId() }), true),
    close: () => client.close(),
  }
}

async function openStream(
  client: ClickHouseClient,
  query: string,
  settings: ClickHouseSettings,
  signal: AbortSignal,
): Promise<ResultStream> {
  const clickhouse_settings = { ...wholeResult, ...limitsFor(query), ...settings }
  const { stream, summary } = await client.exec({ query, abort_signal: signal, clickhouse_settings })
  return { body: stream, rows: Number(summary?.result_rows ?? 0) }
}

/** `INSERT INTO` and the table's name, quoted or not. */
const beforeColumns = /^INSERT INTO (?:`(?:\\.|[^`\\])*`|[\w.])+/

/**
 * The client sends `query` in the address, which must stay short. The server reads the body as the
 * rest of the statement, so the body begins with the columns.
 */
async function insertRecords(
  client: ClickHouseClient,
  {
    sql,
    chunks,
    settings,
    query_id,
  }: { sql: string; chunks: readonly Buffer[]; settings: ClickHouseSettings; query_id: string },
): Promise<void> {
  const start = beforeColumns.exec(sql)?.[0] ?? ''
  const body = joined([Buffer.from(`${sql.slice(start.length)}\n`), ...chunks])
  const { stream } = await client.exec({
    query: start,
    values: Readable.from(body, { objectMode: false }),
    clickhouse_settings: { wait_end_of_query: 1, ...limitsFor(sql), ...settings },
    query_id,
  })
  await drain(stream)
}

const mostJoinedBytes = 1024 * 1024

/** Each chunk costs this process a write of its own, so the chunks of a small body become one. */
function joined(chunks: readonly Buffer[]): readonly Buffer[] {
  const bytes = chunks.reduce((sum, { length }) => sum + length, 0)
  return bytes > mostJoinedBytes ? chunks : [Buffer.concat(chunks, bytes)]
}

/**
 * Characters from which on a statement may exceed ClickHouse's default limits, so it gets limits of
 * its own.
 */
const longStatement = 50_000

/**
 * A statement over hundreds of columns exceeds ClickHouse's default limits. A statement has fewer
 * elements than characters.
 */
function limitsFor(sql: string): ClickHouseSettings {
  if (sql.length < longStatement) return {}
  const limit = String(2 * Buffer.byteLength(sql))
  return { max_query_size: limit, max_ast_elements: limit, max_expanded_ast_elements: String(500_000 + 2 * sql.length) }
}

async function drain(stream: Readable): Promise<void> {
  for await (const _ of stream) {
    // A failure after the headers ends the stream with an error, so the body is read to its end.
  }
}
