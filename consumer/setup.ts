// consumer/setup: creates a generation's database with its tables, the model and the stable views.

import type { ClickHouseSettings } from '@clickhouse/client'
import { type Clickhouse, connectClickhouse } from '../clickhouse/client.ts'
import { storageName, tableStatements } from '../clickhouse/ddl.ts'
import { claimDatabase } from '../clickhouse/generation-databases.ts'
import { historyName, prepareHistory } from '../clickhouse/history.ts'
import { pinnedSettings } from '../clickhouse/pinned-settings.ts'
import { checkNames, type PublishedView, publish } from '../clickhouse/publish.ts'
import { withRetries } from '../clickhouse/retrying.ts'
import type { Publisher } from '../clickhouse/stable-views.ts'
import { type Generation, generationDatabase } from '../contract/generation.ts'
import type { Being } from '../contract/owner.ts'
import { valueSchema } from '../contract/schema.ts'
import { tableName } from '../contract/table.ts'
import type { SchemaStore } from '../kafka/registry/registry.ts'
import { type Aggregate, readAggregates } from '../modeling/aggregate.ts'
import { contributionsSuffix, type Model, modelStatements, unrebuildable } from '../modeling/model.ts'
import { type Config, tableOptions } from '../runtime/config/config.ts'
import { MillraceError } from '../runtime/errors.ts'
import type { RetryOptions } from '../runtime/retry.ts'
import { sideBySide } from '../runtime/side-by-side.ts'
import { insertQueryPrefix } from './insert/inserter.ts'
import { loadTargetTables, type TargetTable, type TargetTableOptions } from './records/tables.ts'
import { epochStatement } from './warehouse/epoch.ts'
import { createFreshnessView, freshnessViews } from './warehouse/freshness-view.ts'
import { Objects, rebuildAdvice } from './warehouse/objects.ts'
import { probe, probeStatements, requireOneServer } from './warehouse/probe.ts'
import { watermarkStatements } from './warehouse/watermark.ts'

export interface Warehouse {
  readonly clickhouse: Clickhouse
  readonly publisher: Publisher
  readonly database: string
  /** By topic. */
  readonly tables: ReadonlyMap<string, TargetTable>
  /** Of the model. */
  readonly aggregates: readonly Aggregate[]
}

const starAdvice = 'rebuild the aggregates: stop the consumers, run millrace reset star, and start them again'

/**
 * Options of a table of the generation that the configuration no longer names. It is inserted all
 * the same.
 */
const unconfigured: TargetTableOptions = { onError: 'stop', history: false }

/**
 * Creates missing objects. Running it again changes nothing. The connection's current database is
 * the generation's.
 * @throws {MillraceError} GENERATION_UNKNOWN when the database belongs to another generation;
 *   WAREHOUSE_UNFINISHED when a reset of it was cut off; CLICKHOUSE_UNFIT, WAREHOUSE_DAMAGED
 */
export async function openWarehouse(parts: {
  config: Config
  clickhouse: { url: string; user: string; password: string }
  generation: Generation
  schemas: SchemaStore
  model: Model | undefined
  /** Retries each statement until it passes. Without this option, the first failure is thrown. */
  retries?: Omit<RetryOptions, 'what'>
  /**
   * What the caller does to the database. An earlier attempt of the same may have been interrupted.
   */
  during?: Being
}): Promise<Warehouse> {
  const { config, generation, schemas, model, during } = parts
  const database = generationDatabase(config.name, generation.number)
  const settings = await settingsFor(parts.clickhouse)
  const outside = connectClickhouse({ ...parts.clickhouse, settings })
  await claimDatabase(outside, config.name, generation, during).finally(() => outside.close())
  const connected = connectClickhouse({
    ...parts.clickhouse,
    database,
    settings,
    queryPrefix: insertQueryPrefix(database),
  })
  const clickhouse = parts.retries === undefined ? connected : withRetries(connected, parts.retries)
  const optionsOf = (schema: string, table: string) => tableOptions(config, schema, table) ?? unconfigured
  const loaded = await loadTargetTables(generation.tables, schemas, optionsOf)
  const tables = new Map(loaded.map(table => [table.topic, table]))
  const objects = await Objects.read(clickhouse)
  const engine = [...watermarkStatements, epochStatement, capturedStatement, ...probeStatements]
  const ofTables = [...tables.values()].map(({ table }) => tableStatements(table))
  await objects.make([engine, ...ofTables], { gone: rebuildAdvice })
  await probe(clickhouse)
  await sideBySide(tables.values(), ({ table, history }) =>
    prepareHistory(clickhouse, table, { wanted: history, exists: objects.has(historyName(table)) }),
  )
  await rememberTables(clickhouse, tables)
  const aggregates = model === undefined ? [] : await prepareModel(clickhouse, { model, objects, tables })
  const publisher = { pipeline: config.name, kafkaCluster: generation.kafkaCluster }
  return { clickhouse: connected, publisher, database, tables, aggregates }
}

interface ModelParts {
  readonly model: Model
  readonly objects: Objects
  readonly tables: ReadonlyMap<string, TargetTable>
}

