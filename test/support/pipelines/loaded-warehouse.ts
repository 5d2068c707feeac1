// test/support/pipelines/loaded-warehouse: tables of a real Postgres as a generation in a real
// ClickHouse, in the state that the pipeline leaves.
// There is no Kafka: this file inserts the rows into the changelog.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe } from '../../../cli/verify.ts'
import type { Clickhouse } from '../../../clickhouse/client.ts'
import { changelogName, storageName, tableStatements } from '../../../clickhouse/ddl.ts'
import { historyName, prepareHistory } from '../../../clickhouse/history.ts'
import { publish } from '../../../clickhouse/publish.ts'
import { quoteName, quoteString } from '../../../clickhouse/quote.ts'
import { watermarkStatements } from '../../../consumer/warehouse/watermark.ts'
import { generationDatabase } from '../../../contract/generation.ts'
import { ownerMark } from '../../../contract/owner.ts'
import { parseLsn } from '../../../contract/position.ts'
import { valueSchema } from '../../../contract/schema.ts'
import { type Table, tableName } from '../../../contract/table.ts'
import { applyModel, loadModel } from '../../../modeling/model.ts'
import { identify } from '../../../postgres/replication/history.ts'
import { chooseTables } from '../../../producer/capture/table-choice.ts'
import { captureTables } from '../../../producer/capture/tables.ts'
import { type Config, loadConfig, tableOptions } from '../../../runtime/config/config.ts'
import type { Log } from '../../../runtime/log.ts'
import { type Verification, verify } from '../../../verify/verify.ts'
import { writeFixture } from '../harness/program.ts'
import { assert } from '../harness/suite.ts'
import { createWarehouse } from '../servers/clickhouse.ts'
import { createDatabase, type TestDatabase, uniqueName } from '../servers/postgres.ts'
import { quietLog, type Servers } from '../servers/services.ts'

export interface LoadedWarehouse {
  /** The source. */
  readonly database: TestDatabase
  /** Schema of the tables, and database of the stable names in ClickHouse. */
  readonly schema: string
  readonly config: Config
  /** Runs in the generation's database. */
  readonly clickhouse: Clickhouse
  /** Name of the generation's database. */
  readonly generation: string
  /** A captured table by its name without the schema. */
  table(name: string): Table
  /**
   * Rows for a changelog, with the tables' columns and millrace's. A missing column gets the value
   * of an initial load.
   */
  write(name: string, ...rows: readonly Readonly<Record<string, unknown>>[]): Promise<void>
  verify(options?: VerifyAs): Promise<Verification>
  [Symbol.asyncDispose](): Promise<void>
}

interface VerifyAs {
  readonly log?: Log
  readonly signal?: AbortSignal
  /** Role in Postgres and user in ClickHouse, without passwords. */
  readonly role?: string
  readonly user?: string
}

export interface LoadedWarehouseOptions {
  /** SQL that creates the tables, in the schema `{schema}`. */
  readonly setup: string
  /** Settings besides `tables`, which captures the whole schema. */
  readonly settings?: Readonly<Record<string, unknown>>
  readonly tables?: Readonly<Record<string, unknown>>
}

/** Loads the rows of the setup. The watermark in ClickHouse covers every future commit. */
export async function loadWarehouse(services: Servers, options: LoadedWarehouseOptions): Promise<LoadedWarehouse> {
  const schema = uniqueName('s')
  const fill = (text: string) => text.replaceAll('{schema}', schema)
  const database = await createDatabase(services.endpoints.postgres!)
  await database.sql(fill(`CREATE SCHEMA {schema}; ${options.setup}`))
  const name = uniqueName('v')
  const directory = writeFixture({})
  const file = join(directory, 'millrace.yaml')
  const tables = options.tables ?? { '{schema}.*': {} }
  const endpoints = {
    source: { url: database.url },
    kafka: { brokers: ['127.0.0.1:1'] },
    clickhouse: { url: services.endpoints.clickhouse },
  }
  writeFileSync(file, fill(JSON.stringify({ name, directory, ...endpoints, tables, ...options.settings })))
  const config = loadConfig({ file, env: {}, cwd: directory })
  const generation = generationDatabase(name, 1)
  const { source } = await identify(database.url)
  const about = { number: 1, id: 'standing', kafkaCluster: 'none', source }
  const clickhouse = await createWarehouse(services, generation, { comment: ownerMark(name, about) })
  const choice = await chooseTables(database.client, config)
  const server = { config, serverVersion: 180_000, deferrable: new Set<number>() }
  const captured = captureTables(choice.tables, server).map(({ table }) => table)
  const table = (wanted: string) => captured.find(each => each.name === wanted)!
  const write = writer(clickhouse, table)
  await createTables(clickhouse, config, captured)
  for (const each of captured) await write(each.name, ...(await rowsOf(database, each)))
  if (config.model !== undefined) await applyModel(clickhouse, loadModel(config.model, config.reportTimeZone))
  await publishAll(clickhouse, { config, generation, captured })
  return {
    ...{ database, schema, config, clickhouse, generation, table, write },
    verify: ({ log = quietLog(), signal = new AbortController().signal, role, user = 'default' } = {}) => {
      const source = new URL(database.url)
      if (role !== undefined) source.username = role
      const account = { url: services.endpoints.clickhouse!, user, password: '' }
      return verify({ config, services: { postgres: source.href, clickhouse: account }, log, signal })
    },
    async [Symbol.asyncDispose]() {
      await clickhouse.command(`DROP DATABASE IF EXISTS ${quoteName(schema)} SYNC`)
      await clickhouse.command(`DROP DATABASE IF EXISTS ${quoteName(generation)} SYNC`)
      await clickhouse.close()
      await database.drop()
    },
  }
}

