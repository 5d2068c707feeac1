// verify/reading: reads from ClickHouse: all rows, or an error.
// A user's profile may cut results or leave rows out, and the result must not look equal then.

import type { ClickHouseSettings } from '@clickhouse/client'
import type { Clickhouse } from '../clickhouse/client.ts'
import { MillraceError } from '../runtime/errors.ts'

const everyRow: ClickHouseSettings = {
  limit: '0',
  offset: '0',
  final: 0,
  read_overflow_mode: 'throw',
  read_overflow_mode_leaf: 'throw',
  group_by_overflow_mode: 'throw',
  sort_overflow_mode: 'throw',
  result_overflow_mode: 'throw',
  distinct_overflow_mode: 'throw',
  set_overflow_mode: 'throw',
  join_overflow_mode: 'throw',
  timeout_overflow_mode: 'throw',
  transform_null_in: 0,
}

/** Limits for statements over tables with up to 1,600 columns, which may run for a long time. */
const anySize: ClickHouseSettings = {
  max_query_size: String(64 * 1024 * 1024),
  max_ast_elements: '5000000',
  max_expanded_ast_elements: '5000000',
  send_progress_in_http_headers: 1,
  http_headers_progress_interval_ms: '30000',
  cancel_http_readonly_queries_on_client_close: 1,
}

/** Rows of a SELECT. @throws {MillraceError} CLICKHOUSE_* */
export async function readRows<Row>(
  clickhouse: Clickhouse,
  sql: string,
  parameters: Record<string, unknown> = {},
  settings: ClickHouseSettings = {},
): Promise<Row[]> {
  try {
    return await clickhouse.rows<Row>(sql, parameters, { ...everyRow, ...anySize, ...settings })
  } catch (error) {
    throw error instanceof MillraceError && error.code === 'CLICKHOUSE_REFUSED' ? unreadable(error) : error
  }
}

/** The advice for a record that cannot be stored is wrong for a view that cannot be read. */
function unreadable(cause: MillraceError): MillraceError {
  return new MillraceError('CLICKHOUSE_FAILED', {
    what: cause.message.replace('cannot store the data', 'cannot compute a value'),
    ...(cause.where === undefined ? {} : { where: cause.where }),
    next: 'a value does not fit the type of its column in the view; give the column a wider type in the model, or correct the row in the source',
    cause,
  })
}
