// clickhouse/stable-views: finds the objects under the names that analysts use, and the pipeline
// that published them.

import type { Clickhouse } from './client.ts'
import { quotePath, quoteString } from './quote.ts'

/**
 * The publisher. Pipelines of the same name differ by the Kafka cluster with their topic of
 * generations.
 */
export interface Publisher {
  readonly pipeline: string
  readonly kafkaCluster: string
}

export interface ExistingObject {
  readonly database: string
  readonly name: string
  readonly engine: string
  readonly as_select: string
}

export interface StableView {
  readonly database: string
  readonly name: string
  /** Database of the generation that the view shows. */
  readonly shows: string
}

/** All objects that have one of the names. */
export async function objectsNamed(
  clickhouse: Clickhouse,
  names: readonly { readonly database: string; readonly name: string }[],
): Promise<ExistingObject[]> {
  const wanted = new Set(names.map(({ database, name }) => quotePath(database, name)))
  const rows = await clickhouse.rows<ExistingObject>(
    'SELECT database, name, engine, as_select FROM system.tables WHERE database IN {databases:Array(String)} ORDER BY database, name',
    { databases: [...new Set(names.map(({ database }) => database))] },
  )
  return rows.filter(({ database, name }) => wanted.has(quotePath(database, name)))
}

/**
 * The last setting in the query of a stable view. It has no effect, and no tool shows it. A view's
 * comment is for people, and other views may read a generation too, so neither identifies a stable
 * view.
 */
export function publisherMark({ pipeline, kafkaCluster }: Publisher): string {
  return `stable view of millrace: pipeline ${pipeline}, Kafka cluster ${kafkaCluster}`
}

/** The pipeline that published the view, in words; undefined for other objects. */
export function publisherOf({ engine, as_select }: Pick<ExistingObject, 'engine' | 'as_select'>): string | undefined {
  if (engine !== 'View') return undefined
  return /log_comment = 'stable view of millrace: (pipeline \S+, Kafka cluster [^']+)'$/.exec(as_select)?.[1]
}

export function isStableView(
  { engine, as_select }: Pick<ExistingObject, 'engine' | 'as_select'>,
  publisher: Publisher,
): boolean {
  return engine === 'View' && as_select.endsWith(`log_comment = ${quoteString(publisherMark(publisher))}`)
}

/** A pipeline's stable views in all databases. Without `kafkaCluster`, those of every cluster. */
export async function findStableViews(
  clickhouse: Clickhouse,
  { pipeline, kafkaCluster }: Pick<Publisher, 'pipeline'> & Partial<Publisher>,
): Promise<StableView[]> {
  const mark = publisherMark({ pipeline, kafkaCluster: '' })
  const rows = await clickhouse.rows<ExistingObject>(
    `SELECT database, name, engine, as_select FROM system.tables WHERE engine = 'View' AND position(as_select, {mark:String}) > 0`,
    { mark },
  )
  return rows
    .filter(row => kafkaCluster === undefined || isStableView(row, { pipeline, kafkaCluster }))
    .flatMap(({ database, name, as_select }) => {
      const shows = /^SELECT \* FROM `?(\w+)`?\./.exec(as_select.replace(/\s+/g, ' '))?.[1]
      return shows === undefined ? [] : [{ database, name, shows }]
    })
}

/**
 * Drops the views. Databases remain, even empty ones, because others may have created them or use
 * them.
 */
export async function dropStableViews(clickhouse: Clickhouse, views: readonly StableView[]): Promise<void> {
  for (const { database, name } of views) {
    await clickhouse.command(`DROP VIEW IF EXISTS ${quotePath(database, name)} SYNC`)
  }
}
