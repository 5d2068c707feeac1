// clickhouse/publish: stable names that point at one generation.
// May know: clickhouse/{client,quote,stable-views}, runtime/errors. Analysts read these; a rebuild switches them and nothing else.

import { randomBytes } from 'node:crypto'
import { MillraceError } from '../runtime/errors.ts'
import type { Clickhouse } from './client.ts'
import { quoteName, quotePath, quoteString } from './quote.ts'
import { isStableView, objectsNamed, type Publisher, publisherMark, type Taken } from './stable-views.ts'

export interface PublishedView {
  /** Database and name that people use, such as `shop`.`orders`. */
  readonly database: string
  readonly name: string
  /** Name inside the generation's database. */
  readonly source: string
}

export interface Publication {
  /** Database of the generation that the views are to show. */
  readonly generation: string
  readonly views: readonly PublishedView[]
  readonly publisher: Publisher
}

/** Settings of a session that would change what a view means; tools do set the first one. Each has ClickHouse's default here. */
const meaning = {
  join_use_nulls: 0,
  transform_null_in: 0,
  group_by_use_nulls: 0,
  cast_keep_nullable: 0,
  aggregate_functions_null_for_empty: 0,
  prefer_column_name_to_alias: 0,
}
/** Threads share what is read in pieces of at least so much. By default a report's few megabytes are a piece or two, and threads go without. */
const pieces = { merge_tree_min_rows_for_concurrent_read: 32_768, merge_tree_min_bytes_for_concurrent_read: 1_048_576 }
const pinned = Object.entries({ ...meaning, ...pieces }).map(([name, value]) => `${name} = ${value}`)

/**
 * Points every stable view at `generation`, or none when something else has a name of theirs. Each switch is atomic, and a reader sees the old or
 * the new, never neither. A view reads with the rights of whoever publishes it, so that a reader needs none on the generation's
 * database, whose name changes.
 *
 * CREATE OR REPLACE would take away whatever has the name at that moment, tables with their rows too. So a view is made under a name of its own and
 * then renamed, which fails when the name is taken, or exchanged with the one of before, which is looked at once more before it goes.
 * @throws {MillraceError} NAME_TAKEN, naming everything that is in the way
 */
export async function publish(clickhouse: Clickhouse, { generation, views, publisher }: Publication): Promise<void> {
  const definition = await definitions(clickhouse, generation, publisher)
  const { databases, names } = await checkNames(clickhouse, views, publisher)
  for (const database of new Set(views.map(view => view.database))) {
    if (!databases.has(database)) await clickhouse.command(`CREATE DATABASE IF NOT EXISTS ${quoteName(database)}`)
  }
  for (const view of views) {
    const staged = { database: view.database, name: `${stagedPrefix}${randomBytes(4).toString('hex')}_${view.name}` }
    await clickhouse.command(`CREATE VIEW ${pathOf(staged)} ${definition(view.source)}`)
    if (names.has(pathOf(view)) || !(await rename(clickhouse, staged, view))) {
      await exchange(clickhouse, { staged, stable: view, publisher })
    }
  }
}

/** Databases and views of ours that have the names already. @throws {MillraceError} NAME_TAKEN, as `publish` would */
export async function checkNames(
  clickhouse: Clickhouse,
  views: readonly PublishedView[],
  publisher: Publisher,
): Promise<{ databases: Set<string>; names: Set<string> }> {
  const databases = await lookAtDatabases(clickhouse, views)
  await tidy(clickhouse, views, publisher)
  const found = await objectsNamed(clickhouse, views)
  const others = found.filter(each => !isStableView(each, publisher))
  if (others.length > 0) throw nameTaken(others)
  return { databases, names: new Set(found.map(pathOf)) }
}

type Name = Pick<PublishedView, 'database' | 'name'>

/** Begins as what ClickHouse itself makes for a moment does. */
const stagedPrefix = '_tmp_millrace_'

function pathOf({ database, name }: Name): string {
  return quotePath(database, name)
}

/** @returns false when there is something of the name by now: another member of the group may have published meanwhile */
async function rename(clickhouse: Clickhouse, staged: Name, stable: Name): Promise<boolean> {
  try {
    await clickhouse.command(`RENAME TABLE ${pathOf(staged)} TO ${pathOf(stable)}`)
    return true
  } catch (error) {
    if ((await objectsNamed(clickhouse, [stable])).length === 0) throw error
    return false
  }
}

interface Exchange {
  readonly staged: Name
  readonly stable: Name
  readonly publisher: Publisher
}

async function exchange(clickhouse: Clickhouse, { staged, stable, publisher }: Exchange): Promise<void> {
  const swap = () => clickhouse.command(`EXCHANGE TABLES ${pathOf(staged)} AND ${pathOf(stable)}`)
  await swap()
  const [former] = await objectsNamed(clickhouse, [staged])
  const isOurs = former === undefined || isStableView(former, publisher)
  if (!isOurs) await swap()
  await clickhouse.command(`DROP VIEW IF EXISTS ${pathOf(staged)} SYNC`)
  if (!isOurs) throw nameTaken([{ ...former, name: stable.name }])
}

