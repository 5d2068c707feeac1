// cli/reset/star: drops the model's objects in ClickHouse. The next start of the consumer computes
// them again from the tables.

import type { Clickhouse } from '../../clickhouse/client.ts'
import { storageName } from '../../clickhouse/ddl.ts'
import { findDatabases, markDatabase } from '../../clickhouse/generation-databases.ts'
import { quoteName, quotePath } from '../../clickhouse/quote.ts'
import { dropStableViews, findStableViews } from '../../clickhouse/stable-views.ts'
import { openWarehouse } from '../../consumer/setup.ts'
import { forgetObjects } from '../../consumer/warehouse/objects.ts'
import { engineTables } from '../../consumer/warehouse/watermark.ts'
import { consumerGroup, type Generation } from '../../contract/generation.ts'
import { newestGeneration } from '../../kafka/generations-topic.ts'
import { joinGroup, type Membership } from '../../kafka/group/group.ts'
import { loadModel, type Model, unrebuildable } from '../../modeling/model.ts'
import type { Config } from '../../runtime/config/config.ts'
import { Disposables } from '../../runtime/disposables.ts'
import { MillraceError } from '../../runtime/errors.ts'
import type { Steps } from '../../runtime/steps.ts'
import { knownGenerations, type PipelineConnections } from '../connections.ts'
import { refuseIfKept } from '../obstacles.ts'

/**
 * Until all objects are gone, the comment of the database makes consumers refuse it. The published
 * views of the model are dropped too, so that nobody reads an aggregate that is not computed yet.
 * The consumer publishes them when they are right.
 * @throws {MillraceError} USAGE without a model, or when a table of the model cannot be computed
 *   again; NOTHING_LOADED; SERVICES_RUNNING; DROP_REFUSED
 */
export async function* rebuildStar(connections: PipelineConnections): Steps {
  const { config, services, schemas, clickhouse } = connections
  const model = rebuildableModel(config)
  const generation = newestGeneration(await knownGenerations(connections))
  const databases = await findDatabases(clickhouse, config.name)
  if (generation?.state !== 'live' || !databases.some(({ number }) => number === generation.number)) {
    const next = 'start the producer and the consumer; millrace status shows how far they are'
    throw new MillraceError('NOTHING_LOADED', { what: 'no generation is live and complete in ClickHouse', next })
  }
  const disposables = new Disposables()
  try {
    const membership = await joinAlone(connections, generation)
    disposables.opened('group', () => membership.leave())
    const parts = { config, clickhouse: services.clickhouse, generation, schemas, during: 'rebuilt' } as const
    const bare = await openWarehouse({ ...parts, model: undefined })
    disposables.opened('tables', () => bare.clickhouse.close())
    const own = [...bare.tables.values()].map(({ table }) => storageName(table.schema, table.name))
    const objects = await modelObjects(bare.clickhouse, own)
    const name = bare.database
    await refuseIfKept(connections, { tables: objects.map(object => ({ database: name, name: object.name })) })
    const database = { name, owner: { pipeline: config.name, ...generation } }
    await markDatabase(clickhouse, database, 'rebuilt')
    yield `database ${name} is marked as being rebuilt`
    const published = new Set(model.publish.map(view => quotePath(view.database, view.name)))
    const views = await findStableViews(bare.clickhouse, bare.publisher)
    await dropStableViews(
      bare.clickhouse,
      views.filter(view => published.has(quotePath(view.database, view.name))),
    )
    await bare.clickhouse.command('TRUNCATE TABLE watermark')
    await forgetObjects(bare.clickhouse, name => isOfTable(name, own))
    for (const { name, engine } of objects) {
      const kind = engine === 'Dictionary' ? 'DICTIONARY' : 'TABLE'
      await bare.clickhouse.command(`DROP ${kind} IF EXISTS ${quoteName(name)} SYNC`)
      yield `${name} is gone`
    }
    await markDatabase(clickhouse, database)
    yield 'the consumer computes the aggregates and publishes the reports when it starts: millrace start'
  } finally {
    await disposables.close()
  }
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
    what: `millrace cannot compute these tables of the model again: ${lost.join(', ')}`,
    where: directory,
    next: 'describe them under aggregates in model.yaml, or build everything again: millrace reset warehouse',
  })
}

/** As the only member of the group, this process keeps every other consumer from inserting. */
async function joinAlone(
  { config, kafka, signal }: PipelineConnections,
  { number, tables }: Generation,
): Promise<Membership> {
  const groupId = consumerGroup(config.name, number)
  const membership = joinGroup(kafka, {
    groupId,
    groups: tables.map(({ topic, partitions }) => ({ topics: [topic], partitions })),
  })
  try {
    await membership.awaitAssignment(signal)
    if (membership.soleMember) return membership
    throw new MillraceError('SERVICES_RUNNING', {
      what: 'a consumer works on this generation',
      where: `consumer group ${groupId}`,
      next: 'stop it, on whichever machine it runs; millrace start continues afterwards',
    })
  } catch (error) {
    await membership.leave()
    throw error
  }
}

/** Every object except those of captured tables and of the engine, views first. */
async function modelObjects(
  clickhouse: Clickhouse,
  own: readonly string[],
): Promise<{ readonly name: string; readonly engine: string }[]> {
  const rows = await clickhouse.rows<{ name: string; engine: string }>(
    `SELECT name, engine FROM system.tables WHERE database = currentDatabase()
ORDER BY engine != 'MaterializedView', engine != 'View', name`,
  )
  return rows.filter(({ name }) => !engineTables.includes(name) && !isOfTable(name, own))
}

function isOfTable(name: string, tables: readonly string[]): boolean {
  return tables.some(table => name === table || name.startsWith(`${table}.`))
}
