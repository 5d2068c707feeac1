// postgres/replication/slot: creates replication slots with their snapshot, and finds, inspects and
// drops them.

import { randomBytes } from 'node:crypto'
import { formatLsn, parseLsn } from '../../contract/position.ts'
import {
  backendOf,
  type Client,
  connect,
  destroy,
  disconnect,
  liftTransactionLimit,
  query,
  withClient,
} from '../client/client.ts'
import { quoteReplicationName } from '../client/quote.ts'
import { type OnBlocked, watchBlocked } from '../client/waiting.ts'

export interface ExportedSnapshot {
  /** The snapshot contains every transaction committed before this LSN, and no later one. */
  readonly consistentPoint: number
  /** For SET TRANSACTION SNAPSHOT, until `release`. */
  readonly snapshotName: string
  /** Ends the snapshot. */
  release(): Promise<void>
}

export interface SlotOptions {
  /** Stops the wait. No slot is left. */
  readonly signal?: AbortSignal
  readonly onBlocked?: OnBlocked
}

/**
 * Exports a snapshot whose LSN is known. It does so by a temporary slot of this name, which is
 * dropped when the snapshot is released. Waits for every transaction that is running at the time.
 * @throws {MillraceError} POSTGRES_*; POSTGRES_FAILED when the name is in use. The signal's reason
 *   when aborted.
 * @see https://www.postgresql.org/docs/current/protocol-replication.html
 */
export async function exportSnapshot(url: string, name: string, options: SlotOptions = {}): Promise<ExportedSnapshot> {
  options.signal?.throwIfAborted()
  const client = await connect(url, { mode: 'replication' })
  try {
    const command = `CREATE_REPLICATION_SLOT ${quoteReplicationName(name)} TEMPORARY LOGICAL pgoutput EXPORT_SNAPSHOT`
    const [row] = await waiting<{ consistent_point: string; snapshot_name: string }>(
      { ...options, url, client },
      command,
    )
    return {
      consistentPoint: parseLsn(row!.consistent_point),
      snapshotName: row!.snapshot_name,
      release: () => disconnect(client),
    }
  } catch (error) {
    await disconnect(client)
    throw error
  }
}

/**
 * Creates a logical slot for pgoutput, and exports the snapshot that it continues.
 *
 * A slot does not know which transactions changed the catalog before the slot was consistent.
 * Assume that a transaction commits a TRUNCATE or ALTER TABLE while the slot is being made, and
 * another one then writes to the table. The slot could never decode the latter ("could not map
 * filenumber"). Therefore a temporary slot is made first, and the snapshot is exported when that
 * slot is consistent. The permanent slot is a copy of the temporary one, advanced to the end of the
 * snapshot: everything that it streams began after the temporary slot was consistent. A copy is
 * written to disk at once. A slot that was only advanced would be back at its old position after a
 * crash.
 * @throws as exportSnapshot
 */
export async function createSlot(url: string, name: string, options: SlotOptions = {}): Promise<ExportedSnapshot> {
  const first = temporaryName('slot')
  const client = await connect(url)
  let snapshot: ExportedSnapshot | undefined
  try {
    const make = "SELECT pg_create_logical_replication_slot($1, 'pgoutput', true)"
    await waiting({ ...options, url, client }, make, [first])
    snapshot = await exportSnapshot(url, temporaryName('snapshot'), options)
    await query(client, 'SELECT pg_replication_slot_advance($1, $2)', [first, formatLsn(snapshot.consistentPoint)])
    await query(client, 'SELECT pg_copy_logical_replication_slot($1, $2, false)', [first, name])
    return snapshot
  } catch (error) {
    await snapshot?.release()
    throw error
  } finally {
    await disconnect(client)
  }
}

function temporaryName(purpose: string): string {
  return `millrace_${purpose}_${randomBytes(6).toString('hex')}`
}

/**
 * Runs a statement that waits for other transactions. It has no statement timeout, and reports the
 * transaction that it waits for.
 */
async function waiting<R extends object>(
  { url, client, signal, onBlocked }: SlotOptions & { readonly url: string; readonly client: Client },
  statement: string,
  values?: readonly unknown[],
): Promise<R[]> {
  signal?.throwIfAborted()
  await liftTransactionLimit(client)
  try {
    const run = () => query<R>(client, statement, values)
    const rows = await cancellable(url, client, signal, () => watchBlocked({ url, client, onBlocked }, run))
    signal?.throwIfAborted()
    return rows
  } catch (error) {
    signal?.throwIfAborted()
    throw error
  }
}

