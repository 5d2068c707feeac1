// postgres/catalog/facts: the part of the catalog that the records of captured tables depend on.

import { type Client, query } from '../client/client.ts'
import type { ReplicaIdentity } from '../protocol/pgoutput.ts'
import { digestQuery, factsQuery, momentQuery } from './facts-query.ts'

/** Transaction id modulo 2^32, as text. */
export type Xid = string

export interface TableFacts {
  readonly schema: string
  readonly name: string
  /** `r` ordinary, `p` partitioned. */
  readonly kind: string
  readonly columns: readonly ColumnFacts[]
  readonly key: KeyFacts | undefined
  /** The table itself, its partitions on all levels, and tables that inherit from it. */
  readonly members: readonly MemberFacts[]
  readonly types: readonly TypeFacts[]
  /** Undefined when the table is not in the publication. */
  readonly published: PublishedFacts | undefined
  /** Other tables of the publication that have this one as a partition. */
  readonly publishedRoots: readonly PublishedRoot[]
}

export interface ColumnFacts {
  /** `pg_attribute.attnum`. A column that is dropped and created again has another number. */
  readonly number: number
  readonly name: string
  readonly typeOid: number
  readonly typeModifier: number
  readonly pgType: string
  readonly notNull: boolean
  /** Empty, `s` (stored) or `v` (virtual). */
  readonly generated: string
  /** The transaction that altered the column last, even if it only set statistics or a default. */
  readonly written: Xid
}

export interface KeyFacts {
  /** Oid of the constraint. It stays the same when the index is rebuilt. */
  readonly oid: number
  /** Numbers of the columns, in key order. */
  readonly columns: readonly number[]
  readonly deferrable: boolean
}

export interface MemberFacts {
  readonly oid: number
  readonly schema: string
  readonly name: string
  /** `r` ordinary, `p` partitioned, `f` foreign. */
  readonly kind: string
  /** `p` permanent, `u` unlogged, `t` temporary. */
  readonly persistence: string
  readonly identity: ReplicaIdentity
  /** The transaction that attached the member; null for the table itself. */
  readonly link: Xid | null
  /** `relfilenode`. TRUNCATE, VACUUM FULL, CLUSTER and every rewriting ALTER TABLE change it. */
  readonly file: number
  /**
   * `reltoastrelid`. A rewriting ALTER TABLE changes it; the other commands do not. 0 where no
   * value can be long.
   */
  readonly toast: number
}

/** An enum or a composite type behind a column. */
export interface TypeFacts {
  readonly oid: number
  readonly name: string
  /** Labels of an enum. A renamed label keeps its oid. */
  readonly labels: readonly { readonly oid: number; readonly label: string; readonly written: Xid }[] | undefined
  /** Number, type and modifier of each attribute of a composite type. */
  readonly attributes: readonly (readonly number[])[] | undefined
}

interface PublishedFacts {
  /**
   * Oids of the entries that publish the table: its own, that of its schema, or the publication
   * itself where it is FOR ALL TABLES. The oids are different ones after the table has left the
   * publication and come back.
   */
  readonly oids: readonly number[]
  readonly filtered: boolean
  readonly someColumns: boolean
}

export interface PublishedRoot {
  readonly schema: string
  readonly name: string
  /**
   * True where the root has an entry of its own, and is not published by its schema or by FOR ALL
   * TABLES.
   */
  readonly listed: boolean
}

export interface PublicationFacts {
  readonly oid: number
  readonly owner: number
  /**
   * The transaction that altered the publication last. A change of its list of tables does not
   * count.
   */
  readonly written: Xid
  /**
   * What the publication lacks: `insert`, `update`, `delete`, `truncate`,
   * `publish_via_partition_root`, `publish_generated_columns`.
   */
  readonly lacking: readonly string[]
}

export interface Moment {
  /** `server_version_num` */
  readonly version: number
  /** The work of all older transactions is visible. */
  readonly seen: Xid
  readonly publication: PublicationFacts | undefined
}

