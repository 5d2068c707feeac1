// postgres/client/errors: the driver's errors as MillraceErrors.

import { type ErrorCode, MillraceError } from '../../runtime/errors.ts'

const remedies = {
  POSTGRES_UNREACHABLE: 'check that Postgres runs and that the address is right; it is tried again by itself',
  POSTGRES_BUSY: 'it is tried again by itself; if it lasts, give Postgres what the message names',
  POSTGRES_READ_ONLY:
    'it is tried again by itself; if it lasts, set source.url to the primary server, or allow writes again',
  POSTGRES_DENIED: 'have an administrator correct what the message names; `millrace check` prints the statements',
  POSTGRES_FAILED: 'correct what the message names, then start again',
  SLOT_ACTIVE:
    'stop the other process, or wait until Postgres notices that it has gone (wal_sender_timeout); it is tried again by itself',
} as const satisfies Partial<Record<ErrorCode, string>>

/** SQLSTATEs and their classes: https://www.postgresql.org/docs/current/errcodes-appendix.html */
const codesBySqlState: Readonly<Record<string, keyof typeof remedies>> = {
  '08': 'POSTGRES_UNREACHABLE',
  '57': 'POSTGRES_UNREACHABLE',
  '57014': 'POSTGRES_BUSY',
  '58000': 'POSTGRES_BUSY',
  '58030': 'POSTGRES_BUSY',
  '25006': 'POSTGRES_READ_ONLY',
  '40': 'POSTGRES_BUSY',
  '53': 'POSTGRES_BUSY',
  '55P03': 'POSTGRES_BUSY',
  '28': 'POSTGRES_DENIED',
  '42501': 'POSTGRES_DENIED',
  '55006': 'SLOT_ACTIVE',
}

const internalError = 'XX000'

/** The server's SQLSTATE; undefined for failures of the connection. */
export function sqlState(error: unknown): string | undefined {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  // The system's codes, such as EPIPE, may have five letters too. Only the server's errors have a
  // severity.
  return typeof code === 'string' && error instanceof Error && 'severity' in error ? code : undefined
}

/**
 * Wraps the driver's error and keeps it as the cause. A MillraceError is returned unchanged.
 * @param where the operation that failed
 */
export function postgresError(error: unknown, where: string): MillraceError {
  if (error instanceof MillraceError) return error
  const code = classify(error)
  const message = error instanceof Error ? describe(error) : String(error)
  if (isLockTableFull(error)) return lockTableFull(error, where)
  return new MillraceError(code, { what: `Postgres: ${message}`, where, next: remedies[code], cause: error })
}

/**
 * Postgres' hint distinguishes a full lock table from a lack of memory. Only the latter passes by
 * itself.
 */
function isLockTableFull(error: unknown): boolean {
  return (
    sqlState(error) === '53200' &&
    error instanceof Error &&
    'hint' in error &&
    /max_locks_per_transaction/.test(String(error.hint))
  )
}

/** A load locks all its tables at once, so it would fail in the same way each time. */
function lockTableFull(error: unknown, where: string): MillraceError {
  return new MillraceError('POSTGRES_FAILED', {
    what: `Postgres: ${(error as Error).message}: its lock table is full`,
    where,
    next: 'raise max_locks_per_transaction and restart Postgres (`millrace check` says how many locks the tables need), or capture fewer tables',
    cause: error,
  })
}

function classify(error: unknown): keyof typeof remedies {
  const state = sqlState(error)
  if (state !== undefined) return codesBySqlState[state] ?? codesBySqlState[state.slice(0, 2)] ?? 'POSTGRES_FAILED'
  return isTrustFailure(error) ? 'POSTGRES_DENIED' : 'POSTGRES_UNREACHABLE'
}

/**
 * Wraps an error that ended a replication stream. Postgres may fail to decode changes that the slot
 * should have ("could not map filenumber … to relation OID"); `createSlot` says when, and avoids
 * it. A retry helps where the decoder of another slot has meanwhile written the missing snapshot to
 * disk.
 */
export function streamError(error: unknown, slot: string): MillraceError {
  const where = `slot ${slot}`
  if (sqlState(error) !== internalError) return postgresError(error, where)
  return new MillraceError('DECODING_FAILED', {
    what: `Postgres: ${describe(error as Error)}`,
    where,
    next: 'it is tried again by itself; if it lasts, load everything again with `millrace producer --new-generation`',
    cause: error,
  })
}

/** A certificate or password that was rejected once is rejected again. */
function isTrustFailure(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  return /CERT|_TLS_|_SSL_/.test(code) || /does not support SSL|SASL|password must be/i.test(String(error))
}

/**
 * Classes of SQLSTATEs whose detail contains only names and server state. The detail of other
 * classes may contain a row: `Key (id)=(5) already exists.`
 */
const plainDetail: ReadonlySet<string> = new Set([
  '08',
  '0A',
  '25',
  '28',
  '40',
  '42',
  '53',
  '54',
  '55',
  '57',
  '58',
  'XX',
])
/** Messages of this class quote the value: `invalid input syntax for type integer: "5,5"`. */
const dataException = '22'

/**
 * The message never contains values of rows. A failed connection to several addresses has no
 * message of its own.
 */
function describe(error: Error): string {
  if (error instanceof AggregateError && error.message === '') return error.errors.map(String).join('; ')
  const group = sqlState(error)?.slice(0, 2) ?? ''
  const message = group === dataException ? error.message.replace(/".*"/s, '"…"') : error.message
  const hasDetail = plainDetail.has(group) && 'detail' in error && typeof error.detail === 'string'
  return hasDetail ? `${message} (${error.detail})` : message
}
