// clickhouse/errors: what a failed statement means for the data.
// May know: runtime.

import { ClickHouseError } from '@clickhouse/client'
import { MillraceError } from '../runtime/errors.ts'

/**
 * Codes that say the bytes themselves cannot be stored; sending them again changes nothing.
 * @see https://github.com/ClickHouse/ClickHouse/blob/master/src/Common/ErrorCodes.cpp
 */
const poisonCodes = new Set([
  6, // CANNOT_PARSE_TEXT
  26, // CANNOT_PARSE_QUOTED_STRING
  27, // CANNOT_PARSE_INPUT_ASSERTION_FAILED
  32, // ATTEMPT_TO_READ_AFTER_EOF
  33, // CANNOT_READ_ALL_DATA
  38, // CANNOT_PARSE_DATE
  41, // CANNOT_PARSE_DATETIME
  69, // ARGUMENT_OUT_OF_BOUND
  70, // CANNOT_CONVERT_TYPE
  72, // CANNOT_PARSE_NUMBER
  117, // INCORRECT_DATA
  131, // TOO_LARGE_STRING_SIZE
  321, // VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE
  349, // CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN
  376, // CANNOT_PARSE_UUID
  407, // DECIMAL_OVERFLOW
  636, // CANNOT_EXTRACT_TABLE_STRUCTURE
  1001, // STD_EXCEPTION, which is how the Avro reader reports corrupt data
])

/** Codes after which the same statement may succeed: no room, no time, too many parts, shutting down. */
const busyCodes = new Set([159, 160, 164, 202, 203, 209, 210, 236, 241, 242, 243, 252, 319, 394, 425, 439, 473])

/** Our error for whatever a statement failed with; the statement's text is cut, and row values never enter the message. */
export function wrapClickhouseError(error: unknown, url: string, sql: string): MillraceError {
  if (error instanceof MillraceError) return error
  const where = `${url}, statement: ${sql.replace(/\s+/g, ' ').slice(0, 120)}`
  const code = codeOf(error)
  if (code === undefined) {
    return new MillraceError('CLICKHOUSE_UNREACHABLE', {
      what: `ClickHouse did not answer: ${error instanceof Error ? error.message || error.name : String(error)}`,
      where,
      next: 'check that the server runs and that clickhouse.url is right; millrace keeps trying',
      cause: error,
    })
  }
  const type = error instanceof ClickHouseError ? (error.type ?? code) : code
  const summary = (error as Error).message.split('\n')[0]!.slice(0, 500)
  if (poisonCodes.has(code)) {
    return new MillraceError('CLICKHOUSE_REFUSED', {
      what: `ClickHouse cannot store the data (${type}): ${summary}`,
      where,
      next: 'the record is isolated next; see the dead-letter topic or the following message',
      cause: error,
    })
  }
  if (busyCodes.has(code)) {
    return new MillraceError('CLICKHOUSE_BUSY', {
      what: `ClickHouse could not take the statement now (${type}): ${summary}`,
      where,
      next: 'millrace keeps trying; look at memory, disk and the number of parts if it lasts',
      cause: error,
    })
  }
  return new MillraceError('CLICKHOUSE_FAILED', {
    what: `ClickHouse refused a statement (${type}): ${summary}`,
    where,
    next: 'a table may have been changed or dropped by hand, or a right is missing; mend it and start again',
    cause: error,
  })
}

/** Exceptions that come from a library inside the server, such as its Avro reader, miss the usual form but carry a code. */
function codeOf(error: unknown): number | undefined {
  if (error instanceof ClickHouseError) return Number(error.code)
  const match = error instanceof Error ? /\bCode: (\d+)/.exec(error.message) : null
  return match ? Number(match[1]) : undefined
}
