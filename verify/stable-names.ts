// verify/stable-names: checks that the stable names show the verified generation, with all of its
// rows.

import type { Clickhouse } from '../clickhouse/client.ts'
import { currentName, storageName } from '../clickhouse/ddl.ts'
import { historyName } from '../clickhouse/history.ts'
import type { PublishedView } from '../clickhouse/publish.ts'
import { quoteName, quotePath, quoteString } from '../clickhouse/quote.ts'
import { type Table, tableName } from '../contract/table.ts'
import { readRows } from './reading.ts'

interface View {
  readonly database: string
  readonly name: string
  /** The expected SELECT, without its settings. */
  readonly select: string
}

interface Definition {
  readonly database: string
  readonly name: string
  readonly engine: string
  readonly as_select: string
}

/** The generation's database is also the connection's current database. */
export interface Published {
  readonly clickhouse: Clickhouse
  readonly database: string
  readonly tables: readonly Table[]
  /** The views that the model publishes. */
  readonly views: readonly PublishedView[]
}

/**
 * Problems by name. Each is the rest of a sentence after the name: `public.orders` → `is not
 * there`.
 * @throws {MillraceError} CLICKHOUSE_*
 */
export async function checkStableNames(published: Published): Promise<Record<string, string>> {
  const { clickhouse, database } = published
  const inside = await readRows<{ name: string }>(
    clickhouse,
    'SELECT name FROM system.tables WHERE database = currentDatabase()',
  )
  const own = new Set(inside.map(({ name }) => name))
  const views = [...published.tables.flatMap(table => tableViews(database, table, own)), ...modelViews(published)]
  if (views.length === 0) return {}
  const [expected, found] = [await formatted(clickhouse, views), await definitions(clickhouse, views)]
  const problems: Record<string, string> = {}
  for (const [index, view] of views.entries()) {
    const problem = compare(found.get(nameOf(view)), expected[index]!)
    const plain = `${view.database}.${view.name}`
    const name = plain in problems ? nameOf(view) : plain
    if (problem !== undefined) problems[name] = problem
  }
  return problems
}

/** A name that identifies the view. */
function nameOf({ database, name }: Pick<View, 'database' | 'name'>): string {
  return tableName({ schema: database, name })
}

/** The stable views of a table, and the view of the generation that the first one shows. */
function tableViews(database: string, table: Table, own: ReadonlySet<string>): View[] {
  const live = storageName(table.schema, table.name)
  const columns = table.columns.map(({ name }) => quoteName(name)).join(', ')
  const stable = (name: string, source: string) => ({
    database: table.schema,
    name,
    select: `SELECT * FROM ${quotePath(database, source)}`,
  })
  return [
    stable(table.name, live),
    { database, name: live, select: `SELECT ${columns} FROM ${quotePath(database, currentName(table))} FINAL` },
    ...(own.has(historyName(table)) ? [stable(`${table.name}.history`, historyName(table))] : []),
  ]
}

function modelViews({ database, views }: Published): View[] {
  return views.map(view => ({ ...view, select: `SELECT * FROM ${quotePath(database, view.source)}` }))
}

/** The expected definitions as ClickHouse formats them. */
async function formatted(clickhouse: Clickhouse, views: readonly View[]): Promise<string[]> {
  const [row] = await readRows<{ texts: string[] }>(
    clickhouse,
    `SELECT arrayMap(text -> formatQuerySingleLine(text), [${views.map(({ select }) => quoteString(select)).join(', ')}]) AS texts`,
  )
  return row!.texts.map(oneLine)
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ')
}

async function definitions(clickhouse: Clickhouse, views: readonly View[]): Promise<Map<string, Definition>> {
  const names = views.map(({ database, name }) => `(${quoteString(database)}, ${quoteString(name)})`)
  const rows = await readRows<Definition>(
    clickhouse,
    `SELECT database, name, engine, as_select FROM system.tables WHERE (database, name) IN (${names.join(', ')})`,
  )
  return new Map(rows.map(row => [nameOf(row), row]))
}

function compare(found: Definition | undefined, expected: string): string | undefined {
  if (found === undefined) return 'is not there'
  if (found.engine !== 'View') return `is no view of this pipeline, but a ${found.engine}`
  const select = oneLine(found.as_select)
  if (select === expected || select.startsWith(`${expected} SETTINGS `)) return undefined
  return `shows something else than ${expected}: ${select.slice(0, 500)}`
}

const mostAttempts = 5

/**
 * Checks that the stable view of a table shows as many rows as the current state. A comparison
 * counts only if nothing changed during it. If every comparison sees a change, the definition of
 * the view must be enough.
 * @throws {MillraceError} CLICKHOUSE_*, also when the view cannot be read
 */
export async function checkRowsShown(clickhouse: Clickhouse, table: Table): Promise<string[]> {
  const held = () =>
    readRows<{ rows: string; newest: string }>(
      clickhouse,
      `SELECT toString(count()) AS rows, toString(max(_version)) AS newest FROM ${quoteName(currentName(table))} FINAL`,
    ).then(([row]) => row!)
  let before = await held()
  for (let attempt = 0; attempt < mostAttempts; attempt++) {
    const [shown] = await readRows<{ rows: string }>(
      clickhouse,
      `SELECT toString(count()) AS rows FROM ${quotePath(table.schema, table.name)}`,
    )
    const after = await held()
    if (shown!.rows === before.rows || shown!.rows === after.rows) return []
    if (before.newest === after.newest && before.rows === after.rows) {
      return [`${table.schema}.${table.name} shows ${shown!.rows} rows, and the current state holds ${after.rows}`]
    }
    before = after
  }
  return []
}
