// cli/reset-pipeline: what a pipeline holds in Kafka and in ClickHouse, removed.
// May know: clickhouse, contract, kafka, producer, runtime, cli.

import { dropDatabase, findDatabases, isOfPipeline } from '../clickhouse/databases.ts'
import { dropStableViews, findStableViews } from '../clickhouse/stable-views.ts'
import { consumerGroup, type Generation } from '../contract/generation.ts'
import { deleteTopics, listTopics } from '../kafka/admin.ts'
import { deleteGroup } from '../kafka/coordinator.ts'
import { newestGeneration } from '../kafka/generations.ts'
import { identify } from '../postgres/history.ts'
import { dropGeneration } from '../producer/cleanup.ts'
import { adoptRemains } from '../producer/remains.ts'
import { MillraceError } from '../runtime/errors.ts'
import { type CommandWorkspace, knownGenerations } from './workspace.ts'

/**
 * Drops every generation's slot, publication, topics and consumer group. The topic that counts them stays, so that the next one gets
 * a number, and so a database, of its own; those of before go on serving until then.
 * What a topic of generations that was lost had recorded goes too, as far as it is provably ours; what a call before had left half removed is
 * finished.
 * @throws {MillraceError} PRODUCER_RUNNING, GROUP_ACTIVE; GENERATION_CHANGED when a generation is of another source
 */
export async function retireGenerations(workspace: CommandWorkspace): Promise<void> {
  const { config, kafka, url, log } = workspace
  const { source: identity } = await identify(url)
  const known = await knownGenerations(workspace)
  refuseOtherSource(known, identity)
  const adopted = await adoptRemains(workspace, { generations: known, identity })
  for (const generation of [...known, ...adopted]) {
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

/** Its slot would stay there, and hold the WAL of that server for ever. */
function refuseOtherSource(generations: readonly Generation[], identity: string): void {
  const other = generations.find(
    ({ state, source }) => ['announced', 'loading', 'live'].includes(state) && source !== identity,
  )
  if (other === undefined) return
  throw new MillraceError('GENERATION_CHANGED', {
    what: `generation ${other.number} was loaded from ${other.source}, and this database is ${identity}, so nothing was destroyed`,
    where: `slot ${other.slot}`,
    next: `correct source.url; if that database is gone for good, load this one (millrace producer --new-generation), and then run millrace generations drop ${other.number}`,
  })
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
  const publisher = { pipeline: config.name, kafkaCluster: kafka.clusterId }
  await dropStableViews(clickhouse, await findStableViews(clickhouse, publisher))
  for (const { name, number, owner } of await findDatabases(clickhouse, config.name)) {
    if (!isOfPipeline({ number, owner }, publisher)) {
      log.warn('a database of the name is left alone: this pipeline did not make it', { database: name })
      continue
    }
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
