// clickhouse/publish: points the stable names at one generation.
// Analysts read these views. A rebuild switches only them.

import { randomBytes } from 'node:crypto'
import { MillraceError } from '../runtime/errors.ts'
import { sideBySide } from '../runtime/side-by-side.ts'
import type { Clickhouse } from './client.ts'
import { quoteName, quotePath, quoteString } from './quote.ts'
import {
  type ExistingObject,
  isStableView,
  objectsNamed,
  type Publisher,
  publisherMark,
  publisherOf,
} from './stable-views.ts'

export interface PublishedView {
  /** Database and name that analysts use, such as `shop`.`orders`. */
  readonly database: string
  readonly name: string
  /** Name inside the generation's database. */
  readonly source: string
}

export interface Publication {
  /** Database of the generation that the views show. */
  readonly generation: string
  readonly views: readonly PublishedView[]
  readonly publisher: Publisher
}

/**
 * Settings of a session that would change the result of a view, at ClickHouse's defaults. Some
 * tools set the first one.
 */
const meaning = {
  join_use_nulls: 0,
  transform_null_in: 0,
  group_by_use_nulls: 0,
  cast_keep_nullable: 0,
  aggregate_functions_null_for_empty: 0,
  prefer_column_name_to_alias: 0,
}
/**
 * The minimum that one thread reads. With ClickHouse's defaults, one or two threads read all of a
 * report's few megabytes. With these values, small tables are read in parallel.
 */
const threadShare = {
  merge_tree_min_rows_for_concurrent_read: 32_768,
  merge_tree_min_bytes_for_concurrent_read: 1_048_576,
}
const pinned = Object.entries({ ...meaning, ...threadShare }).map(([name, value]) => `${name} = ${value}`)

/**
 * Points every stable view at `generation`, or none of them when another object has one of the
 * names. A view that shows the generation already is not changed. Each switch is atomic: a reader
 * sees the old view or the new one. A view reads with the rights of its publisher, so a reader
 * needs no rights on the generation's database.
 *
 * CREATE OR REPLACE would destroy any object of that name, even a table with rows. So a view is
 * created under a temporary name. If the stable name is free, the view is renamed, which fails if
 * the name is taken meanwhile. Otherwise the two names are exchanged, and the former view is
 * checked once more before it is dropped.
 * @throws {MillraceError} NAME_TAKEN, naming all objects that are in the way
 */
export async function publish(clickhouse: Clickhouse, { generation, views, publisher }: Publication): Promise<void> {
  const definition = await viewDefinitions(clickhouse, generation, publisher)
  const { databases, names } = await checkNames(clickhouse, views, publisher)
  const missing = [...new Set(views.map(view => view.database))].filter(name => !databases.has(name))
  await sideBySide(missing, name => clickhouse.command(`CREATE DATABASE IF NOT EXISTS ${quoteName(name)}`))
  const create = (name: Name, source: string) => `CREATE VIEW ${pathOf(name)} ${definition(source)}`
  const found = views.filter(view => names.has(pathOf(view)))
  const same = await unchangedViews(
    clickhouse,
    found.map(view => create(view, view.source)),
  )
  const exchanged: Exchange[] = []
  await sideBySide(views, async stable => {
    if (same.has(pathOf(stable))) return
    const staged = {
      database: stable.database,
      name: `${stagedPrefix}${randomBytes(4).toString('hex')}_${stable.name}`,
    }
    await clickhouse.command(create(staged, stable.source))
    if (!names.has(pathOf(stable)) && (await rename(clickhouse, staged, stable))) return
    await exchangeNames(clickhouse, { staged, stable })
    exchanged.push({ staged, stable })
  })
  await dropReplaced(clickhouse, exchanged, publisher)
}

/** The views whose definition equals their statement. */
async function unchangedViews(clickhouse: Clickhouse, statements: readonly string[]): Promise<Set<string>> {
  if (statements.length === 0) return new Set()
  const rows = await clickhouse.rows<Name>(
    `SELECT database, name FROM system.tables WHERE engine = 'View' AND formatQuerySingleLine(create_table_query) IN
(SELECT formatQuerySingleLine(arrayJoin([${statements.map(quoteString).join(',\n')}])))`,
  )
  return new Set(rows.map(pathOf))
}