/** So old, nobody is about to rename it any more. */
const leftBehindSeconds = 600

/** What a crash has left under a name that was meant for a moment: a view of ours goes, anything else gets its name back. */
async function tidy(clickhouse: Clickhouse, views: readonly PublishedView[], publisher: Publisher): Promise<void> {
  const databases = [...new Set(views.map(({ database }) => database))]
  const staged = await clickhouse.rows<Taken & { age: string }>(
    `SELECT database, name, engine, as_select, toString(dateDiff('second', metadata_modification_time, now())) AS age
FROM system.tables WHERE database IN {databases:Array(String)} AND startsWith(name, {prefix:String})`,
    { databases, prefix: stagedPrefix },
  )
  for (const each of staged) {
    const stable = { database: each.database, name: each.name.slice(stagedPrefix.length).replace(/^[0-9a-f]{8}_/, '') }
    if (isStableView(each, publisher)) {
      if (Number(each.age) > leftBehindSeconds) await clickhouse.command(`DROP VIEW IF EXISTS ${pathOf(each)} SYNC`)
    } else if ((await objectsNamed(clickhouse, [stable])).some(other => isStableView(other, publisher))) {
      await exchange(clickhouse, { staged: each, stable, publisher })
    }
  }
}

/** Engines that hold views and can exchange them. The last is that of `default` in the embedded server. */
const fitting: ReadonlySet<string> = new Set(['Atomic', 'Replicated', 'Shared', 'Overlay'])

/** Those that are there. @throws {MillraceError} NAME_TAKEN for one that cannot hold views */
async function lookAtDatabases(clickhouse: Clickhouse, views: readonly PublishedView[]): Promise<Set<string>> {
  const found = await clickhouse.rows<{ name: string; engine: string }>(
    'SELECT name, engine FROM system.databases WHERE name IN {databases:Array(String)} ORDER BY name',
    { databases: [...new Set(views.map(({ database }) => database))] },
  )
  const unfit = found.filter(({ engine }) => !fitting.has(engine))
  if (unfit.length === 0) return new Set(found.map(({ name }) => name))
  const list = unfit.map(({ name, engine }) => `database ${name}, whose engine ${engine} holds no views`)
  throw new MillraceError('NAME_TAKEN', {
    what: `stable views are to be in databases that cannot hold them, so none was switched:\n    ${list.join('\n    ')}`,
    where: clickhouse.url,
    next: 'rename these databases, or leave out what is named like them under tables, and under publish in model.yaml; the next start publishes',
  })
}

function nameTaken(others: readonly Taken[]): MillraceError {
  const found = others.map(({ database, name, engine }) => `${database}.${name}, ${describeKind(engine)}`)
  const renames = others.map(({ database, name, engine }) => {
    const kind = engine === 'Dictionary' ? 'DICTIONARY' : 'TABLE'
    return `RENAME ${kind} ${quotePath(database, name)} TO ${quotePath(database, `${name}_before`)}`
  })
  return new MillraceError('NAME_TAKEN', {
    what: `stable views are to have names that something else has, so none was switched:\n    ${found.join('\n    ')}`,
    where: 'ClickHouse',
    next: `rename what is there, or leave it out under tables, and under publish in model.yaml; the next start publishes. For example: ${renames.join('; ')}`,
  })
}

function describeKind(engine: string): string {
  if (engine === 'View') return 'a view that this pipeline did not make'
  if (engine === 'MaterializedView' || engine === 'Dictionary') return `a ${engine}`
  return `a table (${engine})`
}

/** Gives, by name in the generation's database, what follows a view's name in CREATE VIEW: columns and comments as the source has them. */
async function definitions(clickhouse: Clickhouse, database: string, publisher: Publisher) {
  const columns = await clickhouse.rows<{ table: string; name: string; type: string; comment: string }>(
    'SELECT table, name, type, comment FROM system.columns WHERE database = {database:String} ORDER BY table, position',
    { database },
  )
  const tables = await clickhouse.rows<{ name: string; comment: string }>(
    'SELECT name, comment FROM system.tables WHERE database = {database:String}',
    { database },
  )
  const columnsOf = new Map<string, typeof columns>()
  for (const column of columns) columnsOf.set(column.table, [...(columnsOf.get(column.table) ?? []), column])
  const comments = new Map(tables.map(({ name, comment }) => [name, comment]))
  const settings = [...pinned, `log_comment = ${quoteString(publisherMark(publisher))}`].join(', ')
  return (source: string) => {
    const list = (columnsOf.get(source) ?? []).map(
      ({ name, type, comment }) => `${quoteName(name)} ${type} COMMENT ${quoteString(comment)}`,
    )
    return `(${list.join(', ')}) DEFINER = CURRENT_USER SQL SECURITY DEFINER AS SELECT * FROM ${quotePath(database, source)} SETTINGS ${settings} COMMENT ${quoteString(comments.get(source) ?? '')}`
  }
}