async function prepareModel(clickhouse: Clickhouse, { model, objects, tables }: ModelParts): Promise<Aggregate[]> {
  const targets = [...tables.values()]
  checkRequirements(model, targets)
  const advice = unrebuildable(model).length === 0 ? starAdvice : rebuildAdvice
  const decides = (view: string) => view.endsWith(contributionsSuffix)
  await objects.make([modelStatements(model)], { gone: advice, changed: advice, decides })
  return readAggregates(
    clickhouse,
    model,
    targets.map(({ table }) => table),
  )
}

/** Checks that one server answers. @returns settings for all further connections */
async function settingsFor(options: { url: string; user: string; password: string }): Promise<ClickHouseSettings> {
  const bare = connectClickhouse(options)
  const ask = async () => {
    await requireOneServer(bare)
    return pinnedSettings(bare)
  }
  return ask().finally(() => bare.close())
}

/**
 * Checks that each stable name is free or shows a view of this pipeline. Called before a long load,
 * so that a conflict is reported early.
 * @throws {MillraceError} CONFIG_INVALID when two views would have one name; NAME_TAKEN when
 *   something else has it
 */
export async function checkStableNames(warehouse: Warehouse, model: Model | undefined): Promise<void> {
  await checkNames(warehouse.clickhouse, stableViews(warehouse, model), warehouse.publisher)
}

/**
 * Points the stable names at this generation: each table under its own schema and name, its
 * history, and the views that the model publishes.
 * @throws {MillraceError} CONFIG_INVALID, NAME_TAKEN
 */
export async function publishWarehouse(warehouse: Warehouse, model: Model | undefined): Promise<void> {
  const { clickhouse, database: generation, publisher, aggregates } = warehouse
  const names = aggregates.map(({ name }) => name)
  await createFreshnessView(clickhouse, stableViews(warehouse, model), names)
  await publish(clickhouse, { generation, views: stableViews(warehouse, model), publisher })
}

function stableViews(warehouse: Warehouse, model: Model | undefined): PublishedView[] {
  const views = [...[...warehouse.tables.values()].flatMap(tableViews), ...(model?.publish ?? [])]
  const twice = views.find((view, index) => views.slice(0, index).some(other => isSameName(view, other)))
  if (twice === undefined) return [...views, ...freshnessViews(model?.publish ?? [])]
  throw new MillraceError('CONFIG_INVALID', {
    what: `${twice.database}.${twice.name} is to show ${twice.source}, but something else has that name already`,
    where: model?.directory ?? 'tables in the configuration',
    next: 'publish it under another name in model.yaml, or leave out the table or its history',
  })
}

function tableViews({ table, history }: TargetTable): PublishedView[] {
  const { schema: database, name } = table
  const live = { database, name, source: storageName(table.schema, name) }
  return history ? [live, { database, name: `${name}.history`, source: historyName(table) }] : [live]
}

function isSameName(one: PublishedView, other: PublishedView): boolean {
  return one.database === other.database && one.name === other.name
}

/**
 * The captured tables and their columns. With this table, a verification needs only ClickHouse and
 * the source.
 */
const capturedStatement = `CREATE TABLE IF NOT EXISTS captured (
  topic String, value_schema String COMMENT 'Avro schema of the records, which carries the table in it'
) ENGINE = ReplacingMergeTree ORDER BY topic COMMENT 'Tables of this generation'`

async function rememberTables(clickhouse: Clickhouse, tables: ReadonlyMap<string, TargetTable>): Promise<void> {
  const rows = await clickhouse.rows<{ topic: string }>('SELECT topic FROM captured')
  const known = new Set(rows.map(({ topic }) => topic))
  const lines = [...tables]
    .filter(([topic]) => !known.has(topic))
    .map(([topic, { table }]) => `${JSON.stringify({ topic, value_schema: JSON.stringify(valueSchema(table)) })}\n`)
  if (lines.length === 0) return
  await clickhouse.insert(
    'INSERT INTO captured FORMAT JSONEachRow',
    lines.map(line => Buffer.from(line)),
    { async_insert: 0 },
  )
}

function checkRequirements(model: Model, tables: readonly TargetTable[]): void {
  const captured = new Set(tables.map(({ table }) => tableName(table)))
  const kept = new Set(tables.filter(({ history }) => history).map(({ table }) => tableName(table)))
  const missing = model.requires.filter(name => !captured.has(name))
  if (missing.length > 0) {
    throw new MillraceError('CONFIG_INVALID', {
      what: `the model needs tables that are not captured: ${missing.join(', ')}`,
      where: model.directory,
      next: 'name them under tables in millrace.yaml and start a new generation, or run without this model',
    })
  }
  const forgotten = model.histories.filter(name => !kept.has(name))
  if (forgotten.length === 0) return
  throw new MillraceError('CONFIG_INVALID', {
    what: `the model needs the history of tables that keep none: ${forgotten.join(', ')}`,
    where: model.directory,
    next: 'write history: true for them under tables in millrace.yaml, or run without this model',
  })
}
