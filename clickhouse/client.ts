// clickhouse/client: the one connection to ClickHouse, with its errors made ours.

import { randomUUID } from 'node:crypto'
import { Agent } from 'node:http'
import { Agent as SecureAgent } from 'node:https'
import { Readable } from 'node:stream'
import { type ClickHouseClient, type ClickHouseSettings, createClient } from '@clickhouse/client'
import type { TlsFiles } from '../runtime/config/tls-files.ts'
import { wrapClickhouseError } from './errors.ts'

export interface ClickhouseOptions {
  readonly url: string
  readonly user: string
  readonly password: string
  /** PEM texts, for an https address. */
  readonly tls?: TlsFiles
  /** Current database of every statement; names in a model resolve against it. */
  readonly database?: string
  /** Sent with every statement, unless it has others. */
  readonly settings?: ClickHouseSettings
  /** Beginning of every statement's query id: what a client that is gone has left running is found by it. */
  readonly queryPrefix?: string
}

export interface Clickhouse {
  readonly url: string
  /** Rows of a SELECT as objects; 64-bit integers and decimals come as strings. `parameters` fill `{name:Type}`. */
  rows<Row>(sql: string, parameters?: Record<string, unknown>, settings?: ClickHouseSettings): Promise<Row[]>
  command(sql: string, settings?: ClickHouseSettings): Promise<void>
  /** The result of a SELECT with a FORMAT as the server writes it. It has succeeded as a whole before the first byte comes. */
  stream(sql: string, settings: ClickHouseSettings, signal: AbortSignal): Promise<ResultStream>
  /**
   * Sends `chunks` as the data of an `INSERT INTO … FORMAT …`; resolves once the server has finished the statement.
   * @throws {MillraceError} CLICKHOUSE_REFUSED when the data cannot be stored
   */
  insert(sql: string, chunks: readonly Buffer[], settings: ClickHouseSettings): Promise<void>
  close(): Promise<void>
}

export interface ResultStream {
  readonly body: Readable
  readonly rows: number
}

/** Longer than any fold; a statement that takes more counts as lost and is looked up before it is tried again. */
const requestTimeoutMs = 120_000

/** The server keeps a result on its disk until it is complete, and says now and then that it still works, lest the request times out. */
const wholeResult: ClickHouseSettings = {
  wait_end_of_query: 1,
  send_progress_in_http_headers: 1,
  http_headers_progress_interval_ms: String(requestTimeoutMs / 4),
}

/** @throws nothing; the first statement meets an unreachable server, as CLICKHOUSE_UNREACHABLE (retriable). */
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
  const guarded = async <Result>(sql: string, work: () => Promise<Result>, carriesRecords = false): Promise<Result> => {
    try {
      return await work()
    } catch (error) {
      throw wrapClickhouseError(error, options.url, sql, carriesRecords)
    }
  }
  const named = () => ({ query_id: `${options.queryPrefix ?? ''}${randomUUID()}` })
  return {
    url: options.url,
    rows: (sql, parameters = {}, settings = {}) =>
      guarded(sql, async () => {
        const result = await client.query({
          query: sql,
          format: 'JSONEachRow',
          query_params: parameters,
          clickhouse_settings: {
            output_format_json_quote_64bit_integers: 1,
            output_format_json_quote_decimals: 1,
            ...roomFor(sql),
            ...settings,
          },
        })
        return result.json()
      }),
    command: (sql, settings = {}) =>
      guarded(sql, async () => {
        const clickhouse_settings = { wait_end_of_query: 1, ...roomFor(sql), ...settings } as const
        await client.command({ query: sql, clickhouse_settings, ...named() })
      }),
    stream: (sql, settings, signal) => guarded(sql, () => openStream(client, sql, settings, signal)),
    insert: (sql, chunks, settings) =>
      guarded(sql, () => insertRecords(client, { sql, chunks, settings, ...named() }), true),
    close: () => client.close(),
  }
}

async function openStream(
  client: ClickHouseClient,
  query: string,
  settings: ClickHouseSettings,
  signal: AbortSignal,
): Promise<ResultStream> {
  const clickhouse_settings = { ...wholeResult, ...roomFor(query), ...settings }
  const { stream, summary } = await client.exec({ query, abort_signal: signal, clickhouse_settings })
  return { body: stream, rows: Number(summary?.result_rows ?? 0) }
}

/** The table's name, quoted or not, with what stands before it. */
const beforeColumns = /^INSERT INTO (?:`(?:\\.|[^`\\])*`|[\w.])+/

/** What the client sends as the query goes into the address, which must stay short. The server takes the body as its continuation. */
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
  const { stream } = await client.exec({
    query: start,
    values: Readable.from([Buffer.from(`${sql.slice(start.length)}\n`), ...chunks], { objectMode: false }),
    clickhouse_settings: { wait_end_of_query: 1, ...roomFor(sql), ...settings },
    query_id,
  })
  await drain(stream)
}

/** From this length on, a statement is given the room that it needs, beyond ClickHouse's defaults. */
const longStatement = 50_000

/** A statement over hundreds of columns is larger than ClickHouse takes by default; it has fewer elements than letters. */
function roomFor(sql: string): ClickHouseSettings {
  if (sql.length < longStatement) return {}
  const room = String(2 * Buffer.byteLength(sql))
  return { max_query_size: room, max_ast_elements: room, max_expanded_ast_elements: String(500_000 + 2 * sql.length) }
}

async function drain(stream: Readable): Promise<void> {
  for await (const _ of stream) {
    // An exception after the headers ends the stream with an error, so the body is read to its end.
  }
}
