// cli/reset/reset: `millrace reset [source|topics|warehouse|star|all]`: destroys what was named, after the name of it was typed.

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
  findRefolded,
  findRetired,
  findWarehouses,
  refuseOtherReaders,
  retireGenerations,
  type Warehouses,
} from './pipeline.ts'
import { recreateSource, sourceSchemas } from './source.ts'
import { rebuildStar } from './star.ts'

interface Part {
  /** Follows "This destroys". */
  readonly what: (config: Config) => string
  /** What has to be typed. */
  readonly name: (config: Config) => string
  /** Its first step comes after everything that could refuse has been asked. */
  readonly destroy: (connections: PipelineConnections) => Steps
}

const pipelineName = ({ name }: Config) => name

const parts: Readonly<Record<string, Part>> = {
  source: {
    what: config => `all rows of ${sourceSchemas(config).join(', ')} in Postgres, and the topics that tell of them`,
    name: config => sourceSchemas(config)[0]!,
    async *destroy(connections) {
      await rehearse(connections)
      yield* destroyTopics(connections)
      yield* destroySource(connections)
    },
  },
  topics: {
    what: ({ name }) => `all topics and replication slots of ${name}; everything is loaded anew by the next start`,
    name: pipelineName,
    destroy: destroyTopics,
  },
  warehouse: {
    what: ({ name }) => `all databases of ${name} in ClickHouse; they are built anew from the topics by the next start`,
    name: pipelineName,
    async *destroy(connections) {
      const refolded = await findRefolded(connections)
      const warehouses = await findWarehouses(connections)
      const groups = refolded === undefined ? [] : [consumerGroup(connections.config.name, refolded.number)]
      await refuseIfKept(connections, { ...named(warehouses), groups })
      yield* dropWarehouses(connections, warehouses, refolded)
    },
  },
  star: {
    what: ({ name }) => `the aggregates and views of ${name}'s model in ClickHouse; they are built anew at once`,
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

/** Whatever could refuse to empty the source. */
async function rehearse(connections: PipelineConnections): Promise<void> {
  const { url, config } = connections
  await refuseOtherReaders(connections, await findRetired(connections))
  await recreateSource(url, config, { rehearsal: true })
}

function named({ databases, views }: Warehouses): ToDrop {
  return { databases: databases.map(({ name }) => name), views }
}

/** What `millrace reset` does for a part, step by step. */
export function destruction(part: string, connections: PipelineConnections): Steps {
  return parts[part]!.destroy(connections)
}

interface ResetOptions {
  readonly yes?: true
  readonly confirm?: string
}

export function resetCommand(program: Command): void {
  program
    .command('reset')
    .description('destroy one part, or without one stop the local components and delete all their data')
    .argument('[part]', `one of ${Object.keys(parts).join(', ')}`)
    .addOption(new Option('--confirm <name>', 'the name that would have to be typed, for scripts'))
    .option('--yes', 'do not ask before the local components are deleted')
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
  const question = `This destroys ${part.what(config)}.\nType ${wanted} to go on: `
  const typed = confirm ?? (await ask(question, lifecycle.signal, remedy))
  if (typed !== wanted) throw nothingDone(remedy)
  await carryOut(part.destroy(await openConnections(context)), log)
  log.info('done', { reset: name })
}

/** Of services elsewhere, which left no note here, locks and consumer groups tell later. */
async function refuseWhileRunning({ directory, name }: Config): Promise<void> {
  for (const service of ['producer', 'consumer', 'generator'] as const) {
    if ((await askStatus(directory, name, service)) === undefined) continue
    throw new MillraceError('SERVICES_RUNNING', {
      what: `the ${service} is running`,
      where: directory,
      next: 'stop it first; millrace start goes on afterwards',
    })
  }
}

type Remedy = { readonly where: string; readonly next: string }

/** @throws {MillraceError} USAGE without a terminal */
async function ask(question: string, signal: AbortSignal, remedy: Remedy): Promise<string> {
  if (!process.stdin.isTTY) {
    const what = 'reset asks before it destroys, and there is nobody to ask'
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
