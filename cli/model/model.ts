// cli/model/model: `millrace model`: describes the model as a Markdown page, or as files for dbt.

import { randomUUID } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Command } from 'commander'
import { type Clickhouse, connectClickhouse } from '../../clickhouse/client.ts'
import { tableStatements } from '../../clickhouse/ddl.ts'
import { prepareHistory } from '../../clickhouse/history.ts'
import { quoteName } from '../../clickhouse/quote.ts'
import type { Table } from '../../contract/table.ts'
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

export function modelCommand(program: Command): void {
  program
    .command('model')
    .description('describe the model in Markdown: layers, views, and each column with its source columns')
    .option(
      '--dbt <directory>',
      'write the views as sources and exposures of the dbt project in this directory instead',
    )
    .action(runs<ModelOptions>('model', describe))
}

/**
 * Works before anything was captured: creates the tables and views without rows in a database that
 * is dropped afterwards.
 */
async function describe({ config, log, lifecycle }: CommandContext, { dbt }: ModelOptions): Promise<void> {
  if (config.model === undefined) {
    throw new MillraceError('USAGE', {
      what: 'there is no model to describe',
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
  const tables = captured.map(({ table }) => table)
  const objects = await inScratchDatabase(services.clickhouse, async clickhouse => {
    await makeTables(clickhouse, { config, model, tables })
    return describeModel(clickhouse, tables)
  })
  if (dbt !== undefined) return writeFiles(dbt, dbtPackage({ model, objects, ...expected(config, model) }))
  process.stdout.write(modelPage({ config, model, sources, foreignKeys, objects }))
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
