// clickhouse/databases: the databases of a pipeline's generations.
// May know: contract, clickhouse/{client,quote}, runtime/errors.

import { type Generation, generationDatabase } from '../contract/generation.ts'
import { type Owner, ownerMark, readOwner } from '../contract/owner.ts'
import { MillraceError } from '../runtime/errors.ts'
import type { Clickhouse } from './client.ts'
import { quoteName, quoteString } from './quote.ts'

export interface GenerationDatabase {
  readonly number: number
  readonly name: string
  /** On disk, compressed. */
  readonly bytes: number
  /** Undefined when nothing says that a pipeline made it. */
  readonly owner: Owner | undefined
}

/** Whatever has the name of one, by number. */
export async function findDatabases(clickhouse: Clickhouse, pipeline: string): Promise<GenerationDatabase[]> {
  const rows = await clickhouse.rows<{ name: string; comment: string; bytes: string }>(
    `SELECT d.name AS name, d.comment AS comment, toString(sum(p.bytes_on_disk)) AS bytes FROM system.databases AS d
LEFT JOIN (SELECT database, bytes_on_disk FROM system.parts) AS p ON p.database = d.name
WHERE match(d.name, {pattern:String}) GROUP BY d.name, d.comment`,
    { pattern: `^${generationDatabase(pipeline, 0).slice(0, -1)}[0-9]+$` },
  )
  return rows
    .map(({ name, comment, bytes }) => ({
      ...{ number: Number(/\d+$/.exec(name)![0]), name, bytes: Number(bytes) },
      owner: readOwner(comment),
    }))
    .sort((a, b) => a.number - b.number)
}

/** Whether its comment says that this pipeline made it, of whatever number and source. */
export function isOfPipeline(
  { number, owner }: Pick<GenerationDatabase, 'number' | 'owner'>,
  { pipeline, kafkaCluster }: Pick<Owner, 'pipeline' | 'kafkaCluster'>,
): boolean {
  return owner?.pipeline === pipeline && owner.kafkaCluster === kafkaCluster && owner.number === number
}

/**
 * Creates the database of a generation, or finds it; a comment says from its first moment on whose it is.
 * @throws {MillraceError} GENERATION_UNKNOWN when another one has its name
 */
export async function claimDatabase(clickhouse: Clickhouse, pipeline: string, generation: Generation): Promise<void> {
  const name = generationDatabase(pipeline, generation.number)
  const mark = ownerMark(pipeline, generation)
  await clickhouse.command(
    `CREATE DATABASE IF NOT EXISTS ${quoteName(name)} ENGINE = Atomic COMMENT ${quoteString(mark)}`,
  )
  const [found] = await clickhouse.rows<{ comment: string }>(
    'SELECT comment FROM system.databases WHERE name = {name:String}',
    { name },
  )
  if (found?.comment === mark) return
  throw new MillraceError('GENERATION_UNKNOWN', {
    what: `the database is not of the generation that is to be folded into it: ${found?.comment || 'nothing says who made it'}`,
    where: `${clickhouse.url}, database ${name}; what is to be folded is ${mark}`,
    next: `correct clickhouse.url or kafka.brokers, or give the pipeline another name; if nobody needs the database any more, run DROP DATABASE ${name}`,
  })
}

/** Removes the database and its files before it returns. */
export async function dropDatabase(clickhouse: Clickhouse, name: string): Promise<void> {
  await clickhouse.command(`DROP DATABASE IF EXISTS ${quoteName(name)} SYNC`)
}
