// cli/status/status-report: the output of `millrace status`, as JSON and as text.

import type { ConsumerStatus } from '../../consumer/status.ts'
import type { ProducerStatus } from '../../producer/progress.ts'

interface PartitionStatus {
  readonly partition: number
  /** Offset after the last record. */
  readonly end: number
  /** Offset up to which everything is in ClickHouse and committed. */
  readonly done: number
}

export interface TableStatus {
  readonly topic: string
  readonly lag_rows: number
  /** Age of the oldest change that is not in ClickHouse; 0 when there is none. */
  readonly lag_seconds: number
  readonly partitions: readonly PartitionStatus[]
}

/** The state of the pipeline: the last one of this list that applies. */
export type PipelineState =
  | 'healthy'
  /** A table that the configuration names is not captured. */
  | 'incomplete'
  | 'catching up'
  | 'loading'
  /** The last attempt of the producer or of the consumer failed and is repeated. */
  | 'failing'
  /** The producer or the consumer does not run here. */
  | 'stopped'
  | 'not started'

export interface PipelineStatus {
  readonly state: PipelineState
  readonly generation: number | undefined
  readonly slot:
    | { name: string; active: boolean; confirmed_lsn: string; wal_held_bytes: number; wal_status: string }
    | undefined
  readonly watermark: { lsn: string; commit_time: string; behind_ms: number } | undefined
  readonly freshness_ms: ConsumerStatus['freshness']
  readonly producer: ProducerStatus | undefined
  readonly consumer: ConsumerStatus | undefined
  readonly tables: Readonly<Record<string, TableStatus>>
  /** Sentences that say which configured tables the generation does not contain, and why. */
  readonly not_captured: Readonly<Record<string, string>>
  /** Dead letters of the generation: rows and records that are not in ClickHouse. */
  readonly set_aside: number
  /** How many of the newest dead letters were read, and their tables. */
  readonly set_aside_looked: number
  readonly set_aside_tables: Readonly<Record<string, number>>
}

/** The lines of the text. The first line begins with the state. */
export function describeStatus(status: PipelineStatus): string[] {
  const { state, generation, slot, watermark, freshness_ms, tables, producer, consumer } = status
  const each = <Value>(
    all: Readonly<Record<string, Value>> | undefined,
    line: (name: string, value: Value) => string,
  ) => Object.entries(all ?? {}).map(([name, value]) => line(name, value))
  const optional = <Value>(value: Value | undefined, line: (value: Value) => string) =>
    value === undefined ? [] : [line(value)]
  return [
    `${state}, generation ${generation ?? '-'}; producer ${producer?.phase ?? 'not running'}, consumer ${consumer ? 'running' : 'not running'}`,
    ...optional(
      slot,
      ({ name, confirmed_lsn, wal_held_bytes, wal_status }) =>
        `slot      ${name} confirmed ${confirmed_lsn}, holds ${wal_held_bytes} bytes of WAL (${wal_status})`,
    ),
    ...optional(
      watermark,
      ({ lsn, commit_time }) => `watermark ${lsn}: everything committed up to ${commit_time} is visible`,
    ),
    ...optional(freshness_ms, ({ p50, p99 }) => `freshness p50 ${p50} ms, p99 ${p99} ms over the last minute`),
    ...optional(
      producer?.phase === 'waiting' ? producer.lastError : undefined,
      ({ code, what, at }) => `error     ${code}: ${what} (producer, ${at})`,
    ),
    ...optional(consumer?.lastError, ({ code, what, at }) => `error     ${code}: ${what} (consumer, ${at})`),
    ...optional(producer?.waitingFor, what => `waiting   ${what} (producer)`),
    ...describeDeadLetters(status),
    ...each(
      producer?.heldBack,
      (name, columns) =>
        `withheld  ${name}: ${columns.join(', ')}; classify under tables.${name}.columns, since the table is personal`,
    ),
    ...each(status.not_captured, (name, reason) => `not captured ${name}: ${reason}`),
    ...each(producer?.warnings, (name, warnings) => `warning ${name}: ${warnings.join('; ')}`),
    ...each(tables, (name, { lag_rows, lag_seconds, partitions }) => {
      const offsets = partitions.map(({ partition, done, end }) => `${partition}:${done}/${end}`).join(' ')
      return `  ${name.padEnd(36)} ${lag_rows} rows, ${lag_seconds} s behind   ${offsets}`
    }),
  ]
}

function describeDeadLetters({ set_aside, set_aside_looked, set_aside_tables }: PipelineStatus): string[] {
  if (set_aside === 0) return []
  const counts = Object.entries(set_aside_tables).map(([table, count]) => `${count} of ${table}`)
  const of = set_aside_looked < set_aside ? `; of the newest ${set_aside_looked}: ` : ': '
  return [`dead letters of ${set_aside} rows or records, which are not in ClickHouse${of}${counts.join(', ')}`]
}
