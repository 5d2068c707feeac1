// cli/generations: `millrace generations [--json]` and `millrace generations drop N`.

import type { Command } from 'commander'
import {
  dropDatabase,
  findDatabases,
  type GenerationDatabase,
  isOfPipeline,
} from '../clickhouse/generation-databases.ts'
import { findStableViews } from '../clickhouse/stable-views.ts'
import { type GenerationState, numberInName } from '../contract/generation.ts'
import { generationPrefix } from '../contract/names.ts'
import type { Being } from '../contract/owner.ts'
import { listTopics } from '../kafka/client/admin.ts'
import { newestGeneration } from '../kafka/generations-topic.ts'
import { withClient } from '../postgres/client/client.ts'
import { findSlots } from '../postgres/replication/slot.ts'
import { dropGeneration } from '../producer/generation/cleanup.ts'
import { MillraceError } from '../runtime/errors.ts'
import { retry } from '../runtime/retry.ts'
import { carryOut, type Steps } from '../runtime/steps.ts'
import { type CommandContext, printJson, runs } from './command.ts'
import { knownGenerations, openConnections, type PipelineConnections } from './connections.ts'
import { refuseIfKept } from './obstacles.ts'

export interface GenerationReport {
  readonly number: number
  /** `serving`: the live one that analysts read. `live`: not yet complete, or already replaced. */
  readonly state: GenerationState | 'serving' | 'unknown'
  readonly slot: { readonly name: string; readonly active: boolean; readonly wal_held_bytes: number } | undefined
  readonly topics: readonly string[]
  readonly database:
    | {
        readonly name: string
        readonly bytes: number
        /** Whether the stable names point to it. */
        readonly shown: boolean
        /** The reset that is under way on it, or was interrupted. */
        readonly being: Being | undefined
      }
    | undefined
}

/** Time that a producer or consumer has to change over to a newer generation. */
const handOverMs = 60_000

export function generationsCommand(program: Command): void {
  const generations = program
    .command('generations')
    .description('list the generations of this pipeline: the slot, topics and database of each')
    .option('--json', 'print the list as JSON')
    .action(
      runs<{ json?: true }>('generations', async (context, { json }) => {
        const reports = await reportGenerations(await openConnections(context))
        if (json) printJson(reports)
        else process.stdout.write(reports.map(describe).join(''))
      }),
    )
  generations
    .command('drop')
    .description('remove a generation that is no longer live: its slot, topics, dead letters and database')
    .argument('<number>', 'number of the generation, from `millrace generations`')
    .action(
      runs('generations', async (context: CommandContext, _options, [text]) => {
        const connections = await openConnections(context)
        await carryOut(dropOne(connections, await findDroppable(connections, text!)), context.log)
      }),
    )
}

/**
 * The pipeline's generations, including those of which only a database is left. Lists no databases
 * of others.
 */
export async function reportGenerations(connections: PipelineConnections): Promise<GenerationReport[]> {
  const { config, kafka, url } = connections
  const known = new Map((await knownGenerations(connections)).map(generation => [generation.number, generation]))
  const databases = new Map((await databasesByOwner(connections)).own.map(each => [each.number, each]))
  const slots = await withClient(url, client => findSlots(client, `${config.name}_`))
  const serving = await servingDatabases(connections)
  const numbers = [...new Set([...known.keys(), ...databases.keys()])].sort((a, b) => a - b)
  const reports: GenerationReport[] = []
  for (const number of numbers) {
    const slot = slots.find(
      ({ name }) => numberInName(config.name, name) === number && (known.get(number)?.slot ?? name) === name,
    )
    const database = databases.get(number)
    const state = known.get(number)?.state ?? 'unknown'
    const topics = await listTopics(kafka, generationPrefix(config.name, number))
    const shown = database !== undefined && serving.has(database.name)
    const isGone = ['abandoned', 'dropped'].includes(state) && !slot && !database && topics.length === 0
    if (isGone) continue
    reports.push({
      number,
      state: state === 'live' && shown ? 'serving' : state,
      slot: slot && { name: slot.name, active: slot.active, wal_held_bytes: slot.heldBytes },
      topics,
      database: database && { name: database.name, bytes: database.bytes, shown, being: database.owner?.being },
    })
  }
  return reports
}

