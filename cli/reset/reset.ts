// cli/reset/reset: `millrace reset [PART]`: deletes a part after its name was typed.

import { createInterface } from 'node:readline/promises'
import { type Command, Option } from 'commander'
import type { ToDrop } from '../../clickhouse/droppable.ts'
import { consumerGroup } from '../../contract/generation.ts'
import type { Config } from '../../runtime/config/config.ts'
import { MillraceError } from '../../runtime/errors.ts'
import { askStatus } from '../../runtime/service-discovery.ts'
import { carryOut, type Steps } from '../../runtime/steps.ts'
import { reset } from '../../stack/up.ts'
import { type CommandContext, runs } from '../command.ts'
import { openConnections, type PipelineConnections } from '../connections.ts'
import { refuseIfKept } from '../obstacles.ts'
import {
  dropWarehouses,
  findReplayed,
  findRetired,
  findWarehouses,
  refuseOtherReaders,
  retireGenerations,
  type Warehouses,
} from './pipeline.ts'
import { recreateSource, sourceSchemas } from './source.ts'
import { rebuildStar } from './star.ts'

interface Part {
  /** Completes the sentence "This destroys …". */
  readonly what: (config: Config) => string
  /** The name that has to be typed to confirm. */
  readonly name: (config: Config) => string
  /** Checks everything that could refuse before its first step. */
  readonly destroy: (connections: PipelineConnections) => Steps
}

const pipelineName = ({ name }: Config) => name

const parts: Readonly<Record<string, Part>> = {
  source: {
    what: config => `all rows of ${sourceSchemas(config).join(', ')} in Postgres, and all topics and replication slots`,
    name: config => sourceSchemas(config)[0]!,
    async *destroy(connections) {
      await rehearse(connections)
      yield* destroyTopics(connections)
      yield* destroySource(connections)
    },
  },
  topics: {
    what: ({ name }) => `all topics and replication slots of ${name}; the next start loads everything again`,
    name: pipelineName,
    destroy: destroyTopics,
  },
  warehouse: {
    what: ({ name }) => `all databases of ${name} in ClickHouse; the next start builds them again from the topics`,
    name: pipelineName,
    async *destroy(connections) {
      const replayed = await findReplayed(connections)
      const warehouses = await findWarehouses(connections)
      const groups = replayed === undefined ? [] : [consumerGroup(connections.config.name, replayed.number)]
      await refuseIfKept(connections, { ...named(warehouses), groups })
      yield* dropWarehouses(connections, warehouses, replayed)
    },
  },
  star: {
    what: ({ name }) =>
      `the aggregates and views of ${name}'s model in ClickHouse; the next start of the consumer builds them again`,
    name: pipelineName,
    destroy: rebuildStar,
  },
  all: {
    what: config =>
      `all rows of ${sourceSchemas(config).join(', ')} in Postgres, all topics and all databases of ${config.name}`,
    name: pipelineName,
    async *destroy(connections) {
      await rehearse(connections)
      const warehouses = await findWarehouses(connections)
      await refuseIfKept(connections, named(warehouses))
      yield* destroyTopics(connections)
      yield* dropWarehouses(connections, warehouses, undefined)
      yield* destroySource(connections)
    },
  },
}

async function* destroyTopics(connections: PipelineConnections): Steps {
  const retired = await findRetired(connections)
  await refuseIfKept(connections, retired)
  yield* retireGenerations(connections, retired)
}

async function* destroySource({ url, config }: PipelineConnections): Steps {
  await recreateSource(url, config, { rehearsal: false })
  yield `the source is empty: ${sourceSchemas(config).join(' ')}`
}

/** Checks everything that could refuse to empty the source. */
async function rehearse(connections: PipelineConnections): Promise<void> {
  const { url, config } = connections
  await refuseOtherReaders(connections, await findRetired(connections))
  await recreateSource(url, config, { rehearsal: true })
}

function named({ databases, views }: Warehouses): ToDrop {
  return { databases: databases.map(({ name }) => name), views }
}

/** The steps of `millrace reset` for a part. */
export function destruction(part: string, connections: PipelineConnections): Steps {
  return parts[part]!.destroy(connections)
}

interface ResetOptions {
  readonly yes?: true
  readonly confirm?: string
}

const partsHelp = `
Parts:
  source     all rows in Postgres, and all topics and replication slots
  topics     all topics and replication slots; the next start loads everything again
  warehouse  all databases in ClickHouse; the next start builds them again from the topics
  star       the aggregates and views of the model; the consumer builds them again when it starts
  all        source, topics and warehouse`

export function resetCommand(program: Command): void {
  program
    .command('reset')
    .description('delete one part of the pipeline; without a part, delete the embedded servers with all data')
    .argument('[part]', 'the part to delete; see below')
    .addHelpText('after', partsHelp)
    .addOption(new Option('--confirm <name>', 'for scripts: the name that would have to be typed to confirm'))
    .option('--yes', 'do not ask before the embedded servers are deleted')
    .action(
      runs<ResetOptions>('reset', async (context, { yes, confirm }, [name]) => {
        if (name !== undefined) return resetPart(context, name, confirm)
        const { config, log, lifecycle } = context
        if (!yes) {
          const question = `Delete all data of the local stack in ${config.directory}? [y/N] `
          const remedy = { where: config.directory, next: 'add --yes if all data there may be deleted' }
          if (!/^y(es)?$/i.test(await ask(question, lifecycle.signal, remedy))) throw nothingDone(remedy)
        }
        await reset(config.directory, log)
      }),
    )
}

async function resetPart(context: CommandContext, name: string, confirm: string | undefined): Promise<void> {
  const { config, lifecycle, log } = context
  const part = Object.hasOwn(parts, name) ? parts[name]! : undefined
  if (!part) {
    const next = `name one of ${Object.keys(parts).join(', ')}`
    throw new MillraceError('USAGE', { what: `there is no part "${name}"`, where: 'reset', next })
  }
  const wanted = part.name(config)
  await refuseWhileRunning(config)
  const remedy = { where: `reset ${name}`, next: `add --confirm ${wanted} if that may be destroyed` }
  const question = `This destroys ${part.what(config)}.\nType ${wanted} to continue: `
  const typed = confirm ?? (await ask(question, lifecycle.signal, remedy))
  if (typed !== wanted) throw nothingDone(remedy)
  await carryOut(part.destroy(await openConnections(context)), log)
  log.info('done', { reset: name })
}

/** Finds services of this directory. Locks and consumer groups reveal services elsewhere later. */
async function refuseWhileRunning({ directory, name }: Config): Promise<void> {
  for (const service of ['producer', 'consumer', 'generator'] as const) {
    if ((await askStatus(directory, name, service)) === undefined) continue
    throw new MillraceError('SERVICES_RUNNING', {
      what: `the ${service} is running`,
      where: directory,
      next: 'stop it first; millrace start continues afterwards',
    })
  }
}

type Remedy = { readonly where: string; readonly next: string }

/** @throws {MillraceError} USAGE without a terminal */
async function ask(question: string, signal: AbortSignal, remedy: Remedy): Promise<string> {
  if (!process.stdin.isTTY) {
    const what = 'reset asks before it deletes data, and there is no terminal to ask on'
    throw new MillraceError('USAGE', { what, ...remedy })
  }
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  try {
    return (await terminal.question(question, { signal })).trim()
  } finally {
    terminal.close()
  }
}

function nothingDone(remedy: Remedy): MillraceError {
  return new MillraceError('USAGE', { what: 'nothing was destroyed', ...remedy })
}