/** Tables per statement, so that the heartbeats on the same connection never wait long. */
const slice = 1000

/** To be called before the facts are read. @throws {MillraceError} POSTGRES_* */
export async function readMoment(client: Client, publication: string): Promise<Moment> {
  const [row] = await query<Omit<Moment, 'publication'> & { publication: PublicationFacts | null }>(
    client,
    momentQuery,
    [publication],
  )
  return { version: row!.version, seen: row!.seen, publication: row!.publication ?? undefined }
}

export interface FactsScope {
  readonly version: number
  /** Oid of the publication. */
  readonly publication: number
}

/**
 * A digest of each table's facts, by oid. A dropped table has none. @throws {MillraceError}
 * POSTGRES_*
 */
export async function readDigests(
  client: Client,
  tables: readonly number[],
  scope: FactsScope,
): Promise<Map<number, string>> {
  const rows = await inSlices<{ digest: string }>(client, digestQuery(scope.version), tables, scope)
  return new Map(rows.map(({ oid, digest }) => [Number(oid), digest]))
}

/** The facts of each table, by oid. A dropped table has none. @throws {MillraceError} POSTGRES_* */
export async function readFacts(
  client: Client,
  tables: readonly number[],
  scope: FactsScope,
): Promise<Map<number, TableFacts>> {
  const rows = await inSlices<{ facts: string }>(client, factsQuery(scope.version), tables, scope)
  return new Map(rows.map(({ oid, facts }) => [Number(oid), parseFacts(JSON.parse(facts) as FactsRow)]))
}

async function inSlices<Row extends object>(
  client: Client,
  text: string,
  tables: readonly number[],
  { publication }: FactsScope,
): Promise<(Row & { oid: string })[]> {
  const rows: (Row & { oid: string })[] = []
  for (let at = 0; at < tables.length; at += slice) {
    const some = await query<Row & { oid: string }>(client, text, [tables.slice(at, at + slice), publication])
    for (const row of some) rows.push(row)
  }
  return rows
}

type ColumnRow = [number, string, number, number, string, boolean, string, Xid]
type MemberRow = [number, string, string, string, string, ReplicaIdentity, Xid | null, number, number]
type EnumRow = [number, string, 'e', [number, string, Xid][] | null]
type CompositeRow = [number, string, 'c', number[][] | null]
type FactsRow = [
  string,
  string,
  string,
  ColumnRow[] | null,
  [number, number[], boolean] | null,
  MemberRow[],
  (EnumRow | CompositeRow)[] | null,
  [number[], boolean, boolean] | null,
  [string, string, boolean][] | null,
]

function parseFacts([schema, name, kind, columns, key, members, types, published, roots]: FactsRow): TableFacts {
  return {
    ...{ schema, name, kind },
    columns: (columns ?? []).map(([number, column, typeOid, typeModifier, pgType, notNull, generated, written]) => ({
      ...{ number, name: column, typeOid, typeModifier, pgType, notNull, generated, written },
    })),
    key: key === null ? undefined : { oid: key[0], columns: key[1], deferrable: key[2] },
    members: members.map(([oid, memberSchema, member, memberKind, persistence, identity, link, file, toast]) => ({
      ...{ oid, schema: memberSchema, name: member, kind: memberKind, persistence, identity, link, file, toast },
    })),
    types: (types ?? []).map(parseType),
    published:
      published === null ? undefined : { oids: published[0], filtered: published[1], someColumns: published[2] },
    publishedRoots: (roots ?? []).map(([rootSchema, root, listed]) => ({ schema: rootSchema, name: root, listed })),
  }
}

function parseType(row: EnumRow | CompositeRow): TypeFacts {
  const [oid, name] = row
  if (row[2] === 'c') return { oid, name, labels: undefined, attributes: row[3] ?? [] }
  const labels = (row[3] ?? []).map(([labelOid, label, written]) => ({ oid: labelOid, label, written }))
  return { oid, name, labels, attributes: undefined }
}
