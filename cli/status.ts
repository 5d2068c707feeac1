// cli/status: `millrace status [--json]`: how far each table is, and what holds the rest back.
// May know: contract, kafka, postgres, runtime, and what the services say of themselves.

import type { Command } from 'commander'
import type { ConsumerStatus } from '../consumer/status.ts'
import { consumerGroup, type Generation, type GenerationTable } from '../contract/generation.ts'
import { readHead } from '../contract/head.ts'
import { formatLsn } from '../contract/position.ts'
import { connectKafka } from '../kafka/cluster.ts'
import { Coordinator } from '../kafka/coordinator.ts'
import { type Fetcher, openFetcher } from '../kafka/fetch.ts'
import { hasGenerations, newestGeneration, readGenerations } from '../kafka/generations.ts'
import { withClient } from '../postgres/connect.ts'
import { type SlotState, slotState } from '../postgres/slot.ts'
import type { ProducerStatus } from '../producer/progress.ts'
import { exitCodes } from '../runtime/lifecycle.ts'
import { askStatus } from '../runtime/presence.ts'
import { type CommandContext, printJson, runs } from './command.ts'
import { openServices } from './endpoints.ts'

export interface PartitionStatus {
  readonly partition: number
  /** Offset after the last record. */
  readonly end: number
  /** Offset up to which everything is in ClickHouse and committed as done. */
  readonly done: number
}

export interface TableStatus {
  readonly topic: string
  readonly lag_rows: number
  /** Age of the oldest change that is not in ClickHouse; 0 when there is none. */
  readonly lag_seconds: number
  readonly partitions: readonly PartitionStatus[]
}

export interface PipelineStatus {
  readonly state: 'healthy' | 'catching up' | 'loading' | 'stopped' | 'not started'
  readonly generation: number | undefined
  readonly slot:
    | { name: string; active: boolean; confirmed_lsn: string; wal_held_bytes: number; wal_status: string }
    | undefined
  readonly watermark: { lsn: string; commit_time: string; behind_ms: number } | undefined
  readonly freshness_ms: ConsumerStatus['freshness']
  readonly producer: ProducerStatus | undefined
  readonly consumer: ConsumerStatus | undefined
  readonly tables: Readonly<Record<string, TableStatus>>
}

/** Age up to which changes that are on their way are no cause for worry. */
const healthyLagSeconds = 5

export function statusCommand(program: Command): void {
  program
    .command('status')
    .description('say how far every table is, from the WAL to ClickHouse')
    .option('--json', 'print it as JSON')
    .action(
      runs<{ json?: true }>('status', async (context, { json }) => {
        const status = await readStatus(context)
        if (json) printJson(status)
        else process.stdout.write(`${describe(status).join('\n')}\n`)
        return exitCodes.ok
      }),
    )
}

async function readStatus({ config, log, life }: CommandContext): Promise<PipelineStatus> {
  const services = await openServices(config, log, life.signal, ['postgres', 'kafka'])
  const connection = await connectKafka({ ...services.kafka, clientId: `${config.name}-status`, log })
  life.opened('kafka', () => connection.close())
  const fetcher = openFetcher(connection)
  const known = (await hasGenerations(connection, config.name))
    ? await readGenerations(fetcher, config.name, life.signal)
    : []
  const generation = newestGeneration(known)
  const producer = await askStatus<ProducerStatus>(config.directory, config.name, 'producer')
  const consumer = await askStatus<ConsumerStatus>(config.directory, config.name, 'consumer')
  const slot = generation && (await withClient(services.postgres, client => slotState(client, generation.slot)))
  const coordinator = new Coordinator(connection, consumerGroup(config.name, generation?.number ?? 0))
  const tables: Record<string, TableStatus> = {}
  for (const table of generation?.tables ?? []) {
    tables[`${table.schema}.${table.table}`] = await tableStatus({ table, coordinator, fetcher, signal: life.signal })
  }
  return {
    state: stateOf({ generation, producer, consumer, tables }),
    generation: generation?.number,
    slot: slot && describeSlot(slot),
    watermark: consumer?.watermark && describeWatermark(consumer.watermark),
    freshness_ms: consumer?.freshness,
    producer,
    consumer,
    tables,
  }
}

interface TableParts {
  readonly table: GenerationTable
  readonly coordinator: Coordinator
  readonly fetcher: Fetcher
  readonly signal: AbortSignal
}

