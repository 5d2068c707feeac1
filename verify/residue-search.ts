// verify/residue-search: searches a pipeline's topics and databases for given texts.
// The texts identify a person, so they appear in no statement, no address and no log.

import { randomBytes } from 'node:crypto'
import type { Clickhouse } from '../clickhouse/client.ts'
import { storageName } from '../clickhouse/ddl.ts'
import { quoteName, quotePath, quoteString, unusedName } from '../clickhouse/quote.ts'
import type { DeadLetter } from '../contract/dead-letter.ts'
import { listTopics } from '../kafka/client/admin.ts'
import type { KafkaConnection } from '../kafka/client/cluster.ts'
import type { Fetcher } from '../kafka/consumer/fetcher.ts'
import { readRange } from '../kafka/consumer/read-range.ts'
import type { RecordSet } from '../kafka/protocol/record-batch.ts'

/** A text to search for, and a label that does not repeat it. */
export interface SearchText {
  readonly label: string
  readonly text: string
}

/** Texts that many people share. They count only in the person's own rows. */
export interface OwnRow {
  readonly schema: string
  readonly table: string
  /** Column → text. */
  readonly key: Readonly<Record<string, string>>
  readonly columns: Readonly<Record<string, SearchText>>
}

export interface SearchMatch {
  /** Topic or table. */
  readonly place: string
  readonly label: string
  readonly count: number
}

export interface SearchResult {
  /** Topics or tables. */
  readonly places: number
  /** Records or rows. */
  readonly looked: number
  readonly finds: readonly SearchMatch[]
}

/**
 * Searches keys and values of all records of the topics with this prefix.
 * @throws {MillraceError}; the signal's reason
 */
export async function searchTopics(
  { kafka, fetcher, signal }: { kafka: KafkaConnection; fetcher: Fetcher; signal: AbortSignal },
  prefix: string,
  texts: readonly SearchText[],
): Promise<SearchResult> {
  const forms = texts.flatMap(({ label, text }) =>
    [...new Set([text, JSON.stringify(text).slice(1, -1)])].map(form => ({ label, bytes: Buffer.from(form) })),
  )
  const topics = await listTopics(kafka, prefix)
  const finds = new Map<string, SearchMatch>()
  let looked = 0
  for (const topic of topics) {
    const [ranges] = await fetcher.ranges([topic], signal)
    for (const [partition, range] of ranges!.entries()) {
      for await (const records of readRange(fetcher, { topic, partition, ...range }, signal)) {
        looked += records.count
        for (const bytes of contents(records))
          for (const form of forms) if (bytes.includes(form.bytes)) count(finds, topic, form.label)
      }
    }
  }
  return { places: topics.length, looked, finds: [...finds.values()] }
}

function count(finds: Map<string, SearchMatch>, place: string, label: string): void {
  const id = `${place}\n${label}`
  finds.set(id, { place, label, count: (finds.get(id)?.count ?? 0) + 1 })
}

/**
 * The keys and values of the records. For a dead letter, also the record that it contains in
 * base64.
 */
function* contents(records: RecordSet): Generator<Buffer> {
  const { buffer, keyStarts, keyEnds, valueStarts, valueEnds } = records
  for (let index = 0; index < records.count; index++) {
    if (keyStarts[index] !== -1) yield buffer.subarray(keyStarts[index], keyEnds[index])
    if (valueStarts[index] === -1) continue
    const value = buffer.subarray(valueStarts[index], valueEnds[index])
    yield value
    const { key, value: inner } = heldRecord(value)
    for (const text of [key, inner]) if (typeof text === 'string') yield Buffer.from(text, 'base64')
  }
}

const brace = 0x7b

function heldRecord(value: Buffer): { key?: string | null; value?: string | null } {
  if (value[0] !== brace || !value.includes('"record":')) return {}
  return (JSON.parse(value.toString()) as DeadLetter).record ?? {}
}

/**
 * Searches every text column of every table, and the person's own rows. The texts are the body of
 * an insert into a table in memory. ClickHouse neither logs this body nor writes it to disk.
 * @throws {MillraceError} CLICKHOUSE_*
 */
