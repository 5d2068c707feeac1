// cli/reset-pipeline: what a pipeline holds in Kafka and in ClickHouse, removed.
// May know: clickhouse, contract, kafka, producer, runtime, cli.

import { dropDatabase, dropStableViews, findDatabases, findStableViews } from '../clickhouse/databases.ts'
import { consumerGroup, type Generation } from '../contract/generation.ts'
import { deleteTopics, listTopics } from '../kafka/admin.ts'
import { deleteGroup } from '../kafka/coordinator.ts'
import { newestGeneration } from '../kafka/generations.ts'
import { dropGeneration } from '../producer/cleanup.ts'
import { MillraceError } from '../runtime/errors.ts'
import { type CommandWorkspace, knownGenerations } from './workspace.ts'

/**
 * Drops every generation's slot, publication, topics and consumer group. The topic that counts them stays, so that the next one gets
 * a number, and so a database, of its own; those of before go on serving until then.
 * @throws {MillraceError} PRODUCER_RUNNING, GROUP_ACTIVE
 */
export async function retireGenerations(workspace: CommandWorkspace): Promise<void> {
  const { config, kafka, log } = workspace
  for (const generation of await knownGenerations(workspace)) {
    if (!['announced', 'loading', 'live'].includes(generation.state)) continue
    await dropGeneration(workspace, generation)
    log.info('generation dropped', { generation: generation.number })
  }
  const isOfGeneration = new RegExp(`^${config.name}\\.\\d+\\.`)
  const left = await listTopics(kafka, `${config.name}.`)
  await deleteTopics(
    kafka,
    left.filter(topic => isOfGeneration.test(topic)),
  )
}

/**
 * Drops all databases and the views that show them. The live generation is folded from its topics' beginning when a consumer starts.
 * @throws {MillraceError} OFFSETS_MISSING when they no longer reach back so far, and nothing is dropped then; GROUP_ACTIVE
 */
export async function dropWarehouse(workspace: CommandWorkspace): Promise<void> {
  const { config, kafka, clickhouse, log } = workspace
  const live = newestGeneration(await knownGenerations(workspace))
  if (live) {
    await requireWholeTopics(workspace, live)
    await deleteGroup(kafka, consumerGroup(config.name, live.number))
  }
  await dropStableViews(clickhouse, await findStableViews(clickhouse, config.name))
  for (const { name } of await findDatabases(clickhouse, config.name)) {
    await dropDatabase(clickhouse, name)
    log.info('database dropped', { database: name })
  }
}

async function requireWholeTopics({ fetcher }: CommandWorkspace, { tables }: Generation): Promise<void> {
  for (const { topic } of tables) {
    const starts = await fetcher.startOffsets(topic)
    const partition = starts.findIndex(start => start > 0)
    if (partition === -1) continue
    throw new MillraceError('OFFSETS_MISSING', {
      what: `the topic begins at offset ${starts[partition]}, so that not everything could be built from it again`,
      where: `topic ${topic}, partition ${partition}`,
      next: 'load everything anew instead: millrace reset topics, or millrace producer --new-generation',
    })
  }
}
