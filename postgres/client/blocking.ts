// postgres/client/blocking: finds and names the transaction that a statement waits for.

import { type Client, query } from './client.ts'
import { quoteString } from './quote.ts'

export interface OpenTransaction {
  /** Undefined for a prepared transaction, which has no process. */
  readonly pid: number | undefined
  /** Identifier of a prepared transaction. */
  readonly gid: string | undefined
  readonly database: string | undefined
  readonly user: string | undefined
  readonly application: string | undefined
  /** `active`, `idle in transaction`; undefined where the role may not see it. */
  readonly state: string | undefined
  readonly seconds: number
  /** Beginning of its last statement; undefined where the role may not see it. */
  readonly statement: string | undefined
}

interface Row {
  readonly pid: number | null
  readonly gid: string | null
  readonly database: string | null
  readonly user: string | null
  readonly application: string | null
  readonly state: string | null
  readonly seconds: number | null
  readonly statement: string | null
}

/**
 * Finds the transaction that the making of a slot waits for. A slot is ready once every transaction
 * has ended that was running in any database of the server. Postgres waits for them one after the
 * other.
 * @returns undefined while it waits for none
 * @throws {MillraceError} POSTGRES_*
 */
export function findBlocking(client: Client, slot: string): Promise<OpenTransaction | undefined> {
  return findWaitedFor(client, 'SELECT active_pid FROM pg_replication_slots WHERE slot_name = $1', slot)
}

/**
 * Finds the transaction that a backend waits for: for its end, or for a lock that it holds.
 * @returns undefined while it waits for none
 * @throws {MillraceError} POSTGRES_*
 */
export function findBlockingOf(client: Client, pid: number): Promise<OpenTransaction | undefined> {
  return findWaitedFor(client, 'SELECT $1::int', pid)
}

/**
 * A prepared transaction holds its locks without a process. The part behind the slash of their
 * virtual transaction is its id.
 * @see https://www.postgresql.org/docs/current/view-pg-locks.html
 */
async function findWaitedFor(
  client: Client,
  waiter: string,
  value: string | number,
): Promise<OpenTransaction | undefined> {
  const [row] = await query<Row>(
    client,
    `SELECT a.pid, p.gid, coalesce(a.datname, p.database) AS database, coalesce(a.usename, p.owner) AS user,
       nullif(a.application_name, '') AS application, a.state, nullif(left(a.query, 100), '<insufficient privilege>') AS statement,
       extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, p.prepared))::int AS seconds
     FROM pg_locks l
       LEFT JOIN pg_locks h ON h.pid IS NULL AND h.granted AND h.locktype = l.locktype
         AND h.database IS NOT DISTINCT FROM l.database AND h.relation IS NOT DISTINCT FROM l.relation
         AND h.transactionid IS NOT DISTINCT FROM l.transactionid
       LEFT JOIN pg_prepared_xacts p ON p.transaction::text = split_part(h.virtualtransaction, '/', 2)
       LEFT JOIN pg_stat_activity a ON a.pid = ANY (pg_blocking_pids(l.pid))
     WHERE l.pid = (${waiter}) AND NOT l.granted AND (a.pid IS NOT NULL OR p.gid IS NOT NULL)
     ORDER BY a.xact_start
     LIMIT 1`,
    [value],
  )
  if (row === undefined) return undefined
  const { seconds, ...rest } = row
  const known = Object.fromEntries(Object.entries(rest).map(([name, found]) => [name, found ?? undefined]))
  return { ...(known as unknown as Omit<OpenTransaction, 'seconds'>), seconds: seconds ?? 0 }
}

/** One line for a log or an error. */
export function describeTransaction({ pid, gid, database, seconds, ...about }: OpenTransaction): string {
  const name = gid === undefined ? `transaction of pid ${pid}` : `prepared transaction '${gid}'`
  const parts = [
    `database ${database ?? 'unknown'}`,
    ...(about.user === undefined ? [] : [`user ${about.user}`]),
    ...(about.application === undefined ? [] : [`application ${about.application}`]),
    ...(about.state === undefined ? [] : [about.state]),
    `open for ${seconds} s`,
    ...(about.statement === undefined ? [] : [`last statement: ${about.statement.replace(/\s+/g, ' ')}`]),
  ]
  return `${name} (${parts.join(', ')})`
}

/** The statement that ends the transaction. The transaction's work is lost. */
export function endingStatement({ pid, gid }: OpenTransaction): string {
  return gid === undefined ? `SELECT pg_terminate_backend(${pid})` : `ROLLBACK PREPARED ${quoteString(gid)}`
}
