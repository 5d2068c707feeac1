// cli/forget/forget: `millrace forget customer ID` (or `--customer ID`): erases a person everywhere, and looks whether anything is left.
// Who can be forgotten, and what of them is erased, is the model's to say.

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
import { renew } from './reload.ts'

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
  /** What was looked for, by name; the values themselves are not repeated. */
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
    what: 'one person is forgotten at a time',
    where: `forget ${args.join(' ')}`,
    next: 'write for example: millrace forget --customer 42',
  })
}

/**
 * Kafka forgets nothing by record, so everything is loaded anew without the person, and what was loaded before is removed.
 * @throws {MillraceError} USAGE when nobody can be forgotten so; whatever loading and dropping throw
 */
async function forget(context: CommandContext, person: Person, sameConfig: readonly string[]): Promise<Proof> {
  const { config, log } = context
  forgetFile(config, person.subject)
  const connections = await openConnections(context)
  const tables = await liveTables(connections)
  const { rows, lsn } = await erase(connections.url, config, person)
  log.info('erased in Postgres', { subject: person.subject })
  const forms = formsOf(rows, tables, () => loadHashKey(config, { make: false }))
  const generation = await renew(context, connections, { after: lsn, sameConfig })
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

/** As the topics of the live generation hold them. */
async function liveTables(connections: PipelineConnections): Promise<Table[]> {
  const live = newestGeneration(await knownGenerations(connections))
  if (live?.state !== 'live') {
    throw new MillraceError('NOTHING_LOADED', {
      what: 'there is no live generation, so nobody can be forgotten downstream',
      next: 'erase the person in Postgres, then load: millrace start',
    })
  }
  return newestShapes(live.tables, connections.schemas)
}

async function search(connections: PipelineConnections, { needles, ownRows, tooShort }: Forms) {
  const { config, clickhouse } = connections
  const databases = (await findDatabases(clickhouse, config.name)).map(({ name }) => name)
  const topics = await searchTopics(connections, `${config.name}.`, needles)
  const tables = await searchDatabases(clickhouse, databases, { needles, ownRows })
  const finds = [...topics.finds, ...tables.finds]
  const own = ownRows.flatMap(({ columns }) => Object.values(columns).map(({ label }) => `${label} (own rows)`))
  return {
    ok: finds.length === 0,
    sought: [...needles.map(({ label }) => label), ...own],
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
    ...(tooShort.length > 0 ? [`too short to be told from chance: ${tooShort.join('; ')}`] : []),
    `in ${topics.places} topics with ${topics.looked} records, and in ${tables.places} tables with ${tables.looked} rows: ${ok ? 'nothing found' : 'FOUND'}`,
    ...finds.map(({ place, label, count }) => `  ${label} in ${place}, ${count} times`),
    '',
  ]
}