/**
 * After this time, the connection of a server that does not cancel is left. It can only create
 * something temporary.
 */
const cancelLimitMs = 2_000

/**
 * A backend that waits for other transactions does not notice that its client has gone, so it has
 * to be cancelled.
 */
async function cancellable<T>(
  url: string,
  client: Client,
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
): Promise<T> {
  const { pid } = backendOf(client)
  const cancel = () => {
    const late = AbortSignal.timeout(cancelLimitMs)
    withClient(url, other => query(other, 'SELECT pg_cancel_backend($1)', [pid]), late).catch(() => destroy(client))
  }
  signal?.addEventListener('abort', cancel, { once: true })
  try {
    return await work()
  } finally {
    signal?.removeEventListener('abort', cancel)
  }
}

/** The state of a slot. LSNs are byte offsets into the WAL. */
export interface SlotState {
  readonly name: string
  /** A connection is reading the slot. */
  readonly active: boolean
  readonly temporary: boolean
  /** The oldest WAL that the slot still needs; undefined when the slot was invalidated. */
  readonly restartLsn: number | undefined
  readonly confirmedFlushLsn: number | undefined
  /** `reserved`, `extended`, `unreserved` or `lost`. */
  readonly walStatus: string | undefined
  /** Bytes that may still be written before the slot is in danger; undefined without a limit. */
  readonly safeWalBytes: number | undefined
  /** Bytes of WAL that the server keeps for the slot. */
  readonly heldBytes: number
  /** Why the slot was invalidated, from Postgres 17 on. */
  readonly invalidationReason: string | undefined
}

interface SlotRow {
  readonly slot_name: string
  readonly active: boolean
  readonly temporary: boolean
  readonly restart_lsn: string | null
  readonly confirmed_flush_lsn: string | null
  readonly wal_status: string | null
  readonly safe_wal_size: string | null
  readonly held_bytes: string | null
  readonly invalidation_reason: string | null
}

/** The database's logical slots of pgoutput whose names begin with `prefix`, sorted by name. */
export async function findSlots(client: Client, prefix: string): Promise<SlotState[]> {
  const rows = await query<SlotRow>(
    client,
    `SELECT slot_name, active, temporary, restart_lsn, confirmed_flush_lsn, wal_status, safe_wal_size,
       pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END,
         restart_lsn) AS held_bytes,
       to_jsonb(s) ->> 'invalidation_reason' AS invalidation_reason
     FROM pg_replication_slots s
     WHERE plugin = 'pgoutput' AND database = current_database() AND starts_with(slot_name, $1)
     ORDER BY slot_name`,
    [prefix],
  )
  return rows.map(row => ({
    name: row.slot_name,
    active: row.active,
    temporary: row.temporary,
    restartLsn: row.restart_lsn === null ? undefined : parseLsn(row.restart_lsn),
    confirmedFlushLsn: row.confirmed_flush_lsn === null ? undefined : parseLsn(row.confirmed_flush_lsn),
    walStatus: row.wal_status ?? undefined,
    safeWalBytes: row.safe_wal_size === null ? undefined : Number(row.safe_wal_size),
    heldBytes: Number(row.held_bytes ?? 0),
    invalidationReason: row.invalidation_reason ?? undefined,
  }))
}

/** The slot of this name, or undefined. */
export async function slotState(client: Client, name: string): Promise<SlotState | undefined> {
  return (await findSlots(client, name)).find(slot => slot.name === name)
}

/**
 * The server's slots whose names begin with `prefix`, in all databases, because slot names are
 * unique on the server.
 */
export function slotsOfServer(client: Client, prefix: string): Promise<{ name: string; database: string | null }[]> {
  const statement =
    'SELECT slot_name AS name, database FROM pg_replication_slots WHERE starts_with(slot_name, $1) ORDER BY slot_name'
  return query(client, statement, [prefix])
}

/**
 * Drops a slot of this database. A missing slot is no error.
 * @throws {MillraceError} SLOT_ACTIVE while a connection reads it
 */
export async function dropSlot(client: Client, name: string): Promise<void> {
  const statement = `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots
    WHERE slot_name = $1 AND database = current_database()`
  await query(client, statement, [name])
}