export async function searchDatabases(
  clickhouse: Clickhouse,
  databases: readonly string[],
  { texts, ownRows }: { texts: readonly SearchText[]; ownRows: readonly OwnRow[] },
): Promise<SearchResult> {
  const finds: SearchMatch[] = []
  let places = 0
  let looked = 0
  for (const database of databases) {
    const search = quotePath(database, `search_${randomBytes(6).toString('hex')}`)
    const tables = await columnsByTable(clickhouse, database)
    try {
      await clickhouse.command(`CREATE TABLE ${search} (label String, text String, own Bool) ENGINE = Memory`)
      const own = ownRows.flatMap(({ columns }) => Object.values(columns).map(each => ({ ...each, own: true })))
      const rows = [...texts.map(each => ({ ...each, own: false })), ...own]
      await clickhouse.insert(
        `INSERT INTO ${search} FORMAT JSONEachRow`,
        [Buffer.from(rows.map(row => JSON.stringify(row)).join('\n'))],
        { async_insert: 0 },
      )
      for (const [table, columns] of tables) {
        const place = { clickhouse, search, database, table, columns }
        const found = await searchTable(place, texts)
        places++
        looked += found.rows
        finds.push(...found.finds, ...(await searchOwnRows(place, ownRows)))
      }
    } finally {
      await clickhouse.command(`DROP TABLE IF EXISTS ${search} SYNC`)
    }
  }
  return { places, looked, finds }
}

type Columns = ReadonlyMap<string, string>

interface TablePlace {
  readonly clickhouse: Clickhouse
  readonly search: string
  readonly database: string
  readonly table: string
  /** Name → type. */
  readonly columns: Columns
}

async function columnsByTable(clickhouse: Clickhouse, database: string): Promise<Map<string, Map<string, string>>> {
  const rows = await clickhouse.rows<{ table: string; name: string; type: string }>(
    `SELECT c.table AS table, c.name AS name, c.type AS type FROM system.columns AS c
INNER JOIN system.tables AS t ON t.database = c.database AND t.name = c.table
WHERE c.database = {database:String} AND t.engine NOT LIKE '%View' ORDER BY c.table, c.position`,
    { database },
  )
  const tables = new Map<string, Map<string, string>>()
  for (const { table, name, type } of rows) tables.set(table, (tables.get(table) ?? new Map()).set(name, type))
  return tables
}

const unlogged = { log_queries: 0 } as const

async function searchTable(
  { clickhouse, search, database, table, columns }: TablePlace,
  texts: readonly SearchText[],
): Promise<{ rows: number; finds: SearchMatch[] }> {
  const values = [...columns]
    .filter(([, type]) => /String/.test(type) && !type.startsWith('AggregateFunction'))
    .map(([name]) => `ifNull(toString(${quoteName(name)}), '')`)
  const cells = unusedName(columns.keys(), 'cells')
  const hits =
    values.length === 0
      ? '[]'
      : `sumForEach(arrayMap(text -> toUInt64(arrayExists(value -> position(value, text) > 0, ${cells})), texts))`
  const [row] = await clickhouse.rows<{ rows: string; hits: string[] }>(
    `WITH (SELECT groupArray(text) FROM (SELECT text FROM ${search} WHERE NOT own ORDER BY label, text)) AS texts
SELECT count() AS rows, ${hits} AS hits FROM (SELECT [${values.join(', ')}] AS ${cells} FROM ${quotePath(database, table)})`,
    {},
    unlogged,
  )
  const ordered = texts.toSorted((a, b) => compare(a.label, b.label) || compare(a.text, b.text))
  const place = `${database}.${table}`
  const finds = row!.hits.flatMap((hit, index) =>
    Number(hit) > 0 ? [{ place, label: ordered[index]!.label, count: Number(hit) }] : [],
  )
  return { rows: Number(row!.rows), finds }
}

/** Compares by bytes, as ClickHouse orders strings. */
function compare(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}

async function searchOwnRows(place: TablePlace, ownRows: readonly OwnRow[]): Promise<SearchMatch[]> {
  const { clickhouse, search, database, table, columns } = place
  const finds: SearchMatch[] = []
  for (const { schema, table: name, key, columns: own } of ownRows) {
    if (!table.startsWith(`${storageName(schema, name)}.`) || !Object.keys(key).every(column => columns.has(column)))
      continue
    const isTheirs = Object.entries(key).map(
      ([column, text]) => `toString(${quoteName(column)}) = ${quoteString(text)}`,
    )
    for (const [column, { label }] of Object.entries(own)) {
      if (!columns.has(column)) continue
      const text = `(SELECT any(text) FROM ${search} WHERE own AND label = ${quoteString(label)})`
      // Without an alias, because a column of the table may have the same name.
      const [row] = await clickhouse.rows<{ 'count()': string }>(
        `SELECT count() FROM ${quotePath(database, table)} WHERE ${isTheirs.join(' AND ')} AND toString(${quoteName(column)}) = ${text}`,
        {},
        unlogged,
      )
      const count = Number(row!['count()'])
      if (count > 0) finds.push({ place: `${database}.${table}`, label, count })
    }
  }
  return finds
}