async function createTables(clickhouse: Clickhouse, config: Config, captured: readonly Table[]): Promise<void> {
  for (const statement of watermarkStatements) await clickhouse.command(statement)
  await clickhouse.command(
    'CREATE TABLE captured (topic String, value_schema String) ENGINE = ReplacingMergeTree ORDER BY topic',
  )
  for (const table of captured) {
    for (const statement of tableStatements(table)) await clickhouse.command(statement)
    await prepareHistory(clickhouse, table, {
      wanted: tableOptions(config, table.schema, table.name)!.history,
      exists: false,
    })
    const described = [tableName(table), JSON.stringify(valueSchema(table))].map(quoteString)
    await clickhouse.command(`INSERT INTO captured VALUES (${described.join(', ')})`)
  }
  await clickhouse.command('INSERT INTO watermark (lsn, commit_time) VALUES (9000000000000000, now64())')
}

/** Every row in the form of the initial load: each value as Postgres prints it. */
async function rowsOf(database: TestDatabase, table: Table): Promise<Record<string, unknown>[]> {
  const names = table.columns.map(({ name }) => name)
  const values = table.columns.map(({ name, encoding }) => {
    const value = encoding === 'boolean' ? `${name}::int` : name
    return `CASE WHEN num_nulls(${name}) = 0 THEN format('%s', ${value}) END`
  })
  const rows = await database.sql<{ row: object; lsn: string }>(
    `SELECT json_object(ARRAY['${names.join("', '")}'], ARRAY[${values.join(', ')}]) AS row, pg_current_wal_lsn()::text AS lsn
FROM ${tableName(table)} ORDER BY ${table.key.join(', ')}`,
  )
  const booleans = new Set(table.columns.filter(({ encoding }) => encoding === 'boolean').map(({ name }) => name))
  const resultOf = (row: object) =>
    Object.fromEntries(
      Object.entries(row).map(([name, value]) => [name, booleans.has(name) && value !== null ? value === '1' : value]),
    )
  return rows.map(({ row, lsn }, index) => ({
    ...resultOf(row),
    _lsn: parseLsn(lsn) - 1,
    _ordinal: index,
    _offset: index,
  }))
}

/** Version and place are computed from the position. */
function writer(clickhouse: Clickhouse, table: (name: string) => Table): LoadedWarehouse['write'] {
  return async (name, ...rows) => {
    if (rows.length === 0) return
    const images = rows.map(row => {
      const image = { _sign: 1, _op: 'r', _ordinal: 0, _partition: 0, _commit_time: '2025-01-01 00:00:00', ...row }
      const { _lsn, _ordinal } = image as unknown as { _lsn: number; _ordinal: number }
      return JSON.stringify({ ...image, _version: String((BigInt(_lsn) << 64n) + BigInt(_ordinal)) })
    })
    await clickhouse.insert(
      `INSERT INTO ${quoteName(changelogName(table(name)))} FORMAT JSONEachRow`,
      [Buffer.from(images.join('\n'))],
      { async_insert: 0, insert_deduplicate: 0, date_time_input_format: 'best_effort' },
    )
  }
}

async function publishAll(
  clickhouse: Clickhouse,
  { config, generation, captured }: { config: Config; generation: string; captured: readonly Table[] },
): Promise<void> {
  const views = captured.flatMap(table => {
    const live = { database: table.schema, name: table.name, source: storageName(table.schema, table.name) }
    const { history } = tableOptions(config, table.schema, table.name)!
    return history ? [live, { ...live, name: `${table.name}.history`, source: historyName(table) }] : [live]
  })
  const model = config.model === undefined ? [] : loadModel(config.model, config.reportTimeZone).publish
  const publisher = { pipeline: config.name, kafkaCluster: 'none' }
  await publish(clickhouse, { generation, views: [...views, ...model], publisher })
}

/** Tables of the same shape, each with two rows. */
export function parts(...names: string[]): string {
  return names
    .map(
      name => `CREATE TABLE {schema}.${name} (id int PRIMARY KEY, tenant int NOT NULL, sku text, qty int NOT NULL);
  INSERT INTO {schema}.${name} VALUES (1, 1, 'a', 5), (2, 1, 'b', 6);`,
    )
    .join('\n')
}

/** The verification's result for one table. */
export function read(result: Verification, { schema }: LoadedWarehouse, name = 'parts') {
  const { state, postgres, clickhouse, differing, exact, keys, problems } = result.tables[`${schema}.${name}`]!
  const rows = keys.map(({ key, state, rows }) =>
    [state, key, ...(rows ? [rows.postgres, rows.clickhouse] : [])].join(' '),
  )
  return { state, counts: [postgres, clickhouse], differing, exact, rows: rows.sort(), problems: problems.join('\n') }
}

/** A change that arrives now, after the load. */
export async function lsnOf({ database }: LoadedWarehouse): Promise<number> {
  const [row] = await database.sql<{ lsn: string }>("SELECT pg_current_wal_lsn() - '0/0' AS lsn")
  return Number(row!.lsn)
}

export function assertEqual(result: Verification): void {
  assert.is(result.outcome, 'equal', describe(result).join('\n'))
}
