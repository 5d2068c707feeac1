// clickhouse/pinned-settings: settings that the meaning of statements depends on, and their values.
// @see https://clickhouse.com/docs/operations/settings/settings

import type { ClickHouseSettings } from '@clickhouse/client'
import { MillraceError } from '../runtime/errors.ts'
import type { Clickhouse } from './client.ts'

/**
 * ClickHouse's own defaults, except where a comment gives a reason. A user's profile may differ.
 */
const wanted: Readonly<Record<string, string>> = {
  // An insert is synchronous and whole. ClickHouse never drops it for being equal to an earlier
  // one.
  async_insert: '0',
  insert_deduplicate: '0',
  deduplicate_insert: 'disable',
  deduplicate_insert_select: 'disable',
  materialized_views_ignore_errors: '0',
  insert_null_as_default: '1',
  min_insert_block_size_rows_for_materialized_views: '0',
  min_insert_block_size_bytes_for_materialized_views: '0',
  use_strict_insert_block_limits: '0',
  // The initial load has rows of many months in one insert.
  throw_on_max_partitions_per_insert_block: '0',
  // A SELECT returns all rows, or fails at a limit.
  limit: '0',
  offset: '0',
  final: '0',
  additional_table_filters: '{}',
  additional_result_filter: '',
  read_overflow_mode: 'throw',
  result_overflow_mode: 'throw',
  timeout_overflow_mode: 'throw',
  group_by_overflow_mode: 'throw',
  sort_overflow_mode: 'throw',
  join_overflow_mode: 'throw',
  set_overflow_mode: 'throw',
  distinct_overflow_mode: 'throw',
  transfer_overflow_mode: 'throw',
  apply_deleted_mask: '1',
  do_not_merge_across_partitions_select_final: '0',
  use_query_cache: '0',
  // No setting changes a value or its type.
  join_use_nulls: '0',
  join_any_take_last_row: '0',
  join_default_strictness: 'ALL',
  any_join_distinct_right_table_keys: '0',
  group_by_use_nulls: '0',
  transform_null_in: '0',
  cast_keep_nullable: '0',
  aggregate_functions_null_for_empty: '0',
  data_type_default_nullable: '0',
  flatten_nested: '1',
  prefer_column_name_to_alias: '0',
  date_time_overflow_behavior: 'ignore',
  decimal_check_overflow: '1',
  session_timezone: '',
  input_format_avro_allow_missing_fields: '0',
  input_format_avro_null_as_default: '0',
  input_format_null_as_default: '1',
  input_format_allow_errors_num: '0',
  input_format_allow_errors_ratio: '0',
}

/**
 * For statements before the other settings are known, because a user's profile may cut every
 * result.
 */
export const wholeAnswer: ClickHouseSettings = { limit: '0', offset: '0' }

interface Found {
  readonly name: string
  readonly value: string
  readonly readonly: number
}

/**
 * The settings that this server knows, to be sent with every statement.
 * @throws {MillraceError} CLICKHOUSE_UNFIT when the user has another value and may not change it
 */
export async function pinnedSettings(clickhouse: Clickhouse): Promise<ClickHouseSettings> {
  const names = Object.keys(wanted)
  const found = await clickhouse.rows<Found>(
    'SELECT name, value, toUInt8(readonly) AS readonly FROM system.settings WHERE name IN {names:Array(String)}',
    { names },
    wholeAnswer,
  )
  const fixed = found.filter(({ name, value, readonly }) => readonly !== 0 && value !== wanted[name])
  if (fixed.length > 0) {
    throw new MillraceError('CLICKHOUSE_UNFIT', {
      what: `this user has settings that would make tables or sums wrong, and may not change them: ${fixed.map(({ name, value }) => `${name} = ${value}`).join(', ')}`,
      where: clickhouse.url,
      next: `give the user a profile without constraints on them, or with ${fixed.map(({ name }) => `${name} = ${wanted[name] || "''"}`).join(', ')}, then start again; nothing was inserted`,
    })
  }
  return Object.fromEntries(found.map(({ name }) => [name, wanted[name]]))
}
