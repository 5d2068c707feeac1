// postgres/replication/snapshot: copies all rows of the captured tables as of one snapshot, in
// parallel.

import { MillraceError } from '../../runtime/errors.ts'
import { type Client, connect, destroy, disconnect, liftTransactionLimit, query } from '../client/client.ts'
import { copyOut } from '../client/copy-out.ts'
import { sqlState } from '../client/errors.ts'
import { quoteString } from '../client/quote.ts'
import type { OnBlocked } from '../client/waiting.ts'
import { parseCopyRow } from '../protocol/copy-row.ts'
import { Tuple } from '../protocol/tuple.ts'
import { lockStatement, type Piece, planSnapshot, type SnapshotTable } from './snapshot-plan.ts'

export interface SnapshotOptions {
  readonly url: string
  /** Name from `createSlot`, whose connection must stay open until this resolves. */
  readonly snapshotName: string
  readonly tables: readonly SnapshotTable[]
  /** Number of connections that copy at the same time. */
  readonly readers: number
  readonly onBlocked?: OnBlocked
  /**
   * Receives a row of `tables[table]`, in no particular order. The row is valid during the call.
   */
  onRow(table: number, row: Tuple): void
  /**
   * Called after every few dozen kilobytes. Nothing more is read on that connection until the
   * promise resolves.
   */
  pressure(): Promise<void> | undefined
  onTableDone(table: number): void
  readonly signal: AbortSignal
}

/** Errors of a snapshot name that is malformed, unknown, or of a transaction that has ended. */
const snapshotErrors: readonly (string | undefined)[] = ['22023', '42704', '55000']

/**
 * Copies all tables. The first error ends all connections and rejects.
 * @throws {MillraceError} SNAPSHOT_LOST, POSTGRES_*, STREAM_CORRUPT; the signal's reason when
 *   aborted
 */
export async function copyTables(options: SnapshotOptions): Promise<void> {
  const { readers, signal } = options
  signal.throwIfAborted()
  const clients: Client[] = []
  const onAbort = () => {
    for (const client of clients) destroy(client)
  }
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    clients.push(await openReader(options))
    const pieces = await planSnapshot(clients[0]!, options)
    while (clients.length < Math.min(readers, pieces.length)) clients.push(await openReader(options))
    signal.throwIfAborted()
    await copyPieces(clients, pieces, options)
    for (const client of clients) await query(client, 'COMMIT')
  } catch (error) {
    onAbort()
    signal.throwIfAborted()
    throw error
  } finally {
    signal.removeEventListener('abort', onAbort)
    await Promise.all(clients.map(disconnect))
  }
}

/** Opens a connection with a transaction that sees exactly the snapshot. */
async function openReader({ url, snapshotName, signal }: SnapshotOptions): Promise<Client> {
  const client = await connect(url, { signal })
  try {
    await liftTransactionLimit(client)
    await query(client, 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY')
    await query(client, `SET TRANSACTION SNAPSHOT ${quoteString(snapshotName)}`)
    return client
  } catch (error) {
    await disconnect(client)
    const cause = error instanceof MillraceError ? error.cause : error
    if (!snapshotErrors.includes(sqlState(cause))) throw error
    throw new MillraceError('SNAPSHOT_LOST', {
      what: 'the exported snapshot is gone, because its connection ended',
      where: `snapshot ${snapshotName}`,
      next: 'nothing was lost; the initial load begins again with a new snapshot',
      cause,
    })
  }
}

/**
 * Each connection takes the next piece when it has finished one. The first connection has locked
 * every table until all are copied, so a TRUNCATE waits for it. If another connection waited behind
 * that TRUNCATE, both would wait for ever, and Postgres would not detect the deadlock. So the
 * others take only locks that are free, and leave the remaining tables to the first, as pg_dump
 * does.
 */
async function copyPieces(
  [first, ...others]: readonly Client[],
  pieces: readonly Piece[],
  options: SnapshotOptions,
): Promise<void> {
  const { tables, onTableDone } = options
  const left = tables.map((_, index) => pieces.filter(({ table }) => table === index).length)
  const queue = [...pieces]
  const contended: Piece[] = []
  const copy = async (client: Client, piece: Piece) => {
    await copyPiece(client, piece, options)
    left[piece.table]!--
    if (left[piece.table] === 0) onTableDone(piece.table)
  }
  const readAsOther = async (client: Client) => {
    for (let piece = queue.shift(); piece; piece = queue.shift()) {
      if (await lockAtOnce(client, tables[piece.table]!)) await copy(client, piece)
      else contended.push(piece)
    }
  }
  const readAsFirst = async (client: Client) => {
    for (let piece = queue.shift(); piece; piece = queue.shift()) await copy(client, piece)
  }
  await Promise.all([readAsFirst(first!), ...others.map(readAsOther)])
  for (const piece of contended) await copy(first!, piece)
}

async function copyPiece(client: Client, { table, statement }: Piece, options: SnapshotOptions): Promise<void> {
  const { tables, onRow, pressure } = options
  const columns = tables[table]!.columns.length
  const tuple = new Tuple()
  const row = (line: Buffer) => {
    parseCopyRow(line, columns, tuple)
    onRow(table, tuple)
  }
  await copyOut(client, statement, { row, pressure })
}

const lockNotAvailable = '55P03'
/** The lock stays after the release. Savepoints that were kept would nest, one for each piece. */
const release = 'RELEASE unlocked'

async function lockAtOnce(client: Client, table: SnapshotTable): Promise<boolean> {
  await query(client, 'SAVEPOINT unlocked')
  try {
    await query(client, `${lockStatement([table])} NOWAIT`)
    await query(client, release)
    return true
  } catch (error) {
    if (!(error instanceof MillraceError) || sqlState(error.cause) !== lockNotAvailable) throw error
    await query(client, 'ROLLBACK TO unlocked')
    await query(client, release)
    return false
  }
}
