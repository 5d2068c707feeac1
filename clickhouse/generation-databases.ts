// clickhouse/generation-databases: the databases of a pipeline's generations.

import { type Generation, generationDatabase } from '../contract/generation.ts'
import { type Being, type Owner, ownerMark, readOwner } from '../contract/owner.ts'
import { MillraceError } from '../runtime/errors.ts'
import type { Clickhouse } from './client.ts'
import { quoteName, quoteString } from './quote.ts'

export interface GenerationDatabase {
  readonly number: number
  readonly name: string
  /** On disk, compressed. */
  readonly bytes: number
  /** Undefined without an owner mark. */
  readonly owner: Owner | undefined
}

/** All databases with the name of a generation's database, in order of number. */
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

/**
 * Whether the owner mark names this pipeline, this Kafka cluster and the database's number, with
 * any source.
 */
export function isOfPipeline(
  { number, owner }: Pick<GenerationDatabase, 'number' | 'owner'>,
  { pipeline, kafkaCluster }: Pick<Owner, 'pipeline' | 'kafkaCluster'>,
): boolean {
  return owner?.pipeline === pipeline && owner.kafkaCluster === kafkaCluster && owner.number === number
}

/**
 * Creates the database of a generation with its owner mark, or finds it.
 * @param during what the caller does to the database, perhaps again after an interruption
 * @throws {MillraceError} GENERATION_UNKNOWN when the database has another owner;
 *   WAREHOUSE_UNFINISHED when a reset of the database was interrupted
 */
export async function claimDatabase(
  clickhouse: Clickhouse,
  pipeline: string,
  generation: Generation,
  during?: Being,
): Promise<void> {
  const name = generationDatabase(pipeline, generation.number)
  const mark = ownerMark(pipeline, generation)
  await clickhouse.command(
    `CREATE DATABASE IF NOT EXISTS ${quoteName(name)} ENGINE = Atomic COMMENT ${quoteString(mark)}`,
  )
  const [found] = await clickhouse.rows<{ comment: string }>(
    'SELECT comment FROM system.databases WHERE name = {name:String}',
    { name },
  )
  const comment = found?.comment ?? ''
  if (comment === mark || (during !== undefined && comment === ownerMark(pipeline, generation, during))) return
  const where = `${clickhouse.url}, database ${name}`
  const being = readOwner(comment)?.being
  if (being !== undefined && comment === ownerMark(pipeline, generation, being)) throw unfinished(being, where)
  throw new MillraceError('GENERATION_UNKNOWN', {
    what: `the database does not belong to the generation that the consumer reads: ${comment || 'it has no owner mark'}`,
    where: `${where}; the consumer reads ${mark}`,
    next: `correct clickhouse.url or kafka.brokers, or give the pipeline another name; if nobody needs the database any more, run DROP DATABASE ${quoteName(name)}`,
  })
}

function unfinished(being: Being, where: string): MillraceError {
  const part = being === 'dropped' ? 'warehouse' : 'star'
  return new MillraceError('WAREHOUSE_UNFINISHED', {
    what: `the database is being ${being} by millrace reset ${part}, which is running or was interrupted`,
    where,
    next: `wait until it ends, or run it again: millrace reset ${part}`,
  })
}

/**
 * Sets the owner mark. With `being`, it says what a command does to the database, and keeps
 * consumers out.
 */
export async function markDatabase(
  clickhouse: Clickhouse,
  { name, owner }: { readonly name: string; readonly owner: Owner },
  being?: Being,
): Promise<void> {
  const comment = quoteString(ownerMark(owner.pipeline, owner, being))
  await clickhouse.command(`ALTER DATABASE ${quoteName(name)} MODIFY COMMENT ${comment}`)
}

/** Drops the database. Its files are removed when this returns. */
export async function dropDatabase(clickhouse: Clickhouse, name: string): Promise<void> {
  await clickhouse.command(`DROP DATABASE IF EXISTS ${quoteName(name)} SYNC`)
}
