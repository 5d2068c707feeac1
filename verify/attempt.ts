// verify/attempt: runs one comparison in a transaction of Postgres. A failure is a result, and
// other comparisons continue.

import { type Client, query } from '../postgres/client/client.ts'
import { type ErrorCode, MillraceError } from '../runtime/errors.ts'

/** Why a table or report could not be compared. */
export interface Failure {
  readonly code: ErrorCode
  readonly what: string
  readonly next: string
}

/** After these errors, no further comparison is possible. */
const lost: readonly ErrorCode[] = ['POSTGRES_UNREACHABLE', 'CLICKHOUSE_UNREACHABLE']

/**
 * A failed statement aborts a transaction of Postgres, so each attempt has its own savepoint.
 * @throws {MillraceError} *_UNREACHABLE; the signal's reason; every error that is no MillraceError
 */
export async function attempt<Result>(
  client: Client,
  signal: AbortSignal,
  work: () => Promise<Result>,
): Promise<Result | Failure> {
  await query(client, 'SAVEPOINT attempt')
  try {
    return await work()
  } catch (error) {
    signal.throwIfAborted()
    if (!(error instanceof MillraceError) || lost.includes(error.code)) throw error
    await query(client, 'ROLLBACK TO SAVEPOINT attempt')
    const { code, message, where, next } = error
    return { code, what: where === undefined ? message : `${message} (${where})`, next }
  }
}

export function isFailure<Result extends object>(result: Result | Failure): result is Failure {
  return 'code' in result && 'next' in result
}
