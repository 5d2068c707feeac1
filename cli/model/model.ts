// cli/model/model: `millrace model`: describes the model as a Markdown page, or as files for dbt,
// and checks its aggregates.

import { randomInt, randomUUID } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Command } from 'commander'
import { type Clickhouse, connectClickhouse } from '../../clickhouse/client.ts'
import { tableStatements } from '../../clickhouse/ddl.ts'
import { prepareHistory } from '../../clickhouse/history.ts'
import { quoteName } from '../../clickhouse/quote.ts'
import type { Table } from '../../contract/table.ts'
import { readAggregates } from '../../modeling/aggregate.ts'
import { checkAggregate } from '../../modeling/check.ts'
import { describeModel } from '../../modeling/describe.ts'
import { applyModel, loadModel, type Model } from '../../modeling/model.ts'
import { readForeignKeys } from '../../postgres/catalog/keys.ts'
import { withClient } from '../../postgres/client/client.ts'
import { chooseTables, faultsOf } from '../../producer/capture/table-choice.ts'
import { captureTables } from '../../producer/capture/tables.ts'
import { type Config, tableOptions } from '../../runtime/config/config.ts'
import { MillraceError } from '../../runtime/errors.ts'
import { loadChecks } from '../../verify/checks.ts'
import { type CommandContext, runs } from '../command.ts'
import { resolveServers, type Services } from '../servers.ts'
import { dbtPackage } from './dbt-package.ts'
import { loadExpectations } from './expectations.ts'
import { modelPage } from './model-page.ts'

interface ModelOptions {
  readonly dbt?: string
}

interface CheckOptions {
  readonly seed?: string
}

export function modelCommand(program: Command): void {
  const model = program
    .command('model')
    .description('describe the model in Markdown: layers, views, and each column with its source columns')
    .option(
      '--dbt <directory>',
      'write the views as sources and exposures of the dbt project in this directory instead',
    )
    .action(runs<ModelOptions>('model', describe))
  model
    .command('check')
    .description('create the model in a database that is dropped afterwards, and try each aggregate on random rows')
    .option('--seed <number>', 'the random rows of an earlier run, which printed this number')
    .action(runs<CheckOptions>('model', check))
}

/**
 * Works before anything was captured: creates the tables and views without rows in a database that
 * is dropped afterwards.
 */
async function describe(context: CommandContext, { dbt }: ModelOptions): Promise<void> {
  const { config } = context
  const { model, services, sources, foreignKeys, tables } = await readParts(context)
  const objects = await inScratchDatabase(services.clickhouse, async clickhouse => {
    await makeTables(clickhouse, { config, model, tables })
    return describeModel(clickhouse, tables)
  })
  if (dbt !== undefined) return writeFiles(dbt, dbtPackage({ model, objects, ...expected(config, model) }))
  process.stdout.write(modelPage({ config, model, sources, foreignKeys, objects }))
}

/**
 * Refuses an aggregate that cannot be kept exact, and looks for rows for which its contributions
 * would make a fold wrong.
 */
async function check(context: CommandContext, options: CheckOptions): Promise<void> {
  const { config } = context
  const { model, services, tables } = await readParts(context)
  const seed = options.seed === undefined ? randomInt(1, 2 ** 31) : Number(options.seed)
  if (!Number.isSafeInteger(seed) || seed < 0) {
    throw new MillraceError('USAGE', {
      what: `the seed ${options.seed} is not a number`,
      next: 'give the number that an earlier run printed, or leave --seed out',
    })
  }
  await inScratchDatabase(services.clickhouse, async clickhouse => {
    await makeTables(clickhouse, { config, model, tables })
    for (const aggregate of await readAggregates(clickhouse, model, tables)) {
      await checkAggregate(clickhouse, aggregate, seed)
      process.stdout.write(`${aggregate.name} follows the rules on random rows of seed ${seed}\n`)
    }
  })
}

/** The model, and what the source's catalog says of its tables. */
async function readParts({ config, log, lifecycle }: CommandContext) {
  if (config.model === undefined) {
    throw new MillraceError('USAGE', {
      what: 'there is no model',
      next: 'name one under model in millrace.yaml, or give --config model/sales/millrace.yaml',
    })
  }
  const model = loadModel(config.model, config.reportTimeZone)
  const services = await resolveServers(config, log, lifecycle.signal, ['postgres', 'clickhouse'])
  const { choice, foreignKeys } = await withClient(services.postgres, async client => ({
    choice: await chooseTables(client, config),
    foreignKeys: await readForeignKeys(client),
  }))
  const sources = choice.tables
  const captured = captureTables(sources, { config, serverVersion: 0, deferrable: new Set(), faults: faultsOf(choice) })
  return { model, services, sources, foreignKeys, tables: captured.map(({ table }) => table) }
}

function expected({ reportTimeZone }: Config, model: Model) {
  const checks = loadChecks(model, reportTimeZone)
  return { reports: checks.map(({ name }) => name), expectations: loadExpectations(model, checks) }
}

function writeFiles(directory: string, files: ReadonlyMap<string, string>): void {
  for (const [path, text] of files) {
    mkdirSync(dirname(join(directory, path)), { recursive: true })
    writeFileSync(join(directory, path), text)
  }
}

async function makeTables(
  clickhouse: Clickhouse,
  { config, model, tables }: { config: Config; model: Model; tables: readonly Table[] },
): Promise<void> {
  for (const table of tables) {
    for (const sql of tableStatements(table)) await clickhouse.command(sql)
    const wanted = tableOptions(config, table.schema, table.name)?.history ?? false
    await prepareHistory(clickhouse, table, { wanted, exists: false })
  }
  await applyModel(clickhouse, model)
}

async function inScratchDatabase<Result>(
  account: Services['clickhouse'],
  work: (clickhouse: Clickhouse) => Promise<Result>,
): Promise<Result> {
  const database = `model_${randomUUID().replaceAll('-', '')}`
  const admin = connectClickhouse(account)
  await admin.command(`CREATE DATABASE ${quoteName(database)} ENGINE = Atomic`)
  const clickhouse = connectClickhouse({ ...account, database })
  try {
    return await work(clickhouse)
  } finally {
    await clickhouse.close()
    await admin.command(`DROP DATABASE ${quoteName(database)} SYNC`)
    await admin.close()
  }
}
