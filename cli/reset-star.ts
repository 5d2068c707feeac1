// cli/reset-star: what the model has made in ClickHouse, dropped and built anew from what the tables hold.
// May know: clickhouse, consumer/setup, contract, kafka, runtime, cli.

import type { Clickhouse } from '../clickhouse/client.ts'
import { storageName } from '../clickhouse/ddl.ts'
import { loadModel, type Model, unrebuildable } from '../clickhouse/model.ts'
import { quoteName } from '../clickhouse/quote.ts'
import { reconcile } from '../clickhouse/reconcile.ts'
import { endLifetime } from '../consumer/lifetime.ts'
import { forgetObjects } from '../consumer/objects.ts'
import { openWarehouse, publishWarehouse } from '../consumer/setup.ts'
import { markUncertain } from '../consumer/uncertain.ts'
import { engineTables } from '../consumer/watermark.ts'
import { consumerGroup, type Generation } from '../contract/generation.ts'
import { newestGeneration } from '../kafka/generations.ts'
import { joinGroup } from '../kafka/group.ts'
import type { Config } from '../runtime/config.ts'
import { MillraceError } from '../runtime/errors.ts'
import type { CommandContext } from './command.ts'
import { type CommandWorkspace, knownGenerations } from './workspace.ts'

/**
 * @throws {MillraceError} USAGE without a model, or for one with a table that cannot be recomputed; NOTHING_LOADED; SERVICES_RUNNING
 */
export async function rebuildStar({ log }: CommandContext, workspace: CommandWorkspace): Promise<void> {
  const { config, services, schemas } = workspace
  const model = rebuildableModel(config)
  const generation = newestGeneration(await knownGenerations(workspace))
  if (generation?.state !== 'live') {
    const next = 'start the producer and the consumer; millrace status shows how far they are'
    throw new MillraceError('NOTHING_LOADED', { what: 'no generation is live', next })
  }
  await withoutConsumers(workspace, generation, async () => {
    const parts = { config, clickhouse: services.clickhouse, generation, schemas }
    const bare = await openWarehouse({ ...parts, model: undefined })
    const own = [...bare.tables.values()].map(({ table }) => storageName(table.schema, table.name))
    await endLifetime(bare.clickhouse)
    // Whoever finds this half done computes the aggregates anew.
    await markUncertain({ inserter: bare, model, log }, 'they are being built anew')
    await dropModelObjects(bare.clickhouse, own)
    await bare.clickhouse.close()
    const warehouse = await openWarehouse({ ...parts, model })
    try {
      for (const [table, rows] of await reconcile(warehouse.clickhouse, model)) log.info('built anew', { table, rows })
      await warehouse.clickhouse.command('TRUNCATE TABLE uncertain')
      await publishWarehouse(warehouse, model)
    } finally {
      await warehouse.clickhouse.close()
    }
  })
}

function rebuildableModel({ model: directory, reportTimeZone }: Config): Model {
  if (directory === undefined) {
    const next = 'name one as model in the configuration; without one there is nothing to rebuild'
    throw new MillraceError('USAGE', { what: 'there is no model', where: 'reset star', next })
  }
  const model = loadModel(directory, reportTimeZone)
  const lost = unrebuildable(model)
  if (lost.length === 0) return model
  throw new MillraceError('USAGE', {
    what: `the model does not say how to recompute ${lost.join(', ')}`,
    where: directory,
    next: 'name them under recompute in model.yaml, or build everything anew: millrace reset warehouse',
  })
}

/** Being the only member of the group, this process keeps every consumer from folding meanwhile, wherever it runs. */
async function withoutConsumers(
  { config, kafka, signal }: CommandWorkspace,
  { number, tables }: Generation,
  work: () => Promise<void>,
): Promise<void> {
  const groupId = consumerGroup(config.name, number)
  const membership = joinGroup(kafka, {
    groupId,
    groups: tables.map(({ topic, partitions }) => ({ topics: [topic], partitions })),
  })
  try {
    await membership.assigned(signal)
    if (!membership.soleMember) {
      throw new MillraceError('SERVICES_RUNNING', {
        what: 'a consumer folds this generation',
        where: `consumer group ${groupId}`,
        next: 'stop it, wherever it runs; millrace start goes on afterwards',
      })
    }
    await work()
  } finally {
    await membership.leave()
  }
}

/** Whatever is neither of a captured table nor the engine's own, views first. */
async function dropModelObjects(clickhouse: Clickhouse, own: readonly string[]): Promise<void> {
  const rows = await clickhouse.rows<{ name: string; engine: string }>(
    `SELECT name, engine FROM system.tables WHERE database = currentDatabase()
ORDER BY engine != 'MaterializedView', engine != 'View', name`,
  )
  const isOwn = (name: string) => own.some(table => name === table || name.startsWith(`${table}.`))
  const objects = rows.filter(({ name }) => !engineTables.includes(name) && !isOwn(name))
  await forgetObjects(clickhouse, isOwn)
  for (const { name, engine } of objects) {
    const kind = engine === 'Dictionary' ? 'DICTIONARY' : 'TABLE'
    await clickhouse.command(`DROP ${kind} IF EXISTS ${quoteName(name)} SYNC`)
  }
}
