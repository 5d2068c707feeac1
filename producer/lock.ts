// producer/lock: one producer per generation, held to by Postgres.
// May know: postgres/connect, runtime/errors.

import { type Client, disconnect, openOn, query } from '../postgres/connect.ts'
import { MillraceError } from '../runtime/errors.ts'

/** A connection that is never asked would be held to be alive for as long as TCP is patient. */
const askEveryMs = 10_000

export interface Lock {
  /** Rejects when the connection that holds the lock breaks; another producer may have it then. */
  readonly lost: Promise<never>
  release(): Promise<void>
}

/**
 * Takes the advisory lock of a generation's slot. It goes with its connection, however the process ends.
 * @param signal ends the taking only
 * @throws {MillraceError} PRODUCER_RUNNING when another connection has it; POSTGRES_*; the signal's reason
 * @see https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS
 */
export function takeLock(url: string, slot: string, signal?: AbortSignal): Promise<Lock> {
  return openOn(url, { signal }, async client => {
    const statement = `SELECT pg_try_advisory_lock(hashtextextended($1, 0)) AS taken`
    const [row] = await query<{ taken: boolean }>(client, statement, [`millrace ${slot}`])
    if (!row?.taken) throw alreadyRunning(slot)
    const lost = new Promise<never>((_, reject) => {
      client.once('error', cause => reject(lockLost(slot, cause)))
    })
    lost.catch(() => {})
    keepAsking(client)
    return { lost, release: () => disconnect(client) }
  })
}

/** An unanswered question cuts the connection, and a connection that is cut ends the asking. */
function keepAsking(client: Client): void {
  const ask = () => {
    query(client, 'SELECT').then(askLater, () => {})
  }
  const askLater = () => {
    setTimeout(ask, askEveryMs).unref()
  }
  askLater()
}

function alreadyRunning(slot: string): MillraceError {
  return new MillraceError('PRODUCER_RUNNING', {
    what: 'another producer works on this generation',
    where: `slot ${slot}`,
    next: 'none: this one takes over when the other ends; end it if one too many was started',
  })
}

function lockLost(slot: string, cause: unknown): MillraceError {
  return new MillraceError('POSTGRES_UNREACHABLE', {
    what: 'the connection that holds the lock of this generation broke',
    where: `slot ${slot}`,
    next: 'none: the producer connects again',
    cause,
  })
}
