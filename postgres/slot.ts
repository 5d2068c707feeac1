// postgres/slot: replication slots: made with the snapshot they begin at, found, inspected, dropped.
// May know: postgres/{connect,waiting}, contract/position, runtime.

import { randomBytes } from 'node:crypto'
import { escapeIdentifier } from 'pg'
import { parseLsn } from '../contract/position.ts'
import { backendOf, type Client, connect, cut, disconnect, liftTransactionLimit, query, withClient } from './connect.ts'
import { type OnBlocked, watchBlocked } from './waiting.ts'

export interface CreatedSlot {
  /** Every transaction committed before it is in the snapshot, every later one will be in the stream. */
  readonly consistentPoint: number
  /** For SET TRANSACTION SNAPSHOT, until `release`. */
  readonly snapshotName: string
  /** Gives up the snapshot. A temporary slot goes with it. */
  release(): Promise<void>
}

export interface CreateSlotOptions {
  /** Postgres drops the slot when the connection ends. */
  readonly temporary?: boolean
  /** Gives up, and leaves no slot behind. */
  readonly signal?: AbortSignal
  readonly onBlocked?: OnBlocked
}

interface CreatedRow {
  readonly consistent_point: string
  readonly snapshot_name: string
}

/**
 * Creates a logical slot for pgoutput and exports a snapshot that it continues. Waits for every transaction that is running at the time.
 *
 * The snapshot comes from a temporary slot that is made after the lasting one, which is then moved to where the snapshot ends. Postgres
 * does not remember, in a slot, which transactions changed the catalog before the slot was consistent. So a transaction that wrote to a
 * table, after another one had committed a TRUNCATE or ALTER TABLE of it while the slot was being made, could never be decoded ("could not
 * map filenumber"). Every transaction behind the second slot began when the first was consistent.
 * @throws {MillraceError} POSTGRES_*; POSTGRES_FAILED when there is one of this name. The signal's reason when aborted.
 * @see https://www.postgresql.org/docs/current/protocol-replication.html
 */
export async function createSlot(url: string, name: string, options: CreateSlotOptions = {}): Promise<CreatedSlot> {
  const { temporary = false, signal, onBlocked } = options
  signal?.throwIfAborted()
  const client = await connect(url, { mode: 'replication' })
  const create = async (slot: string, how: string) => {
    const command = `CREATE_REPLICATION_SLOT ${escapeIdentifier(slot)} ${how}`
    const statement = () => query<CreatedRow>(client, command)
    const [row] = await cancellable(url, client, signal, () => watchBlocked({ url, client, onBlocked }, statement))
    return row!
  }
  let lasting = false
  try {
    await liftTransactionLimit(client)
    if (!temporary) {
      await create(name, 'LOGICAL pgoutput NOEXPORT_SNAPSHOT')
      lasting = true
      signal?.throwIfAborted()
    }
    const exporting = temporary ? name : `millrace_snapshot_${randomBytes(6).toString('hex')}`
    const { consistent_point, snapshot_name } = await create(exporting, 'TEMPORARY LOGICAL pgoutput EXPORT_SNAPSHOT')
    signal?.throwIfAborted()
    if (lasting) await advanceSlot(url, name, consistent_point)
    return {
      consistentPoint: parseLsn(consistent_point),
      snapshotName: snapshot_name,
      release: () => disconnect(client),
    }
  } catch (error) {
    if (lasting) await query(client, `DROP_REPLICATION_SLOT ${escapeIdentifier(name)}`).catch(() => {})
    await disconnect(client)
    signal?.throwIfAborted()
    throw error
  }
}

/** On another connection: any command on the one that exported the snapshot would take it back. */
function advanceSlot(url: string, name: string, lsn: string): Promise<unknown> {
  return withClient(url, client => query(client, 'SELECT pg_replication_slot_advance($1, $2)', [name, lsn]))
}

/** A server that does not even cancel is left: what it may still make goes with the generation that was given up. */
const cancelLimitMs = 2_000

/** A backend that waits for other transactions does not notice that its client has gone; it has to be cancelled. */
async function cancellable<T>(
  url: string,
  client: Client,
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
): Promise<T> {
  const { pid } = backendOf(client)
  const cancel = () => {
    const late = AbortSignal.timeout(cancelLimitMs)
    withClient(url, other => query(other, 'SELECT pg_cancel_backend($1)', [pid]), late).catch(() => cut(client))
  }
  signal?.addEventListener('abort', cancel, { once: true })
  try {
    return await work()
  } finally {
    signal?.removeEventListener('abort', cancel)
  }
}

/** How a slot stands. LSNs are byte offsets into the WAL, as everywhere. */
export interface SlotState {
  readonly name: string
  /** A connection reads it. */
  readonly active: boolean
  readonly temporary: boolean
  /** Oldest WAL that it still needs; undefined when it was invalidated. */
  readonly restartLsn: number | undefined
  readonly confirmedFlushLsn: number | undefined
  /** `reserved`, `extended`, `unreserved` or `lost`. */
  readonly walStatus: string | undefined
  /** Bytes that may still be written before the slot is in danger; undefined without a limit. */
  readonly safeWalBytes: number | undefined
  /** Bytes of WAL that the server keeps for it. */
  readonly heldBytes: number
  /** Why it was invalidated, as Postgres 17 and later say. */
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

/** The database's logical slots of pgoutput whose names begin with `prefix`, by name. */
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

/** The slot of exactly this name, or undefined. */
export async function slotState(client: Client, name: string): Promise<SlotState | undefined> {
  return (await findSlots(client, name)).find(slot => slot.name === name)
}

/** The server's slots whose names begin with `prefix`, in whichever database: a name is taken for all of them. */
export function slotsOfServer(client: Client, prefix: string): Promise<{ name: string; database: string | null }[]> {
  const statement =
    'SELECT slot_name AS name, database FROM pg_replication_slots WHERE starts_with(slot_name, $1) ORDER BY slot_name'
  return query(client, statement, [prefix])
}

/**
 * Drops a slot of this database; one that is not there is no error.
 * @throws {MillraceError} SLOT_ACTIVE while a connection reads it
 */
export async function dropSlot(client: Client, name: string): Promise<void> {
  const statement = `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots
    WHERE slot_name = $1 AND database = current_database()`
  await query(client, statement, [name])
}