async function tableStatus({ table, coordinator, fetcher, signal }: TableParts): Promise<TableStatus> {
  const { topic } = table
  const ends = await fetcher.endOffsets(topic)
  const committed = await coordinator.committed(
    ends.map((_, partition) => ({ topic, partition })),
    signal,
  )
  const partitions = committed.map(({ partition, offset }) => ({
    partition,
    end: ends[partition]!,
    done: Math.max(0, offset),
  }))
  const behind = partitions.filter(({ end, done }) => end > done)
  let oldest = 0
  for (const { partition, done } of behind) {
    oldest = Math.max(oldest, await ageOf({ topic, partition, offset: done }, fetcher, signal))
  }
  return {
    topic,
    lag_rows: behind.reduce((sum, { end, done }) => sum + end - done, 0),
    lag_seconds: oldest,
    partitions,
  }
}

/** Seconds since the commit of the record at an offset. */
async function ageOf(
  position: { topic: string; partition: number; offset: number },
  fetcher: Fetcher,
  signal: AbortSignal,
): Promise<number> {
  const [fetched] = await fetcher.fetch([position], { maxWaitMs: 500, minBytes: 1, maxBytes: 64 * 1024 }, signal)
  if (fetched === undefined || fetched.records.count === 0) return 0
  const { buffer, valueStarts, valueEnds } = fetched.records
  const { commitTimeUs } = readHead(buffer, valueStarts[0]!, valueEnds[0]!)
  return Math.max(0, Math.round(Date.now() / 100 - commitTimeUs / 100_000) / 10)
}

function stateOf(parts: {
  generation: Generation | undefined
  producer: ProducerStatus | undefined
  consumer: ConsumerStatus | undefined
  tables: Record<string, TableStatus>
}): PipelineStatus['state'] {
  if (parts.generation === undefined) return 'not started'
  if (parts.producer === undefined || parts.consumer === undefined) return 'stopped'
  if (parts.generation.state === 'loading' || parts.consumer.watermark === undefined) return 'loading'
  const behind = Object.values(parts.tables).some(({ lag_seconds }) => lag_seconds > healthyLagSeconds)
  return behind ? 'catching up' : 'healthy'
}

function describeSlot(slot: SlotState): NonNullable<PipelineStatus['slot']> {
  return {
    name: slot.name,
    active: slot.active,
    confirmed_lsn: formatLsn(slot.confirmedFlushLsn ?? 0),
    wal_held_bytes: slot.heldBytes,
    wal_status: slot.walStatus ?? 'unknown',
  }
}

function describeWatermark({
  lsn,
  commitTimeUs,
}: {
  lsn: number
  commitTimeUs: number
}): NonNullable<PipelineStatus['watermark']> {
  const commitTime = new Date(commitTimeUs / 1000)
  return { lsn: formatLsn(lsn), commit_time: commitTime.toISOString(), behind_ms: Date.now() - commitTime.getTime() }
}

function describe({
  state,
  generation,
  slot,
  watermark,
  freshness_ms,
  tables,
  producer,
  consumer,
}: PipelineStatus): string[] {
  const lines = [
    `${state}, generation ${generation ?? '-'}; producer ${producer?.phase ?? 'not running'}, consumer ${consumer ? 'running' : 'not running'}`,
  ]
  if (slot)
    lines.push(
      `slot      ${slot.name} confirmed ${slot.confirmed_lsn}, holds ${slot.wal_held_bytes} bytes of WAL (${slot.wal_status})`,
    )
  if (watermark)
    lines.push(`watermark ${watermark.lsn}: everything committed up to ${watermark.commit_time} is visible`)
  if (consumer?.uncertain)
    lines.push(
      `uncertain aggregates may differ from the tables since ${consumer.uncertain.since}: ${consumer.uncertain.reason}; they are computed anew when only one consumer runs, or by millrace reset star`,
    )
  if (freshness_ms) lines.push(`freshness p50 ${freshness_ms.p50} ms, p99 ${freshness_ms.p99} ms over the last minute`)
  for (const [name, columns] of Object.entries(producer?.heldBack ?? {}))
    lines.push(
      `held back ${name}: ${columns.join(', ')}; classify under tables.${name}.columns, since the table is personal`,
    )
  for (const [name, reason] of Object.entries(producer?.notCaptured ?? {}))
    lines.push(`not captured ${name}: ${reason}`)
  for (const [name, warnings] of Object.entries(producer?.warnings ?? {}))
    for (const what of warnings) lines.push(`warning ${name}: ${what}`)
  for (const [name, { lag_rows, lag_seconds, partitions }] of Object.entries(tables)) {
    const offsets = partitions.map(({ partition, done, end }) => `${partition}:${done}/${end}`).join(' ')
    lines.push(`  ${name.padEnd(36)} ${lag_rows} rows, ${lag_seconds} s behind   ${offsets}`)
  }
  return lines
}