/**
 * The existing databases, and the names that views of this pipeline have.
 * @throws {MillraceError} NAME_TAKEN, as `publish`
 */
export async function checkNames(
  clickhouse: Clickhouse,
  views: readonly PublishedView[],
  publisher: Publisher,
): Promise<{ databases: Set<string>; names: Set<string> }> {
  const databases = await findViewDatabases(clickhouse, views)
  await removeLeftovers(clickhouse, views, publisher)
  const found = await objectsNamed(clickhouse, views)
  const others = found.filter(each => !isStableView(each, publisher))
  if (others.length > 0) throw nameTaken(others)
  return { databases, names: new Set(found.map(pathOf)) }
}

type Name = Pick<PublishedView, 'database' | 'name'>

/** Prefix of temporary names. ClickHouse's own temporary tables begin with `_tmp_` too. */
const stagedPrefix = '_tmp_millrace_'

function pathOf({ database, name }: Name): string {
  return quotePath(database, name)
}

/**
 * @returns false when the name is taken by now: another member of the group may have published
 *   meanwhile
 */
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
}

async function exchangeNames(clickhouse: Clickhouse, { staged, stable }: Exchange): Promise<void> {
  await clickhouse.command(`EXCHANGE TABLES ${pathOf(staged)} AND ${pathOf(stable)}`)
}

/**
 * Drops the former views, which have the staged names now. An object of another owner gets its name
 * back.
 */
async function dropReplaced(
  clickhouse: Clickhouse,
  exchanged: readonly Exchange[],
  publisher: Publisher,
): Promise<void> {
  if (exchanged.length === 0) return
  const staged = exchanged.map(each => each.staged)
  const former = new Map((await objectsNamed(clickhouse, staged)).map(each => [pathOf(each), each]))
  const others = exchanged.flatMap(exchange => {
    const found = former.get(pathOf(exchange.staged))
    return found === undefined || isStableView(found, publisher) ? [] : [{ exchange, found }]
  })
  await sideBySide(others, ({ exchange }) => exchangeNames(clickhouse, exchange))
  await sideBySide(staged, name => clickhouse.command(`DROP VIEW IF EXISTS ${pathOf(name)} SYNC`))
  if (others.length > 0)
    throw nameTaken(others.map(({ exchange, found }) => ({ ...found, name: exchange.stable.name })))
}

/** A staged view of this age was left by a crash. */
const leftBehindSeconds = 600

/**
 * Handles staged names that a crash has left: drops views of this pipeline, and gives other objects
 * their names back.
 */
async function removeLeftovers(
  clickhouse: Clickhouse,
  views: readonly PublishedView[],
  publisher: Publisher,
): Promise<void> {
  const databases = [...new Set(views.map(({ database }) => database))]
  const staged = await clickhouse.rows<ExistingObject & { age: string }>(
    `SELECT database, name, engine, as_select, toString(dateDiff('second', metadata_modification_time, now())) AS age
FROM system.tables WHERE database IN {databases:Array(String)} AND startsWith(name, {prefix:String})`,
    { databases, prefix: stagedPrefix },
  )
  for (const each of staged) {
    const stable = { database: each.database, name: each.name.slice(stagedPrefix.length).replace(/^[0-9a-f]{8}_/, '') }
    if (isStableView(each, publisher)) {
      if (Number(each.age) > leftBehindSeconds) await clickhouse.command(`DROP VIEW IF EXISTS ${pathOf(each)} SYNC`)
    } else if ((await objectsNamed(clickhouse, [stable])).some(other => isStableView(other, publisher))) {
      await exchangeNames(clickhouse, { staged: each, stable })
      await dropReplaced(clickhouse, [{ staged: each, stable }], publisher)
    }
  }
}

/**
 * Database engines that can exchange views. The embedded server's database `default` has the last
 * one.
 */
const viewEngines: ReadonlySet<string> = new Set(['Atomic', 'Replicated', 'Shared', 'Overlay'])

/**
 * The existing databases.
 * @throws {MillraceError} NAME_TAKEN for one whose engine cannot exchange views
 */
