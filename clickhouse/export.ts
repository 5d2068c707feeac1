// clickhouse/export: exports the rows of a view as a CSV or Parquet file.

import type { ClickHouseSettings } from '@clickhouse/client'
import { MillraceError } from '../runtime/errors.ts'
import type { Clickhouse, ResultStream } from './client.ts'
import { quoteName, quotePath } from './quote.ts'

export const exportFormats = ['csv', 'parquet'] as const
export type ExportFormat = (typeof exportFormats)[number]

export interface ExportRequest {
  readonly database: string
  readonly name: string
  readonly format: ExportFormat
  /** Condition of a WHERE, in ClickHouse's SQL. */
  readonly where?: string | undefined
}

/** Above this many bytes, the server sorts rows on its disk. */
const sortInMemoryBytes = 256 * 1024 ** 2

const formats: Record<ExportFormat, { readonly name: string; readonly settings: ClickHouseSettings }> = {
  // NULL is an empty field, an empty text is "". Decimals keep trailing zeros. Times end with Z for
  // UTC.
  csv: {
    name: 'CSVWithNames',
    settings: {
      format_csv_null_representation: '',
      output_format_decimal_trailing_zeros: 1,
      date_time_output_format: 'iso',
    },
  },
  parquet: {
    name: 'Parquet',
    settings: { output_format_parquet_string_as_string: 1, output_format_parquet_compression_method: 'zstd' },
  },
}

/**
 * The rows of a view, sorted by its columns from left to right, so equal rows make equal files. The
 * statement runs with `readonly`, so no condition can change anything.
 * @throws {MillraceError} USAGE for a condition that ClickHouse does not understand
 * @see https://clickhouse.com/docs/interfaces/formats
 */
export async function openExport(
  clickhouse: Clickhouse,
  { database, name, format, where }: ExportRequest,
  signal: AbortSignal,
): Promise<ResultStream> {
  const columns = await clickhouse.rows<{ name: string }>(
    'SELECT name FROM system.columns WHERE database = {database:String} AND table = {name:String} ORDER BY position',
    { database, name },
  )
  // The line break ends a comment in the condition.
  const condition = where === undefined ? '' : ` WHERE (${where}\n)`
  const select = `SELECT * FROM ${quotePath(database, name)}${condition}`
  if (where !== undefined) await checkCondition(clickhouse, select, where)
  const sorted = `${select} ORDER BY ${columns.map(column => quoteName(column.name)).join(', ')}`
  return clickhouse.stream(
    `${sorted} FORMAT ${formats[format].name}`,
    { readonly: '1', max_bytes_before_external_sort: String(sortInMemoryBytes), ...formats[format].settings },
    signal,
  )
}

async function checkCondition(clickhouse: Clickhouse, select: string, where: string): Promise<void> {
  try {
    await clickhouse.rows(`DESCRIBE (${select})`)
  } catch (error) {
    if (!(error instanceof MillraceError) || error.retriable) throw error
    throw new MillraceError('USAGE', {
      what: error.message,
      where: `--where ${where}`,
      next: "write a condition over the view's columns, such as \"date >= '2025-01-01'\"",
      cause: error,
    })
  }
}
