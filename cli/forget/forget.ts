// cli/forget/forget: `millrace forget customer ID`: erases a person and searches for remains.
// The model says which subjects can be forgotten and which values are erased.

import type { Command } from 'commander'
import { findDatabases } from '../../clickhouse/generation-databases.ts'
import { newestShapes } from '../../consumer/records/tables.ts'
import type { Table } from '../../contract/table.ts'
import { newestGeneration } from '../../kafka/generations-topic.ts'
import { loadHashKey } from '../../runtime/config/hash-key.ts'
import { MillraceError } from '../../runtime/errors.ts'
import { exitCodes } from '../../runtime/lifecycle.ts'
import { carryOut } from '../../runtime/steps.ts'
import { type SearchMatch, type SearchResult, searchDatabases, searchTopics } from '../../verify/residue-search.ts'
import { sameConfiguration } from '../child-process.ts'
import { type CommandContext, printJson, runs } from '../command.ts'
import { knownGenerations, openConnections, type PipelineConnections } from '../connections.ts'
import { dropOne, reportGenerations } from '../generations.ts'
import { closeJournal, erase, forgetFile, type Person } from './erase-person.ts'
import { type Forms, formsOf } from './former-values.ts'
import { reload } from './reload.ts'

interface ForgetOptions {
  readonly json?: true
  readonly config?: string
  readonly set?: Record<string, string>
}

export interface Proof {
  readonly ok: boolean
  readonly subject: string
  readonly id: string
  readonly generation: number
  readonly dropped: readonly number[]
  /** Names of the values that were searched for. The values themselves are not printed. */
  readonly sought: readonly string[]
  readonly tooShort: readonly string[]
  readonly topics: Omit<SearchResult, 'finds'>
  readonly tables: Omit<SearchResult, 'finds'>
  readonly finds: readonly SearchMatch[]
}

export function forgetCommand(program: Command): void {
  program
    .command('forget')
    .description('erase a person in Postgres, Kafka and ClickHouse, then search Kafka and ClickHouse for remains')
    .usage('[options] <subject> <id>\n       millrace forget [options] --customer 42')
    .argument('[subject]', 'kind of person, a file of forget/ in the model, such as customer')
    .argument('[id]', 'key of the person in Postgres, such as 42')
    .allowUnknownOption()
    .option('--json', 'print the result as JSON')
    .action(
      runs<ForgetOptions>('forget', async (context, options, args) => {
        const proof = await forget(
          context,
          readPerson(args),
          sameConfiguration({ ...options, directory: context.config.directory }),
        )
        if (options.json) printJson(proof)
        else process.stdout.write(describe(proof).join('\n'))
        return proof.ok ? exitCodes.ok : exitCodes.found
      }),
    )
}

/** `customer 42`, `--customer 42` or `--customer=42`. */
function readPerson(args: readonly string[]): Person {
  const [subject, id, ...others] = args.flatMap(text =>
    text.startsWith('--') ? text.slice(2).split(/=(.*)/s, 2) : [text],
  )
  if (subject !== undefined && id !== undefined && id !== '' && others.length === 0) return { subject, id }
  throw new MillraceError('USAGE', {
    what: 'forget takes one subject and one id',
    where: `forget ${args.join(' ')}`,
    next: 'write for example: millrace forget --customer 42',
  })
}

/**
 * Kafka cannot delete single records. Therefore a new generation is loaded without the person, and
 * the older generations are dropped.
 * @throws {MillraceError} USAGE when the model cannot forget this subject; every error of loading
 *   and dropping
 */
async function forget(context: CommandContext, person: Person, sameConfig: readonly string[]): Promise<Proof> {
  const { config, log } = context
  forgetFile(config, person.subject)
  const connections = await openConnections(context)
  const tables = await liveTables(connections)
  const { rows, lsn } = await erase(connections.url, config, person)
  log.info('erased in Postgres', { subject: person.subject })
  const forms = formsOf(rows, tables, () => loadHashKey(config, { make: false }))
  const generation = await reload(context, connections, { after: lsn, sameConfig })
  const dropped: number[] = []
  for (const { number } of await reportGenerations(connections)) {
    if (number >= generation.number) continue
    await carryOut(dropOne(connections, number), log)
    dropped.push(number)
  }
  const proof = { ...person, generation: generation.number, dropped, ...(await search(connections, forms)) }
  if (proof.ok) closeJournal(config, person)
  return proof
}

/** The tables of the live generation's topics. */
async function liveTables(connections: PipelineConnections): Promise<Table[]> {
  const live = newestGeneration(await knownGenerations(connections))
  if (live?.state !== 'live') {
    throw new MillraceError('NOTHING_LOADED', {
      what: 'there is no live generation, so Kafka and ClickHouse have nothing to erase',
      next: 'erase the person in Postgres, then load the tables: millrace start',
    })
  }
  return newestShapes(live.tables, connections.schemas)
}

async function search(connections: PipelineConnections, { texts, ownRows, tooShort }: Forms) {
  const { config, clickhouse } = connections
  const databases = (await findDatabases(clickhouse, config.name)).map(({ name }) => name)
  const topics = await searchTopics(connections, `${config.name}.`, texts)
  const tables = await searchDatabases(clickhouse, databases, { texts, ownRows })
  const finds = [...topics.finds, ...tables.finds]
  const own = ownRows.flatMap(({ columns }) => Object.values(columns).map(({ label }) => `${label} (own rows)`))
  return {
    ok: finds.length === 0,
    sought: [...texts.map(({ label }) => label), ...own],
    tooShort,
    topics: { places: topics.places, looked: topics.looked },
    tables: { places: tables.places, looked: tables.looked },
    finds,
  }
}

function describe({ ok, subject, id, generation, dropped, sought, tooShort, topics, tables, finds }: Proof): string[] {
  return [
    `${subject} ${id} is erased in Postgres; generation ${generation} was loaded without them, ${dropped.length === 0 ? 'nothing older was left' : `dropped: ${dropped.join(', ')}`}`,
    `looked for ${sought.join('; ')}`,
    ...(tooShort.length > 0 ? [`too short to search for, a match would prove nothing: ${tooShort.join('; ')}`] : []),
    `in ${topics.places} topics with ${topics.looked} records, and in ${tables.places} tables with ${tables.looked} rows: ${ok ? 'nothing found' : 'FOUND'}`,
    ...finds.map(({ place, label, count }) => `  ${label} in ${place}, ${count} times`),
    '',
  ]
}
