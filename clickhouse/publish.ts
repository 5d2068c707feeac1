// clickhouse/publish: stable names that point at one generation.
// Analysts read these; a rebuild switches them and nothing else.

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
 * Points every stable view at `generation`, or none when something else has a name of theirs; one that shows it already is left alone. Each
 * switch is atomic, and a reader sees the old or the new, never neither. A view reads with the rights of whoever publishes it, so that a
 * reader needs none on the generation's database, whose name changes.
 *
 * CREATE OR REPLACE would take away whatever has the name at that moment, tables with their rows too. So a view is made under a name of its own and
 * then renamed, which fails when the name is taken, or exchanged with the one of before, which is looked at once more before it goes.
 * @throws {MillraceError} NAME_TAKEN, naming everything that is in the way
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

/** Those of the views that are as their statements would make them. */
async function unchangedViews(clickhouse: Clickhouse, statements: readonly string[]): Promise<Set<string>> {
  if (statements.length === 0) return new Set()
  const rows = await clickhouse.rows<Name>(
    `SELECT database, name FROM system.tables WHERE engine = 'View' AND formatQuerySingleLine(create_table_query) IN
(SELECT formatQuerySingleLine(arrayJoin([${statements.map(quoteString).join(',\n')}])))`,
  )
  return new Set(rows.map(pathOf))
}

/** Databases and views of ours that have the names already. @throws {MillraceError} NAME_TAKEN, as `publish` would */
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
}

async function exchangeNames(clickhouse: Clickhouse, { staged, stable }: Exchange): Promise<void> {
  await clickhouse.command(`EXCHANGE TABLES ${pathOf(staged)} AND ${pathOf(stable)}`)
}

/** What the exchanges have put under the staged names goes, unless it is of others: then it gets its name back. */
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

/** So old, nobody is about to rename it any more. */
const leftBehindSeconds = 600

/** What a crash has left under a name that was meant for a moment: a view of ours goes, anything else gets its name back. */
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

/** Engines that hold views and can exchange them. The last is that of `default` in the embedded server. */
const viewEngines: ReadonlySet<string> = new Set(['Atomic', 'Replicated', 'Shared', 'Overlay'])

/** Those that are there. @throws {MillraceError} NAME_TAKEN for one that cannot hold views */
async function findViewDatabases(clickhouse: Clickhouse, views: readonly PublishedView[]): Promise<Set<string>> {
  const found = await clickhouse.rows<{ name: string; engine: string }>(
    'SELECT name, engine FROM system.databases WHERE name IN {databases:Array(String)} ORDER BY name',
    { databases: [...new Set(views.map(({ database }) => database))] },
  )
  const unfit = found.filter(({ engine }) => !viewEngines.has(engine))
  if (unfit.length === 0) return new Set(found.map(({ name }) => name))
  const list = unfit.map(({ name, engine }) => `database ${name}, whose engine ${engine} holds no views`)
  throw new MillraceError('NAME_TAKEN', {
    what: `stable views are to be in databases that cannot hold them, so none was switched:\n    ${list.join('\n    ')}`,
    where: clickhouse.url,
    next: 'rename these databases, or leave out what is named like them under tables, and under publish in model.yaml; the next start publishes',
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
    what: `stable views are to have names that something else has, so none was switched:\n    ${found.join('\n    ')}`,
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

/** Gives, by name in the generation's database, what follows a view's name in CREATE VIEW: columns and comments as the source has them. */
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
