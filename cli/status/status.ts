// cli/status/status: `millrace status [--json]`: how far each table is, and what delays it.

import type { Command } from 'commander'
import type { ConsumerStatus } from '../../consumer/status.ts'
import { consumerGroup, deadLettersTopic, type Generation, type GenerationTable } from '../../contract/generation.ts'
import { readHead } from '../../contract/head.ts'
import { formatLsn } from '../../contract/position.ts'
import { tableName } from '../../contract/table.ts'
import { connectKafka } from '../../kafka/client/cluster.ts'
import { type Fetcher, openFetcher } from '../../kafka/consumer/fetcher.ts'
import { hasGenerations, newestGeneration, readGenerations } from '../../kafka/generations-topic.ts'
import { Coordinator } from '../../kafka/group/coordinator.ts'
import type { RecordSet } from '../../kafka/protocol/record-batch.ts'
import { withClient } from '../../postgres/client/client.ts'
import { type SlotState, slotState } from '../../postgres/replication/slot.ts'
import { type Choice, chooseTables } from '../../producer/capture/table-choice.ts'
import type { ProducerStatus } from '../../producer/progress.ts'
import { exitCodes } from '../../runtime/lifecycle.ts'
import { askStatus } from '../../runtime/service-discovery.ts'
import { type CommandContext, printJson, runs } from '../command.ts'
import { resolveServers } from '../servers.ts'
import { countDeadLetters, type DeadLetterCounts } from './dead-letters.ts'
import { describeStatus, type PipelineState, type PipelineStatus, type TableStatus } from './status-report.ts'

/** Age in seconds up to which changes that are not in ClickHouse yet are normal. */
const healthyLagSeconds = 5
/** Even without changes, heartbeats of the source become visible every few seconds. */
const healthySilenceMs = 30_000

const exitCodesHelp = `
Exit codes: 0 healthy; 1 not healthy, the first word of the output says why; 2 the status is unknown.`

export function statusCommand(program: Command): void {
  program
    .command('status')
    .description('show how far every table is on its way from the WAL to ClickHouse')
    .option('--json', 'print the status as JSON')
    .addHelpText('after', exitCodesHelp)
    .action(
      runs<{ json?: true }>('status', async (context, { json }) => {
        const status = await readStatus(context)
        if (json) printJson(status)
        else process.stdout.write(`${describeStatus(status).join('\n')}\n`)
        return status.state === 'healthy' ? exitCodes.ok : exitCodes.found
      }),
    )
}

async function readStatus({ config, log, lifecycle }: CommandContext): Promise<PipelineStatus> {
  const services = await resolveServers(config, log, lifecycle.signal, ['postgres', 'kafka'])
  const connection = await connectKafka({ ...services.kafka, clientId: `${config.name}-status`, log })
  lifecycle.opened('kafka', () => connection.close())
  const fetcher = openFetcher(connection)
  const known = (await hasGenerations(connection, config.name))
    ? await readGenerations(fetcher, config.name, lifecycle.signal)
    : []
  const generation = newestGeneration(known)
  const producer = await askStatus<ProducerStatus>(config.directory, config.name, 'producer')
  const consumer = await askStatus<ConsumerStatus>(config.directory, config.name, 'consumer')
  const { slot, notCaptured } = await withClient(services.postgres, async client => ({
    slot: generation && (await slotState(client, generation.slot)),
    notCaptured: generation === undefined ? {} : findNotCaptured(await chooseTables(client, config), generation),
  }))
  const coordinator = new Coordinator(connection, consumerGroup(config.name, generation?.number ?? 0))
  const tables: Record<string, TableStatus> = {}
  for (const table of generation?.tables ?? []) {
    tables[`${table.schema}.${table.table}`] = await tableStatus({
      table,
      coordinator,
      fetcher,
      signal: lifecycle.signal,
    })
  }
  const letters =
    generation === undefined
      ? noDeadLetters
      : await countDeadLetters(fetcher, deadLettersTopic(config.name, generation.number), lifecycle.signal)
  const watermark = consumer?.watermark && describeWatermark(consumer.watermark)
  return {
    state: stateOf({ generation, producer, consumer, watermark, tables, notCaptured }),
    generation: generation?.number,
    slot: slot && describeSlot(slot),
    watermark,
    freshness_ms: consumer?.freshness,
    producer,
    consumer,
    tables,
    not_captured: notCaptured,
    set_aside: letters.all,
    set_aside_looked: letters.looked,
    set_aside_tables: letters.tables,
  }
}

/** Includes tables that cannot be captured and tables that were created after the load. */
function findNotCaptured({ tables, leftOut, misnamed }: Choice, generation: Generation): Record<string, string> {
  const captured = new Set(generation.tables.map(({ schema, table }) => `${schema}.${table}`))
  const late = `it came, or was configured, after generation ${generation.number} was loaded; load it: millrace producer --new-generation`
  const all = [
    ...tables.map(table => [tableName(table), late] as const),
    ...leftOut.map(table => [tableName(table), table.reason] as const),
    ...Object.entries(misnamed),
  ]
  return Object.fromEntries(all.filter(([name]) => !captured.has(name)))
}

const noDeadLetters: DeadLetterCounts = { all: 0, looked: 0, tables: {} }

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

/** Seconds since the commit of millrace's first record from an offset on; 0 when none is near. */
async function ageOf(
  position: { topic: string; partition: number; offset: number },
  fetcher: Fetcher,
  signal: AbortSignal,
): Promise<number> {
  const [fetched] = await fetcher.fetch([position], { maxWaitMs: 500, minBytes: 1, maxBytes: 64 * 1024 }, signal)
  for (let record = 0; record < (fetched?.records.count ?? 0); record++) {
    const seconds = secondsSinceCommit(fetched!.records, record)
    if (seconds !== undefined) return seconds
  }
  return 0
}

/** A record from before millrace existed, or from the future, is not millrace's. */
const oldestCommitUs = Date.UTC(2020, 0) * 1000
const clocksDifferUs = 86_400_000_000

/** Undefined for a record of another program. */
function secondsSinceCommit({ buffer, valueStarts, valueEnds }: RecordSet, record: number): number | undefined {
  try {
    const { commitTimeUs } = readHead(buffer, valueStarts[record]!, valueEnds[record]!)
    const ageUs = Date.now() * 1000 - commitTimeUs
    if (commitTimeUs < oldestCommitUs || ageUs < -clocksDifferUs) return undefined
    return Math.max(0, Math.round(ageUs / 100_000) / 10)
  } catch (error) {
    if (error instanceof RangeError) return undefined
    throw error
  }
}

function stateOf(parts: {
  generation: Generation | undefined
  producer: ProducerStatus | undefined
  consumer: ConsumerStatus | undefined
  watermark: PipelineStatus['watermark']
  tables: Record<string, TableStatus>
  notCaptured: Record<string, string>
}): PipelineState {
  const { generation, producer, consumer, watermark, tables, notCaptured } = parts
  if (generation === undefined) return 'not started'
  if (producer === undefined || consumer === undefined) return 'stopped'
  if (producer.phase === 'waiting' || consumer.lastError !== undefined) return 'failing'
  if (generation.state === 'loading' || consumer.generation !== generation.number || watermark === undefined)
    return 'loading'
  const isBehind = Object.values(tables).some(({ lag_seconds }) => lag_seconds > healthyLagSeconds)
  if (isBehind || watermark.behind_ms > healthySilenceMs) return 'catching up'
  return Object.keys(notCaptured).length > 0 ? 'incomplete' : 'healthy'
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