async function findViewDatabases(clickhouse: Clickhouse, views: readonly PublishedView[]): Promise<Set<string>> {
  const found = await clickhouse.rows<{ name: string; engine: string }>(
    'SELECT name, engine FROM system.databases WHERE name IN {databases:Array(String)} ORDER BY name',
    { databases: [...new Set(views.map(({ database }) => database))] },
  )
  const unfit = found.filter(({ engine }) => !viewEngines.has(engine))
  if (unfit.length === 0) return new Set(found.map(({ name }) => name))
  const list = unfit.map(({ name, engine }) => `database ${name}, whose engine ${engine} cannot exchange views`)
  throw new MillraceError('NAME_TAKEN', {
    what: `stable views belong into databases whose engine cannot exchange views, so none was switched:\n    ${list.join('\n    ')}`,
    where: clickhouse.url,
    next: 'rename these databases, or leave out their names under tables, and under publish in model.yaml; the next start publishes',
  })
}

function nameTaken(others: readonly ExistingObject[]): MillraceError {
  const found = others.map(other => `${other.database}.${other.name}, ${describeKind(other)}`)
  const renames = others
    .filter(other => publisherOf(other) === undefined)
    .map(({ database, name, engine }) => {
      const kind = engine === 'Dictionary' ? 'DICTIONARY' : 'TABLE'
      return `RENAME ${kind} ${quotePath(database, name)} TO ${quotePath(database, `${name}_before`)}`
    })
  const ways = [
    'leave it out under tables, and under publish in model.yaml',
    ...(renames.length > 0 ? ['or rename what is there'] : []),
    ...(renames.length < others.length
      ? ['or give one of the two pipelines a ClickHouse of its own; if the other is gone for good, drop its views']
      : []),
  ]
  const example = renames.length > 0 ? `. For example: ${renames.join('; ')}` : ''
  return new MillraceError('NAME_TAKEN', {
    what: `other objects have the names of stable views, so none was switched:\n    ${found.join('\n    ')}`,
    where: 'ClickHouse',
    next: `${ways.join('; ')}; the next start publishes${example}`,
  })
}

function describeKind(taken: ExistingObject): string {
  const { engine } = taken
  const publisher = publisherOf(taken)
  if (publisher !== undefined) return `a stable view of another ${publisher}`
  if (engine === 'View') return 'a view that this pipeline did not make'
  if (engine === 'MaterializedView' || engine === 'Dictionary') return `a ${engine}`
  return `a table (${engine})`
}

/**
 * For a name in the generation's database, the text after the name in CREATE VIEW, with the columns
 * and comments of the source.
 */
async function viewDefinitions(clickhouse: Clickhouse, database: string, publisher: Publisher) {
  const [tables, columns] = await Promise.all([
    clickhouse.rows<{ name: string; comment: string; user: string }>(
      'SELECT name, comment, currentUser() AS user FROM system.tables WHERE database = {database:String}',
      { database },
    ),
    clickhouse.rows<{ table: string; name: string; type: string; comment: string }>(
      'SELECT table, name, type, comment FROM system.columns WHERE database = {database:String} ORDER BY table, position',
      { database },
    ),
  ])
  const lists = new Map<string, string[]>()
  for (const { table, name, type, comment } of columns) {
    const list = lists.get(table)
    const column = `${quoteName(name)} ${type}${commentOf(comment)}`
    if (list === undefined) lists.set(table, [column])
    else list.push(column)
  }
  const comments = new Map(tables.map(({ name, comment }) => [name, comment]))
  const user = tables[0]?.user ?? ''
  const settings = [...pinned, `log_comment = ${quoteString(publisherMark(publisher))}`].join(', ')
  return (source: string) => {
    const comment = comments.get(source) ?? ''
    return `(${(lists.get(source) ?? []).join(', ')}) DEFINER = ${quoteName(user)} SQL SECURITY DEFINER AS SELECT * FROM ${quotePath(database, source)} SETTINGS ${settings}${commentOf(comment)}`
  }
}

function commentOf(text: string): string {
  return text === '' ? '' : ` COMMENT ${quoteString(text)}`
}