/** Databases with the name of a generation's, by whether this pipeline created them. */
async function databasesByOwner({ clickhouse, config, kafka }: PipelineConnections) {
  const found = await findDatabases(clickhouse, config.name)
  const publisher = { pipeline: config.name, kafkaCluster: kafka.clusterId }
  const isOwn = (database: GenerationDatabase) => isOfPipeline(database, publisher)
  return { own: found.filter(isOwn), others: found.filter(database => !isOwn(database)) }
}

async function servingDatabases({ clickhouse, config, kafka }: PipelineConnections): Promise<Set<string>> {
  const publisher = { pipeline: config.name, kafkaCluster: kafka.clusterId }
  return new Set((await findStableViews(clickhouse, publisher)).map(({ shows }) => shows))
}

function describe({ number, state, slot, topics, database }: GenerationReport): string {
  const held = slot
    ? `slot ${slot.name}${slot.active ? ' in use' : ''}, holds ${slot.wal_held_bytes} bytes of WAL`
    : 'no slot'
  const stored = database
    ? `database ${database.name}, ${database.bytes} bytes${describeRows(state, database)}`
    : 'no database'
  return `${String(number).padStart(4)}  ${state.padEnd(10)} ${held}; ${topics.length} topics; ${stored}\n`
}

function describeRows(
  state: GenerationReport['state'],
  { shown, being }: NonNullable<GenerationReport['database']>,
): string {
  if (being !== undefined) return `, is being ${being}`
  if (state === 'serving') return ''
  return shown ? ', whose rows analysts still see' : ', whose rows are still there'
}

async function findDroppable(connections: PipelineConnections, text: string): Promise<number> {
  const reports = await reportGenerations(connections)
  const report = reports.find(({ number }) => String(number) === text)
  const refused = (what: string, next: string) =>
    new MillraceError('USAGE', { what, where: `generation ${text}`, next })
  if (!report) throw refused('there is no such generation', 'millrace generations lists them')
  const newest = newestGeneration(await knownGenerations(connections))
  const isLoading = report.state === 'announced' || report.state === 'loading'
  if (report.number === newest?.number || report.database?.shown || isLoading) {
    throw refused(
      `it is ${isLoading ? 'being loaded' : 'the one that serves, or is about to'}`,
      'a younger one has to be loaded first (millrace producer --new-generation); millrace reset destroys the last one',
    )
  }
  return report.number
}

/**
 * Drops a generation and its database. Waits up to `handOverMs` until the producer and the consumer
 * have changed over to a newer one. A database of that name that this pipeline did not create
 * stays.
 * @throws {MillraceError} DROP_REFUSED, PRODUCER_RUNNING, GROUP_ACTIVE, SLOT_ACTIVE; nothing was
 *   dropped then
 */
export async function* dropOne(connections: PipelineConnections, number: number): Steps {
  const { clickhouse, log, signal } = connections
  const generations = (await knownGenerations(connections)).filter(each => each.number === number)
  const { own, others } = await databasesByOwner(connections)
  const databases = own.filter(database => database.number === number).map(({ name }) => name)
  const check = () => refuseIfKept(connections, { generations, databases })
  await retry(check, { what: `drop generation ${number}`, signal, log, limitMs: handOverMs })
  for (const generation of generations) yield* dropGeneration(connections, generation)
  for (const name of databases) {
    await dropDatabase(clickhouse, name)
    yield `database ${name} is gone`
  }
  for (const { name } of others.filter(database => database.number === number)) {
    log.warn('the database stays: it has no mark of this pipeline', { database: name })
  }
}
