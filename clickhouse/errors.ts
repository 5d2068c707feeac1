// clickhouse/errors: what a failed statement means for the data, and what the operator can do.

import { ClickHouseError } from '@clickhouse/client'
import { type ErrorCode, MillraceError } from '../runtime/errors.ts'
import { statementText } from '../runtime/printable.ts'
import { fencedText, type Trouble, troubleOf } from './error-codes.ts'

interface Advice {
  readonly code: ErrorCode
  readonly next: string
}

const busy = (next: string): Advice => ({ code: 'CLICKHOUSE_BUSY', next: `millrace keeps trying; ${next}` })
const denied = (next: string): Advice => ({ code: 'CLICKHOUSE_DENIED', next: `${next}, then start again` })
const failed = (next: string): Advice => ({ code: 'CLICKHOUSE_FAILED', next })

const advices: Record<Trouble, Advice> = {
  value: failed(
    'look at the value in the view, report or table that the message names, and correct the SQL that computes or reads it',
  ),
  memory: busy("if it lasts, raise the server's max_server_memory_usage, or run less beside it"),
  disk: busy("look at the free space, the open files and the rights of ClickHouse's data directory"),
  load: busy('if it lasts, look in system.processes, system.parts and system.merges at what the server is busy with'),
  network: busy('look at the network between ClickHouse and what the message names'),
  keeper: busy("look at ClickHouse's Keeper and at its replicas"),
  quota: busy('it goes on with the next interval of the quota; if that takes too long, raise the quota of this user'),
  cancelled: busy('the statement was cancelled; somebody may have ended it with KILL QUERY'),
  login: denied('check clickhouse.user and clickhouse.password, and from where this user may connect'),
  right: denied(
    'give the user a profile without readonly, and the privilege that the message names among CREATE DATABASE, CREATE TABLE, CREATE VIEW, DROP, ALTER, OPTIMIZE, SELECT and INSERT, and SELECT on system.*',
  ),
  setting: denied('let this user change the setting that the message names: its profile or a constraint forbids that'),
  schema: failed(
    'a database, table or view was changed, dropped or made by hand: put it back, or rebuild ClickHouse (millrace reset warehouse), then start again',
  ),
  limit: failed("raise the limit that the message names, in the server's settings or in the profile of this user"),
  damage: failed(
    "data on ClickHouse's disk is damaged: look for the part with CHECK TABLE; millrace reset warehouse rebuilds everything from Kafka",
  ),
  statement: failed(
    'correct the SQL if it is of your model or of your condition; otherwise millrace does not support this version of ClickHouse',
  ),
}
const unknown = failed("look for the message in ClickHouse's own log, correct what it names, and start again")

/** FUNCTION_THROW_IF_VALUE_IS_NON_ZERO. */
const thrownByFunction = 395

/** Values must not get into a log, because a log has other readers than the warehouse. */
const quoted = /'(?:\\.|[^'\\])*'/g
const valuesOfRow = /Column values: .*/s

/**
 * The MillraceError for the failure of a statement. `where` shows the statement without its
 * literals.
 * @param carriesRecords the statement sends rows. Then the message leaves values out, and a value
 *   that cannot be stored is CLICKHOUSE_REFUSED
 */
export function clickhouseError(error: unknown, url: string, sql: string, carriesRecords = false): MillraceError {
  if (error instanceof MillraceError) return error
  const where = `${url}, statement: ${statementText(sql)}`
  const code = codeOf(error)
  if (code === undefined) {
    return new MillraceError('CLICKHOUSE_UNREACHABLE', {
      what: `ClickHouse did not answer: ${error instanceof Error ? error.message || error.name : String(error)}`,
      where,
      next: 'check that the server runs and that clickhouse.url is right; millrace keeps trying',
      cause: error,
    })
  }
  const { message } = error as Error
  if (code === thrownByFunction && message.startsWith(fencedText)) {
    return new MillraceError('FENCED', {
      what: 'another consumer has taken over, or ClickHouse was restarted',
      next: 'none: the consumer compares ClickHouse with the topics first',
      cause: error,
    })
  }
  const type = error instanceof ClickHouseError ? (error.type ?? code) : code
  const shown = carriesRecords ? message.replace(valuesOfRow, '').replace(quoted, "'…'") : message
  const summary = shown.split('\n')[0]!.slice(0, 500).trimEnd()
  const trouble = troubleOf(code, message)
  if (trouble === 'value' && carriesRecords) {
    return new MillraceError('CLICKHOUSE_REFUSED', {
      what: `ClickHouse cannot store the data (${type}): ${summary}`,
      where,
      next: 'millrace looks for the record at fault next',
      cause: error,
    })
  }
  const advice = trouble === undefined ? unknown : advices[trouble]
  return new MillraceError(advice.code, {
    what: `ClickHouse ${advice.code === 'CLICKHOUSE_BUSY' ? 'could not take a statement now' : 'refused a statement'} (${type}): ${summary}`,
    where,
    next: advice.next,
    cause: error,
  })
}

/** Exception code of the server behind an error of this adapter; undefined without one. */
export function exceptionCode(error: unknown): number | undefined {
  return error instanceof MillraceError ? codeOf(error.cause) : undefined
}

/**
 * Exceptions of libraries inside the server, such as its Avro reader, lack the usual form but
 * contain the code.
 */
function codeOf(error: unknown): number | undefined {
  if (error instanceof ClickHouseError) return Number(error.code)
  const match = error instanceof Error ? /\bCode: (\d+)/.exec(error.message) : null
  return match ? Number(match[1]) : undefined
}
