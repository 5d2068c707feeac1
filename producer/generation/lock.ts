// producer/generation/lock: at most one producer per generation, by an advisory lock of Postgres.

import { type Client, disconnect, openOn, query } from '../../postgres/client/client.ts'
import { MillraceError } from '../../runtime/errors.ts'

/**
 * TCP may notice the end of a silent connection only after hours. So the producer queries the
 * connection of the lock.
 */
const askEveryMs = 10_000

export interface Lock {
  /**
   * Rejects when the connection that holds the lock breaks. Another producer may have the lock
   * then.
   */
  readonly lost: Promise<never>
  release(): Promise<void>
}

/** The same for every producer of the generation, even before the generation has a slot. */
export function lockName(pipeline: string, generation: number): string {
  return `${pipeline}_${generation}`
}

/**
 * Takes the advisory lock of a generation. Postgres releases it with the connection, however the
 * process ends.
 * @param signal ends the attempt only
 * @throws {MillraceError} PRODUCER_RUNNING when another connection has the lock; POSTGRES_*; the
 *   signal's reason
 * @see https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS
 */
export function takeLock(url: string, name: string, signal?: AbortSignal): Promise<Lock> {
  return openOn(url, { signal }, async client => {
    const statement = `SELECT pg_try_advisory_lock(hashtextextended($1, 0)) AS taken`
    const [row] = await query<{ taken: boolean }>(client, statement, [`millrace ${name}`])
    if (!row?.taken) throw alreadyRunning(name, await describeHolder(client, name))
    const lost = new Promise<never>((_, reject) => {
      client.once('error', cause => reject(lockLost(name, cause)))
    })
    lost.catch(() => {})
    keepAsking(client)
    return { lost, release: () => disconnect(client) }
  })
}

/** An unanswered query closes the connection, and a closed connection ends the queries. */
function keepAsking(client: Client): void {
  const ask = () => {
    query(client, 'SELECT').then(askLater, () => {})
  }
  const askLater = () => {
    setTimeout(ask, askEveryMs).unref()
  }
  askLater()
}

/**
 * The holder of the lock, as far as the role may see it. The catalog has a key of 64 bits as two
 * numbers of 32 bits.
 */
async function describeHolder(client: Client, name: string): Promise<string> {
  const [holder] = await query<{ pid: number; application: string; address: string | null; seconds: number | null }>(
    client,
    `SELECT a.pid, a.application_name AS application, host(a.client_addr) AS address,
       extract(epoch FROM clock_timestamp() - a.backend_start)::int AS seconds
     FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
     WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
       AND (l.classid::int8 << 32 | l.objid::int8) = hashtextextended($1, 0)`,
    [`millrace ${name}`],
  )
  if (holder === undefined) return ''
  const from = holder.address === null ? '' : ` from ${holder.address}`
  const age = holder.seconds === null ? '' : `, connected for ${holder.seconds} s`
  return `: pid ${holder.pid} of the server, ${holder.application || 'without a name'}${from}${age}`
}

function alreadyRunning(name: string, holder: string): MillraceError {
  return new MillraceError('PRODUCER_RUNNING', {
    what: `another producer works on this generation${holder}`,
    where: `generation ${name}`,
    next: 'none: this producer takes over when the other ends; stop one of them if two were started by mistake',
  })
}

function lockLost(name: string, cause: unknown): MillraceError {
  return new MillraceError('POSTGRES_UNREACHABLE', {
    what: 'the connection that holds the lock of this generation broke',
    where: `generation ${name}`,
    next: 'none: the producer connects again',
    cause,
  })
}
